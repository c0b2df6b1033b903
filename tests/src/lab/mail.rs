//! A mail server that takes everything and remembers it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::{Failure, Host};

/// A letter as the server got it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// Commands before the text, in order.
    pub envelope: Vec<String>,
    /// Headers without `Date`.
    pub headers: Vec<String>,
    /// `Date`.
    pub date: String,
    /// Lines behind the headers.
    pub body: Vec<String>,
}

impl Taken {
    /// `Subject`.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.headers.iter().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default()
    }
}

/// The server, for as long as the program runs.
#[derive(Debug, Clone, Default)]
pub struct MailServer {
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl MailServer {
    /// Listens on this port of a host's loopback.
    pub fn start(host: &Host, port: u16) -> Result<Self, Failure> {
        let doing = format!("mail server on {}", host.name());
        let listener = host
            .enter(|| TcpListener::bind(("127.0.0.1", port)))?
            .map_err(|cause| Failure::instrument(&doing, cause))?;
        let server = Self::default();
        let taken = Arc::clone(&server.taken);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&taken);
                thread::spawn(move || serve(&stream, &taken));
            }
        });
        Ok(server)
    }

    /// Letters so far.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the letters so far.
    pub fn forget(&self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Subjects so far, sorted.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<_> = self.taken().iter().map(|letter| letter.subject().to_owned()).collect();
        subjects.sort();
        subjects
    }
}

fn serve(stream: &TcpStream, taken: &Mutex<Vec<Taken>>) {
    let mut out = stream;
    let mut answer = |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).is_ok();
    let (mut envelope, mut text) = (Vec::new(), None::<Vec<String>>);
    answer("220 lab");
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let reply = match (&mut text, line.as_str()) {
            (Some(lines), ".") => {
                let letter = letter(std::mem::take(&mut envelope), lines);
                taken.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
                text = None;
                "250 taken"
            }
            (Some(lines), _) => {
                lines.push(line);
                continue;
            }
            (None, "DATA") => {
                text = Some(Vec::new());
                "354 go on"
            }
            (None, "QUIT") => "221 bye",
            (None, _) => {
                envelope.push(line);
                "250 ok"
            }
        };
        if !answer(reply) {
            return;
        }
    }
}

fn letter(envelope: Vec<String>, lines: &[String]) -> Taken {
    let end = lines.iter().position(String::is_empty).unwrap_or(lines.len());
    let (headers, body) = lines.split_at(end);
    let (dates, headers): (Vec<_>, Vec<_>) =
        headers.iter().cloned().partition(|line| line.starts_with("Date: "));
    Taken { envelope, headers, date: dates.concat(), body: body.to_vec() }
}
