//! The program itself in its sandbox: everything that checks need works, and nothing is refused meanwhile.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use ipc::messages::checkd::CheckdToParent;
use ipc::messages::{Confined, FromDaemon, StopMode, ToDaemon};
use ipc::reactor;
use sandbox::system::process::Ending;
use socket2::{Domain, Socket, Type};

use crate::datagrams::{answering, dns, dns_answer};
use crate::servers::{closed, good, serve, silent};
use crate::streams::{https, mail_server, smtp, tls_server};
use crate::support::{Parent, http, impatient, misc, server, service, tcp};

fn confinement(parent: &Parent) -> &Confined {
    let confined = parent.seen.iter().find_map(|message| match message {
        CheckdToParent::Common(FromDaemon::Confined(confined)) => Some(confined),
        _ => None,
    });
    confined.unwrap()
}

fn refused_calls(parent: &Parent) -> Option<&CheckdToParent> {
    parent
        .seen
        .iter()
        .find(|message| matches!(message, CheckdToParent::Common(FromDaemon::UnknownCalls { .. })))
}

#[test]
fn checks_reloads_and_stop_need_no_call_outside_the_profile() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bound = tcp(listener.local_addr().unwrap());
    if let config::model::check::CheckKind::Tcp(endpoint) = &mut bound.kind {
        endpoint.bind_to = Some("127.0.0.9".parse().unwrap());
    }
    let services = [service(vec![
        server(1, vec![http(serve(good), None)]),
        server(2, vec![impatient(http(serve(silent), None))]),
        server(3, vec![tcp(closed())]),
        server(4, vec![bound]),
        server(5, vec![misc(1)]),
        server(6, vec![https(tls_server(&["-tls1_3"]))]),
        server(7, vec![smtp(serve(mail_server))]),
        server(8, vec![dns(answering(|question| dns_answer(question, 0)))]),
    ])];
    let mut parent = Parent::start_confined();
    parent.load(1, &services);
    assert!(confinement(&parent).seccomp);
    let wanted = [0, 3, 4, 5, 6, 7].map(|server| (0, Some(server), 1));
    parent.until_table(&wanted);
    for passed in ["Remote Web server [192.0.2.1]", "Remote SMTP server"] {
        parent.until_told(|line| line.starts_with(passed));
    }
    let connected = "TCP connection to [192.0.2.1]:tcp:";
    parent.until_told(|line| line.starts_with(connected) && line.ends_with("success."));
    parent.load(2, &services);
    assert_eq!(parent.table.len(), 6);
    parent.send(ToDaemon::Quiesce);
    parent.until(|message| *message == CheckdToParent::Common(FromDaemon::Quiesced));
    parent.send(ToDaemon::Stop(StopMode::Withdraw));
    parent.until(|message| *message == CheckdToParent::Common(FromDaemon::Stopped));
    assert_eq!(refused_calls(&parent), None);
    assert_eq!(parent.exit(), Ending::Exited(0));
}

#[test]
fn without_descriptors_checks_are_postponed_and_no_server_is_blamed() {
    let address = serve(silent);
    let servers = (0..60)
        .map(|index| {
            let mut check = http(address, None);
            check.delay_loop = Duration::from_secs(30);
            if let config::model::check::CheckKind::Http(http) = &mut check.kind {
                http.endpoint.timeout = Duration::from_secs(30);
            }
            server(index, vec![check])
        })
        .collect();
    let mut parent = Parent::start_confined();
    // Once it speaks, nobody sets its limits any more.
    parent.until(|message| matches!(message, CheckdToParent::Common(FromDaemon::Hello(_))));
    let pid = parent.pid().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--nofile=32:"]).status().unwrap();
    assert!(limited.success());
    parent.load(1, &[service(servers)]);
    parent.until_log("could not start and are postponed");
    parent.settle();
    assert_eq!(parent.table.len(), 60);
    assert_eq!(parent.notified(), [1000]);
    assert_eq!(parent.exit(), Ending::Exited(0));
}

#[test]
fn five_thousand_checks_are_open_at_once_and_the_parent_is_still_answered() {
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    full.listen(1).unwrap();
    let target = full.local_addr().unwrap().as_socket().unwrap();
    // Nobody accepts: once the queue is full, further connections hang.
    let _queued: Vec<_> =
        (0..8).map(|_| TcpStream::connect_timeout(&target, Duration::from_millis(50))).collect();
    let servers = (0..5000)
        .map(|index| {
            let mut check = tcp(target);
            check.delay_loop = Duration::from_secs(60);
            if let config::model::check::CheckKind::Tcp(endpoint) = &mut check.kind {
                endpoint.timeout = Duration::from_secs(12);
            }
            server(index, vec![check])
        })
        .collect();
    let mut parent = Parent::start_confined();
    parent.load(1, &[service(servers)]);
    let mut most_open = 0;
    let mut slowest = Duration::ZERO;
    while !parent.table.is_empty() {
        let asked = reactor::now();
        parent.settle();
        slowest = slowest.max(reactor::now().since(asked));
        most_open = most_open.max(open_descriptors(parent.pid()));
    }
    assert!(most_open >= 5000, "at most {most_open} descriptors were open");
    // Who hangs on its checks answers when they are over.
    assert!(slowest < Duration::from_secs(10), "an answer took {slowest:?}");
    assert_eq!(refused_calls(&parent), None);
}

fn open_descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}
