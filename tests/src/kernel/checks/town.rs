//! The servers that are checked: one thread per host that answers everything, and remembers what it was asked.
//!
//! What a server does is written where it is asked for, so that a case says all by itself: three digits at the end of a
//! port say in which phase it does it, and the path of a url says what it answers in each phase.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lab::clock::now;
use crate::lab::{Failure, Host, pause};

/// TCP ports that accept connections and say nothing, in the phases whose digit is 1.
const ACCEPTING: &[u16] = &[7001, 7010, 7011, 7100, 7101, 7110, 7111];
/// SMTP: a good greeting, a good answer to HELO, any answer at all, replies of several lines, a good greeting by a server
/// that takes its time.
const SMTP: &[u16] = &[25011, 25101, 25111, 26101, 27101, 28101, 29101];
/// UDP: a bound port, a reply, the reply that is asked for, an empty reply.
const DATAGRAMS: &[u16] = &[17101, 17111, 18101, 19101, 20101, 53];
const HTTP: u16 = 80;
/// Within what a check waits for, and twice this isn't.
const SLOW: Duration = Duration::from_millis(1_200);

/// What was asked.
pub(super) struct Heard {
    /// Address of the server, as far as that is known.
    pub(super) server: Option<IpAddr>,
    /// The phase that the answer is of.
    pub(super) phase: u8,
    pub(super) at: Instant,
    /// The question, without what differs by itself.
    pub(super) text: String,
}

/// What the servers of all hosts have in common.
#[derive(Clone, Default)]
pub(super) struct Clockwork {
    phase: Arc<AtomicU8>,
    ended: Arc<AtomicBool>,
}

impl Clockwork {
    pub(super) fn set_phase(&self, phase: u8) {
        self.phase.store(phase, Ordering::SeqCst);
    }

    pub(super) fn phase(&self) -> u8 {
        self.phase.load(Ordering::SeqCst)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// The servers of one host.
pub(super) struct Town {
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Town {
    /// Starts them.
    pub(super) fn start(host: &Host, clockwork: &Clockwork) -> Result<Self, Failure> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let street = Street { clockwork: clockwork.clone(), heard: Arc::clone(&heard) };
        host.spawn_thread(move || street.serve())?;
        Ok(Self { heard })
    }

    /// Forgets what was asked so far.
    pub(super) fn forget(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Looks at what was asked so far.
    pub(super) fn heard<T>(&self, look: impl FnOnce(&[Heard]) -> T) -> T {
        look(&self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Clone)]
struct Street {
    clockwork: Clockwork,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Street {
    fn serve(&self) {
        let mut doors: Vec<(u16, Option<TcpListener>)> =
            [HTTP].iter().chain(ACCEPTING).chain(SMTP).map(|port| (*port, None)).collect();
        let mut boxes: Vec<(u16, Option<UdpSocket>)> = DATAGRAMS.iter().map(|port| (*port, None)).collect();
        while !self.clockwork.ended.load(Ordering::SeqCst) {
            let phase = self.clockwork.phase();
            for (port, door) in &mut doors {
                let open = !ACCEPTING.contains(port) || does(*port, phase);
                set(door, open, || listen(*port));
                while let Some((stream, _)) = door.as_ref().and_then(|door| door.accept().ok()) {
                    let (street, port) = (self.clone(), *port);
                    std::thread::spawn(move || street.converse(port, stream).ok());
                }
            }
            for (port, letters) in &mut boxes {
                set(letters, *port / 1000 != 17 || does(*port, phase), || bind(*port));
                let mut buffer = [0; 600];
                while let Some((length, peer)) =
                    letters.as_ref().and_then(|letters| letters.recv_from(&mut buffer).ok())
                {
                    let question = buffer.get(..length).unwrap_or_default();
                    if let (Some(reply), Some(letters)) =
                        (self.reply(*port, peer.ip().to_canonical(), question), letters.as_ref())
                    {
                        letters.send_to(&reply, peer).ok();
                    }
                }
            }
            pause(Duration::from_millis(20));
        }
    }

    fn note(&self, server: Option<IpAddr>, phase: u8, text: String) {
        let heard = Heard { server, phase, at: now(), text };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
    }

    fn converse(&self, port: u16, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        match port {
            HTTP => self.page(stream),
            _ if SMTP.contains(&port) => self.mail(port, stream),
            _ => Ok(()),
        }
    }

    fn page(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let server = stream.local_addr().ok().map(|address| address.ip().to_canonical());
        let Some(head) = read_until(&mut stream, b"\r\n\r\n")? else { return Ok(()) };
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let phase = self.clockwork.phase();
        self.note(server, phase, head);
        let wanted = path.split('/').nth(1 + usize::from(phase)).unwrap_or("ok");
        let ok = |body: &str| format!("HTTP/1.0 200 OK\r\nServer: town\r\n\r\n{body}");
        let answer = match wanted {
            "silent" => {
                // Longer than any check waits.
                pause(Duration::from_secs(3));
                return Ok(());
            }
            "close" => return Ok(()),
            "slow" => {
                pause(SLOW);
                stream.write_all(ok("o").as_bytes())?;
                pause(SLOW);
                "ne".to_owned()
            }
            "garbage" => "certainly no answer to that\r\n\r\n".to_owned(),
            "empty" => ok(""),
            "interim" => format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("one")),
            "chunked" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n".to_owned()
            }
            "unfinished" => "HTTP/1.0 200 OK\r\nContent-Length: 30\r\n\r\none".to_owned(),
            "trailing" => "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nonetwo".to_owned(),
            "headless" => "HTTP/1.0 200 OK\r\nServer: town\r\n".to_owned(),
            code if code.len() == 3 && code.parse::<u16>().is_ok() => {
                format!("HTTP/1.0 {code} Word\r\nContent-Length: 3\r\n\r\none")
            }
            "copyright" => return stream.write_all(&[ok("x").as_bytes(), b"\xa9y"].concat()),
            "utf8" => ok("x\u{a9}y"),
            body => match body.split_once(':') {
                Some((code, body)) => format!("HTTP/1.0 {code} Word\r\n\r\n{body}"),
                None => ok(body),
            },
        };
        stream.write_all(answer.as_bytes())
    }

    fn mail(&self, port: u16, mut stream: TcpStream) -> std::io::Result<()> {
        let server = stream.local_addr().ok().map(|address| address.ip().to_canonical());
        let phase = self.clockwork.phase();
        let (kind, refuses) = (port / 1000, !does(port, phase));
        if kind == 27 && refuses {
            pause(Duration::from_secs(3));
            return Ok(());
        }
        let greeting = match kind {
            25 | 29 if refuses => "421 closed for today\r\n",
            28 => "220-one\r\n220-two\r\n220 three\r\n",
            _ => "220 town ESMTP\r\n",
        };
        let slow = kind == 29 && !refuses;
        if slow {
            pause(SLOW);
        }
        stream.write_all(greeting.as_bytes())?;
        while let Some(line) = read_until(&mut stream, b"\r\n")? {
            let answer = match (kind, line.as_bytes().first()) {
                (26, Some(b'H' | b'E')) if refuses => "550 not you\r\n",
                (28, Some(b'H' | b'E')) if refuses => "250-one\r\n550 two\r\n",
                (28, Some(b'H' | b'E')) => "250-one\r\n250 two\r\n",
                (_, Some(b'Q')) => "221 bye\r\n",
                _ => "250 well\r\n",
            };
            self.note(server, phase, line);
            if slow {
                pause(SLOW);
            }
            stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    /// Who asks a server over the loopback has its address.
    fn reply(&self, port: u16, server: IpAddr, question: &[u8]) -> Option<Vec<u8>> {
        let phase = self.clockwork.phase();
        if port == 53 {
            return self.answer(server, question, phase);
        }
        self.note(Some(server), phase, format!("udp {port} {question:02x?}"));
        match (port / 1000, does(port, phase)) {
            (20, true) => Some(Vec::new()),
            (18 | 19, true) => Some(b"pong!".to_vec()),
            (19, false) => Some(b"nope!".to_vec()),
            _ => None,
        }
    }

    /// The question with an answer's bits; its first label says the error of each phase, `x` for silence, `t` for an
    /// answer that is cut, `s` for half a header, `i` for the answer to another question.
    fn answer(&self, server: IpAddr, question: &[u8], phase: u8) -> Option<Vec<u8>> {
        self.note(Some(server), phase, format!("dns {:02x?}", question.get(2..)?));
        let mut answer = question.to_vec();
        *answer.get_mut(2)? |= 0x80;
        let code = match question.get(13) {
            Some(b'r') => *question.get(14 + usize::from(phase.min(2)))?,
            _ => b'0',
        };
        match code {
            b'x' => return None,
            b't' => *answer.get_mut(2)? |= 0x02,
            b's' => answer.truncate(6),
            b'i' => *answer.get_mut(0)? ^= 0x55,
            digit => *answer.get_mut(3)? = 0x80 | (digit - b'0'),
        }
        Some(answer)
    }
}

/// What the digit of this phase says.
fn does(port: u16, phase: u8) -> bool {
    let divisor = match phase {
        0 => 100,
        1 => 10,
        _ => 1,
    };
    port / divisor % 10 == 1
}

fn set<T>(slot: &mut Option<T>, wanted: bool, make: impl FnOnce() -> Option<T>) {
    match (wanted, slot.is_some()) {
        (true, false) => *slot = make(),
        (false, true) => *slot = None,
        (true, true) | (false, false) => {}
    }
}

fn listen(port: u16) -> Option<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).ok()?;
    listener.set_nonblocking(true).ok()?;
    Some(listener)
}

fn bind(port: u16) -> Option<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// Text up to a mark, which it loses; `None` at the end.
fn read_until(stream: &mut TcpStream, mark: &[u8]) -> std::io::Result<Option<String>> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(mark) {
        match stream.read(&mut byte) {
            Ok(1..) if text.len() < 4096 => text.extend_from_slice(&byte),
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    text.truncate(text.len() - mark.len());
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}
