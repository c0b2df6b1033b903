//! Services that answer with the name of their host, over TCP for as long as a client stays, and over UDP.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Failure, Host, pause};

/// A service over TCP or UDP that answers with the name of the node that it stands on.
pub struct Service {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), Failure>>>,
}

impl Service {
    /// UDP, on these addresses: an answer leaves from the address that was asked.
    pub fn datagrams(host: &Host, addresses: &[SocketAddr]) -> Result<Self, Failure> {
        let mut service = Self { stop: Arc::default(), threads: Vec::new() };
        for address in addresses {
            let socket = host
                .enter(|| UdpSocket::bind(address))?
                .and_then(|socket| socket.set_read_timeout(Some(GLANCE)).map(|()| socket))
                .map_err(|cause| Failure::instrument(&format!("UDP server on {address}"), cause))?;
            let (stop, name) = (Arc::clone(&service.stop), host.name().to_owned());
            service.threads.push(host.spawn_thread(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((_, from)) = socket.recv_from(&mut [0; 64]) {
                        socket.send_to(name.as_bytes(), from).ok();
                    }
                }
            })?);
        }
        Ok(service)
    }

    /// TCP, over both families: an answer for every byte, for as long as the client stays.
    pub fn streams(host: &Host, port: u16) -> Result<Self, Failure> {
        let listener = host
            .enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))?
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|cause| Failure::instrument("TCP server", cause))?;
        let stop: Arc<AtomicBool> = Arc::default();
        let (seen, name) = (Arc::clone(&stop), host.name().to_owned());
        let thread = host.spawn_thread(move || {
            let mut clients: Vec<TcpStream> = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                while let Ok((client, _)) = listener.accept() {
                    if client.set_nonblocking(true).is_ok() {
                        clients.push(client);
                    }
                }
                clients.retain_mut(|client| answer(client, &name));
                pause(Duration::from_millis(5));
            }
        })?;
        Ok(Self { stop, threads: vec![thread] })
    }
}

/// False when the client has gone.
fn answer(client: &mut TcpStream, name: &str) -> bool {
    match client.read(&mut [0; 1]) {
        Ok(0) => false,
        Ok(_) => client.write_all(name.as_bytes()).is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// An established connection.
pub struct Flow(TcpStream);

impl Flow {
    /// Connects from `client`.
    pub fn open(client: &Host, address: SocketAddr) -> Result<Self, Failure> {
        let stream = client
            .enter(|| TcpStream::connect_timeout(&address, CONNECT))?
            .and_then(|stream| stream.set_read_timeout(Some(PATIENCE)).map(|()| stream))
            .map_err(|cause| Failure::instrument(&format!("connection to {address}"), cause))?;
        Ok(Self(stream))
    }

    /// Asks and waits for the name, which has two letters.
    pub fn ask(&mut self) -> Result<String, Failure> {
        let mut name = [0; 2];
        self.0
            .write_all(b"?")
            .and_then(|()| self.0.read_exact(&mut name))
            .map_err(|cause| Failure::instrument("an established connection", cause))?;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }
}

const GLANCE: Duration = Duration::from_millis(50);
const CONNECT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(25);
