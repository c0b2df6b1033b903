//! CPU time per 1 000 TCP checks: the driver against a bare epoll loop that does nothing but connect, in a row or at
//! the driver's pace (waking up costs more than connecting).
//!
//! `cargo run --profile lab --example cost [SECONDS]`. The server is another process, so that its time is not counted.
#![expect(clippy::unwrap_used, reason = "a measuring tool: any failure ends it")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checkd::driver;
use config::model::check::{Check, CheckKind, Endpoint, RealServer, VirtualServer};
use config::model::ipvs::{Destination, Forwarding, Protocol, ServiceKey, ServiceOptions};
use config::model::parts::CheckHead;
use config::model::tls::TlsFiles;
use config::model::units::{CheckId, Generation, Weight};
use ipc::channel::Channel;
use ipc::memfd::{self, RecordWriter};
use ipc::messages::checkd::{CheckdToParent, ParentToCheckd};
use ipc::messages::{FromDaemon, StopMode, ToDaemon};
use ipc::reactor::{self, Reactor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use sandbox::Confinement;
use socket2::{Domain, Socket, Type};

const CHECKS: u32 = 1000;
const INTERVAL: Duration = Duration::from_millis(200);

fn main() -> io::Result<()> {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("serve") {
        return serve();
    }
    let seconds = argument.and_then(|text| text.parse().ok()).unwrap_or(5);
    let runs = [
        (
            "bare epoll loop, in a row",
            with_server(|target| on_thread(move || bare_loop(target, Duration::ZERO))),
        ),
        (
            "bare epoll loop, paced",
            with_server(|target| on_thread(move || bare_loop(target, INTERVAL / CHECKS))),
        ),
        ("checkd driver", with_server(|target| drive(target, Duration::from_secs(seconds)))),
    ];
    for (name, (time, count)) in runs {
        let cost = time.as_micros() * 1000 / u128::from(count.max(1));
        writeln!(io::stdout(), "{name:26} {count:6} connections, {cost:6} us per 1000")?;
    }
    Ok(())
}

/// Accepts and closes until its input ends, then prints how often.
fn serve() -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            COUNT.fetch_add(1, Ordering::Relaxed);
            close(&stream);
        }
    });
    io::stdin().read_to_end(&mut Vec::new())?;
    writeln!(io::stdout(), "{}", COUNT.load(Ordering::Relaxed))
}

fn close(stream: &TcpStream) {
    // The client may have closed first.
    let _gone = stream.shutdown(Shutdown::Both);
}

fn with_server(work: impl FnOnce(SocketAddr) -> Duration) -> (Duration, u64) {
    let mut server: Child = Command::new(std::env::current_exe().unwrap())
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = io::BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    io::BufRead::read_line(&mut output, &mut line).unwrap();
    let time = work(line.trim().parse().unwrap());
    drop(server.stdin.take());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    server.wait().unwrap();
    (time, rest.trim().parse().unwrap())
}

/// CPU time of `work` on its own thread.
fn on_thread(work: impl FnOnce() + Send + 'static) -> Duration {
    let timed = move || {
        work();
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros(usage.user_time()) + micros(usage.system_time())).unwrap())
    };
    std::thread::spawn(timed).join().unwrap()
}

/// One connection after the other: socket, connect, register, wait, ask for the error, close.
fn bare_loop(target: SocketAddr, pace: Duration) {
    let mut reactor = Reactor::new().unwrap();
    let mut ready = Vec::new();
    let mut next = reactor::now();
    for _ in 0..CHECKS * 20 {
        while !pace.is_zero() && reactor.turn(Some(next), &mut ready).unwrap() < next {}
        next = next + pace;
        ready.clear();
        let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking(), None).unwrap();
        let _in_progress = socket.connect(&target.into());
        reactor.watch(socket.as_raw_fd(), 0).unwrap();
        while ready.is_empty() {
            reactor.turn(None, &mut ready).unwrap();
        }
        ready.clear();
        assert!(socket.take_error().unwrap().is_none());
    }
}

fn drive(target: SocketAddr, length: Duration) -> Duration {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let parent = std::thread::spawn(move || be_parent(ours, target, length));
    let time = on_thread(move || {
        let open =
            Confinement { landlock_abi: 0, file_system: false, tcp: false, scopes: false, seccomp: false };
        let link = driver::Link::greet(theirs).unwrap();
        driver::run(link, move |_grants| Ok(open)).unwrap();
    });
    parent.join().unwrap();
    time
}

fn be_parent(socket: UnixStream, target: SocketAddr, length: Duration) {
    let mut channel: Channel<ParentToCheckd, CheckdToParent> = Channel::new(socket, false).unwrap();
    let generation = Generation::new(1);
    let file = model(target);
    channel.send(&ToDaemon::Prepare { generation }.into(), &[file.as_fd()]).unwrap();
    let end = reactor::now() + length + Duration::from_secs(1);
    let mut stopping = false;
    loop {
        match channel.receive() {
            Ok(Some((message, _))) => {
                if message == CheckdToParent::Common(FromDaemon::Prepared(generation)) {
                    channel.send(&ToDaemon::Commit(generation).into(), &[]).unwrap();
                }
            }
            Ok(None) => {
                let left = end.since(reactor::now());
                if left.is_zero() && !std::mem::replace(&mut stopping, true) {
                    channel.send(&ToDaemon::Stop(StopMode::Leave).into(), &[]).unwrap();
                }
                let wait = if stopping { PollTimeout::NONE } else { PollTimeout::try_from(left).unwrap() };
                poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], wait).unwrap();
            }
            Err(_) => return,
        }
    }
}

fn model(target: SocketAddr) -> std::os::fd::OwnedFd {
    let check = |id| Check {
        id: CheckId::new(id),
        kind: CheckKind::Tcp(Endpoint::new(target, Duration::from_secs(5))),
        alpha: false,
        delay_loop: INTERVAL,
        retry: 1,
        delay_before_retry: INTERVAL,
        warmup: INTERVAL,
        log_all_failures: false,
    };
    let destination = Destination {
        address: target.ip(),
        port: target.port(),
        forwarding: Forwarding::Nat,
        upper_threshold: 0,
        lower_threshold: 0,
    };
    let server = |id: u32| RealServer {
        name: format!("server {id}"),
        destination,
        weight: Weight::clamped(1),
        inhibit_on_failure: false,
        notify_up: None,
        notify_down: None,
        mail: false,
        checks: vec![check(id)],
    };
    let service = VirtualServer {
        name: "service".to_owned(),
        keys: vec![ServiceKey::Address { address: target.ip(), port: 80, protocol: Protocol::Tcp }],
        marked: None,
        options: ServiceOptions::plain("rr"),
        quorum: 1,
        hysteresis: 0,
        alpha: false,
        omega: false,
        ha_suspend: false,
        quorum_up: None,
        quorum_down: None,
        sorry_server: None,
        sorry_server_inhibit: false,
        mail: false,
        real_servers: (0..CHECKS).map(server).collect(),
    };
    let mut writer = RecordWriter::new(memfd::create("model").unwrap());
    writer
        .write(&CheckHead {
            virtual_servers: 1,
            checks: CHECKS,
            init_notifies: false,
            mail: None,
            tls: TlsFiles::default(),
        })
        .unwrap();
    writer.write(&service).unwrap();
    let file = writer.finish().unwrap();
    memfd::seal(file.as_fd()).unwrap();
    file
}
