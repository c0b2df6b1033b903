//! Clients of a service that never ask twice: a new connection for every request, and one connection that stays.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::clock::now;
use super::{Failure, Host, pause};

/// Where they ask.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// An HTTP server, asked for `/` over a new connection each time.
    pub web: SocketAddr,
    /// A service that answers every byte with two, asked over one connection.
    pub flow: SocketAddr,
}

/// Clients that ask until [`Clients::finish`].
pub struct Clients {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<Vec<String>, Failure>>>,
    flow: JoinHandle<Result<Option<String>, Failure>>,
}

/// What clients saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Requests made.
    pub requests: u64,
    /// Why requests failed.
    pub failed: Vec<String>,
    /// What befell the connection that was to stay.
    pub flow: Option<String>,
}

impl Clients {
    /// So many clients on `host`, each with a request every `pace`.
    pub fn start(host: &Host, targets: Targets, count: usize, pace: Duration) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        for _ in 0..count {
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            threads.push(host.spawn_thread(move || ask_again(targets.web, pace, &stop, &requests))?);
        }
        let seen = Arc::clone(&stop);
        let flow =
            host.spawn_thread(move || hold(targets.flow, &seen).err().map(|cause| cause.to_string()))?;
        Ok(Self { stop, requests, threads, flow })
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Stops asking and reports.
    pub fn finish(self) -> Result<Seen, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        for thread in self.threads {
            failed.extend(thread.join().map_err(|_| Failure::new("a client ended"))??);
        }
        let flow = self.flow.join().map_err(|_| Failure::new("the connection's thread ended"))??;
        Ok(Seen { requests: self.requests.load(Ordering::Relaxed), failed, flow })
    }
}

fn ask_again(web: SocketAddr, pace: Duration, stop: &AtomicBool, requests: &AtomicU64) -> Vec<String> {
    let mut failed = Vec::new();
    let mut next = now();
    while !stop.load(Ordering::Relaxed) {
        requests.fetch_add(1, Ordering::Relaxed);
        failed.extend(request(web).err().map(|cause| cause.to_string()));
        // What was late is made up for, but for a stall of this machine: on from there, no burst.
        let moment = now();
        next = (next + pace).max(moment.checked_sub(STALL).unwrap_or(moment));
        pause(next.saturating_duration_since(moment));
    }
    failed
}

fn request(web: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&web, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let first = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Err(std::io::Error::other(format!("the answer was {:?}", String::from_utf8_lossy(first))))
}

/// One connection with an exchange every 10 ms.
fn hold(flow: SocketAddr, stop: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&flow, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_nodelay(true)?;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0; 2])?;
        pause(Duration::from_millis(10));
    }
    Ok(())
}

const STALL: Duration = Duration::from_millis(250);
/// Shorter than the second after which a kernel repeats a lost SYN: a lost packet is a failed request.
const WITHIN: Duration = Duration::from_millis(900);
