//! Checks of real servers as an operator configures them, from a confined checkd: against servers on other hosts.
//!
//! The host's kernel may have no IPVS: what is compared is what checkd finds, in its log and in the status.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, pause, process, sandboxed, wait_until};

use nix::sys::signal::Signal;

/// A first check within a second and a bit, whatever its result.
const FIRST: Duration = Duration::from_secs(20);

/// A virtual server with these real servers, each with one checker.
fn service(servers: &[(&str, &str)]) -> String {
    let mut text =
        "virtual_server 10.77.0.50 80 {\n    delay_loop 1\n    warmup 0\n    connect_timeout 1\n    \
                    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n"
            .to_owned();
    for (server, checker) in servers {
        text.push_str(&format!("    real_server {server} {{\n        {checker}\n    }}\n"));
    }
    text + "}\n"
}

fn logs(director: &Director, text: &str) -> Result<(), Failure> {
    wait_until(&format!("'{text}' is logged"), FIRST, || director.logged(text) > 0)
        .map(|_| ())
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))
}

/// Accepts connections and tells the port that each comes from.
fn listener(host: &Host, address: &'static str) -> Result<mpsc::Receiver<u16>, Failure> {
    let (ports, seen) = mpsc::channel();
    let socket = host
        .enter(|| TcpListener::bind(address))?
        .map_err(|cause| Failure::instrument(&format!("listening on {address}"), cause))?;
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let port = stream.peer_addr().map_or(0, |peer| peer.port());
            if ports.send(port).is_err() {
                return;
            }
        }
    });
    Ok(seen)
}

/// Answers every datagram with itself.
fn echo(host: &Host, address: &'static str) -> Result<JoinHandle<()>, Failure> {
    let socket = host
        .enter(|| UdpSocket::bind(address))?
        .map_err(|cause| Failure::instrument(&format!("listening on {address}"), cause))?;
    Ok(std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((got, from)) = socket.recv_from(&mut buffer) {
            let _gone = socket.send_to(buffer.get(..got).unwrap_or_default(), from);
        }
    }))
}

/// Waits for so many requests, tells that they have come, answers all of them when it is told to, and returns once they
/// are closed.
fn slow_pages(
    host: &Host,
    address: &'static str,
    count: usize,
    come: mpsc::Sender<()>,
    answer: mpsc::Receiver<()>,
) -> Result<JoinHandle<()>, Failure> {
    let socket = host
        .enter(|| TcpListener::bind(address))?
        .map_err(|cause| Failure::instrument(&format!("listening on {address}"), cause))?;
    Ok(std::thread::spawn(move || {
        let mut streams: Vec<TcpStream> = socket.incoming().flatten().take(count).collect();
        for stream in &mut streams {
            // The request is short and comes in one piece.
            let _gone = stream.read(&mut [0; 1024]);
        }
        if come.send(()).is_err() || answer.recv().is_err() {
            return;
        }
        for stream in &mut streams {
            let _gone = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        for stream in &mut streams {
            while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
        }
    }))
}

fn pings(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let d1 = lan.host("d1")?;
    let range = || d1.enter(|| std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range"));
    d1.sysctl("net.ipv4.ping_group_range", "1 0")?;
    let config = service(&[
        ("10.77.0.11 80", "PING_CHECK { }"),
        ("10.77.0.12 80", "PING_CHECK { retry 0\n connect_timeout 0.5 }"),
        ("10.77.0.13 80", "PING_CHECK { connect_ip fd77::11 }"),
        ("10.77.0.14 80", "PING_CHECK { connect_ip 192.0.2.1 }"),
        ("10.77.0.15 80", "PING_CHECK { connect_ip 10.77.0.11\n bindto 10.77.0.1\n bind_if eth0 }"),
    ]);
    let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
    logs(&director, "ICMP connection to [10.77.0.11]:tcp:80 success.")?;
    logs(&director, "ICMP connection to [10.77.0.13]:tcp:80 success.")?;
    logs(&director, "ICMP CHECK on service [10.77.0.12]:tcp:80 failed. reason=\"no answer\"")?;
    logs(&director, "ICMP CHECK on service [10.77.0.14]:tcp:80 failed. reason=\"network unreachable\"")?;
    logs(&director, "Removing service [10.77.0.12]:tcp:80 from VS [10.77.0.50]:tcp:80")?;
    let closed = range()?.unwrap_or_default();
    require(closed.split_whitespace().eq(["1", "0"]), || format!("the range stays open: {closed}"))?;

    lan.host("s1")?.ip("addr del 10.77.0.11/24 dev eth0\n")?;
    logs(
        &director,
        "ICMP CHECK on service [10.77.0.11]:tcp:80 of [10.77.0.50]:tcp:80 failed after 1 retries.",
    )?;
    let old = director.wait_daemon("checkd")?;
    process::signal(old, Signal::SIGKILL);
    director.wait_successor("checkd", old)?;
    lan.host("s1")?.ip("addr add 10.77.0.11/24 dev eth0\n")?;
    wait_until("the successor pings", FIRST, || {
        director.logged("ICMP connection to [10.77.0.11]:tcp:80 success.") >= 2
    })
    .map(|_| ())
}

#[test]
fn pings_need_no_privilege_in_the_checker_and_leave_the_range_of_groups_as_it_was() {
    sandboxed(60, pings);
}

fn borrowed(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let (d1, s1) = (lan.host("d1")?, lan.host("s1")?);
    s1.ip("addr add 192.0.2.1/32 dev lo\n")?;
    // Only packets with the mark know the way.
    d1.ip("rule add fwmark 7 lookup 100\nroute add 192.0.2.1/32 via 10.77.0.11 table 100\n")?;
    let marked = listener(s1, "192.0.2.1:80")?;
    let low = listener(s1, "10.77.0.11:81")?;
    let _echo = echo(s1, "192.0.2.1:82")?;
    let config = service(&[
        ("192.0.2.1 80", "TCP_CHECK { fwmark 7 }"),
        ("192.0.2.2 80", "TCP_CHECK { connect_ip 192.0.2.1 }"),
        ("10.77.0.11 81", "TCP_CHECK { bind_port 500 }"),
        ("192.0.2.1 82", "UDP_CHECK { fwmark 7\n payload 0102\n require_reply 01 }"),
        ("192.0.2.3 80", "PING_CHECK { fwmark 7\n connect_ip 192.0.2.1 }"),
    ]);
    let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
    logs(&director, "TCP connection to [192.0.2.1]:tcp:80 success.")?;
    logs(&director, "TCP_CHECK on service [192.0.2.2]:tcp:80 failed. reason=\"network unreachable\"")?;
    logs(&director, "TCP connection to [10.77.0.11]:tcp:81 success.")?;
    logs(&director, "UDP connection to [192.0.2.1]:tcp:82 success.")?;
    logs(&director, "ICMP connection to [192.0.2.3]:tcp:80 success.")?;
    // The same sockets connect again and again.
    for _check in 0..3 {
        let port = low.recv_timeout(FIRST).map_err(|_| Failure::new("no further check from the low port"))?;
        require(port == 500, || format!("a check came from port {port}"))?;
        marked.recv_timeout(FIRST).map_err(|_| Failure::new("no further check with the mark"))?;
    }
    require(director.logged("postponed") == 0, || director.log())?;

    // A reload brings new sockets; what was known stays known.
    director.ctl(&["reload"])?;
    marked.try_iter().count();
    low.try_iter().count();
    for _check in 0..2 {
        marked.recv_timeout(FIRST).map_err(|_| Failure::new("no marked check after a reload"))?;
        low.recv_timeout(FIRST).map_err(|_| Failure::new("no check from the low port after a reload"))?;
    }
    require(director.logged("TCP connection to [192.0.2.1]:tcp:80 success.") == 1, || director.log())
}

#[test]
fn marks_and_low_ports_are_borrowed_from_the_parent() {
    sandboxed(60, borrowed);
}

/// An interface from d1 to s1, with the only way to 192.0.2.9 for who is bound to it.
fn wire(d1: &Host, s1: &Host) -> Result<(), Failure> {
    d1.ip("link add v0 type veth peer name v1 netns s1\nlink set v0 up\naddr add 10.66.0.1/24 dev v0\n")?;
    s1.ip("link set v1 up\naddr add 10.66.0.2/24 dev v1\n")?;
    d1.ip("route add 192.0.2.9/32 via 10.66.0.2 dev v0 table 100\n")
}

/// What the parent has opened goes on with an interface that is made anew, and waits for addresses.
fn outlived(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let (d1, s1) = (lan.host("d1")?, lan.host("s1")?);
    d1.ip("rule add oif v0 lookup 100\n")?;
    s1.ip("addr add 192.0.2.9/32 dev lo\n")?;
    wire(d1, s1)?;
    let tcp = listener(s1, "192.0.2.9:80")?;
    let _elsewhere = listener(s1, "10.77.0.11:80")?;
    let _echo = echo(s1, "192.0.2.9:82")?;
    let config = service(&[
        ("192.0.2.9 80", "TCP_CHECK { fwmark 7\n bind_if v0 }"),
        ("192.0.2.9 82", "UDP_CHECK { fwmark 7\n bind_if v0\n payload 0102\n require_reply 01 }"),
        ("192.0.2.9 83", "PING_CHECK { bind_if v0 }"),
        ("10.77.0.11 84", "PING_CHECK { bindto 10.77.0.99 }"),
        ("10.77.0.11 85", "PING_CHECK { connect_ip fd77::11\n bindto fd77::99 }"),
        ("10.77.0.11 86", "TCP_CHECK { connect_port 80\n fwmark 7\n bindto 10.77.0.99 }"),
    ]);
    let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
    logs(&director, "TCP connection to [192.0.2.9]:tcp:80 success.")?;
    logs(&director, "UDP connection to [192.0.2.9]:tcp:82 success.")?;
    logs(&director, "ICMP connection to [192.0.2.9]:tcp:83 success.")?;
    let checked = |times| {
        tcp.try_iter().count();
        (0..times).try_for_each(|_check| {
            tcp.recv_timeout(FIRST).map(|_port| ()).map_err(|_| Failure::new("no further check"))
        })
    };
    checked(3)?;
    for _time in 0..2 {
        d1.ip("link del v0\n")?;
        wire(d1, s1)?;
        checked(4)?;
    }
    let lines = "could not start and are postponed, the last of [10.77.0.11]:tcp:8";
    require(director.logged(lines) > 0, || director.log())?;
    require(director.logged("success.") == 3 && director.logged("Removing") == 0, || director.log())?;

    d1.ip("addr add 10.77.0.99/24 dev eth0\naddr add fd77::99/64 dev eth0 nodad\n")?;
    logs(&director, "ICMP connection to [10.77.0.11]:tcp:84 success.")?;
    logs(&director, "ICMP connection to [10.77.0.11]:tcp:85 success.")?;
    logs(&director, "TCP connection to [10.77.0.11]:tcp:86 success.")?;
    // Those are pings that can fail.
    s1.ip("addr del 192.0.2.9/32 dev lo\n")?;
    logs(&director, "Removing service [192.0.2.9]:tcp:83")?;
    s1.ip("addr add 192.0.2.9/32 dev lo\n")?;
    logs(&director, "Adding service [192.0.2.9]:tcp:83")?;
    director.stop().map(|_| ())
}

#[test]
fn borrowed_sockets_outlive_their_interface_and_wait_for_their_address() {
    sandboxed(90, outlived);
}

fn suspended(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let (d1, s1) = (lan.host("d1")?, lan.host("s1")?);
    let connections = listener(s1, "10.77.0.11:80")?;
    let by_vrrp = listener(s1, "10.77.0.11:81")?;
    let config = global("d1")
        + &VrrpInstance::new(3, "0.2", 200, front4(50)).text()
        + &service(&[("10.77.0.11 81", "TCP_CHECK { }")]).replace("delay_loop", "ha_suspend\n    delay_loop")
        + &service(&[("10.77.0.11 80", "TCP_CHECK { }")])
            .replace("10.77.0.50", "10.77.0.60")
            .replace("delay_loop", "ha_suspend\n    delay_loop");
    let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
    logs(&director, "Activating healthchecker for service [10.77.0.11]:tcp:81 for VS [10.77.0.50]:tcp:80")?;
    by_vrrp.recv_timeout(FIRST).map_err(|_| Failure::new("no check although the address is here"))?;
    require(connections.try_iter().count() == 0, || "checked without the address".to_owned())?;

    d1.ip("addr add 10.77.0.60/32 dev lo\n")?;
    logs(&director, "Activating healthchecker for service [10.77.0.11]:tcp:80 for VS [10.77.0.60]:tcp:80")?;
    connections.recv_timeout(FIRST).map_err(|_| Failure::new("no check although the address came"))?;
    d1.ip("addr del 10.77.0.60/32 dev lo\n")?;
    logs(&director, "Suspending healthchecker for service [10.77.0.11]:tcp:80 for VS [10.77.0.60]:tcp:80")?;
    // Neither a reload nor a successor checks what rests.
    director.ctl(&["reload"])?;
    let old = director.wait_daemon("checkd")?;
    process::signal(old, Signal::SIGKILL);
    director.wait_successor("checkd", old)?;
    connections.try_iter().count();
    by_vrrp.try_iter().count();
    for _check in 0..3 {
        by_vrrp.recv_timeout(FIRST).map_err(|_| Failure::new("no check by the successor"))?;
    }
    require(connections.try_iter().count() == 0, || "checked without the address".to_owned())
}

#[test]
fn checks_with_ha_suspend_follow_the_address() {
    sandboxed(60, suspended);
}

fn numbers(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let file = "/run/lab/number";
    let write = |number: &str| {
        std::fs::write(file, number).map_err(|cause| Failure::instrument("writing a number", cause))
    };
    std::fs::create_dir_all("/run/lab").map_err(|cause| Failure::instrument("making /run/lab", cause))?;
    write("0")?;
    let config = format!("track_file number {{ file {file}\n }}\n")
        + &service(&[
            ("10.77.0.11 80", "weight 10\n FILE_CHECK { track_file number\n weight 2\n }"),
            ("10.77.0.12 80", "FILE_CHECK { track_file number\n weight 0\n }"),
        ]);
    let director = Director::start(lab, lan.host("d1")?, Subject::Ours, &config, &[])?;
    logs(&director, "Gained quorum 1+0=1 <= 11 for VS [10.77.0.50]:tcp:80")?;
    write("3")?;
    logs(&director, "Changing weight from 10 to 16 for active service [10.77.0.11]:tcp:80")?;
    logs(&director, "Removing service [10.77.0.12]:tcp:80 from VS [10.77.0.50]:tcp:80")?;
    // What is known outlives the checker.
    let old = director.wait_daemon("checkd")?;
    process::signal(old, Signal::SIGKILL);
    director.wait_successor("checkd", old)?;
    write("0")?;
    logs(&director, "Adding service [10.77.0.12]:tcp:80 to VS [10.77.0.50]:tcp:80")?;
    logs(&director, "Changing weight from 16 to 10 for active service [10.77.0.11]:tcp:80")
}

#[test]
fn a_number_in_a_file_takes_servers_out_and_changes_weights() {
    sandboxed(60, numbers);
}

/// More answers than checkd hears in one turn come while it stands still for longer than it waits.
fn stood_still(lab: &Lab) -> Result<(), Failure> {
    const COUNT: usize = 400;
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let (tell_come, come) = mpsc::channel();
    let (answer, wait_answer) = mpsc::channel();
    let served = slow_pages(lan.host("s1")?, "10.77.0.11:8080", COUNT, tell_come, wait_answer)?;
    let file = "/run/lab/number";
    std::fs::create_dir_all("/run/lab")
        .and_then(|()| std::fs::write(file, "0"))
        .map_err(|cause| Failure::instrument("writing a number", cause))?;
    let mut config = format!("track_file number {{ file {file}\n }}\n")
        + "virtual_server 10.77.0.50 80 {\n delay_loop 60\n warmup 0\n connect_timeout 3\n retry 0\n lb_algo rr\n \
           lb_kind NAT\n protocol TCP\n";
    for port in 1..=COUNT {
        config.push_str(&format!(
            "real_server 10.77.0.11 {port} {{\n HTTP_GET {{\n connect_port 8080\n url {{\n path /\n status_code 200\n \
             }}\n }}\n }}\n"
        ));
    }
    config.push_str("real_server 10.77.0.12 80 {\n FILE_CHECK {\n track_file number\n weight 1\n }\n }\n}\n");
    let director = Director::start(lab, lan.host("d1")?, Subject::Ours, &config, &[])?;
    let checkd = director.wait_daemon("checkd")?;
    come.recv_timeout(FIRST).map_err(|_| Failure::new(format!("no requests came:\n{}", director.log())))?;
    process::signal(checkd, Signal::SIGSTOP);
    answer.send(()).map_err(|_| Failure::new("the servers are gone"))?;
    // Longer than connect_timeout, and less than the parent allows.
    pause(Duration::from_millis(3_600));
    process::signal(checkd, Signal::SIGCONT);
    served.join().map_err(|_| Failure::new("the servers failed"))?;
    std::fs::write(file, "3").map_err(|cause| Failure::instrument("writing a number", cause))?;
    logs(&director, "Changing weight from 1 to 4 for active service [10.77.0.12]:tcp:80")?;
    let log = director.log();
    require(director.daemon("checkd") == Some(checkd), || format!("checkd was replaced:\n{log}"))?;
    require(director.logged("Removing service") == 0, || format!("servers that answered went out:\n{log}"))
}

#[test]
fn answers_that_came_while_the_checker_stood_still_count() {
    sandboxed(60, stood_still);
}

/// A reload brings checks of a file that nobody has looked at before.
fn foreseen(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let director = Director::start(lab, d1, Subject::Ours, &service(&[("10.77.0.11 80", "weight 10")]), &[])?;
    logs(&director, "Startup complete")?;
    let file = "/run/lab/foreseen";
    std::fs::write(file, "5").map_err(|cause| Failure::instrument("writing a number", cause))?;
    let config = format!("track_file number {{ file {file}\n }}\n")
        + &service(&[("10.77.0.11 80", "weight 10\n FILE_CHECK { track_file number\n weight 2\n }")]);
    director.write_config(d1, &config)?;
    director.signal(Signal::SIGHUP);
    logs(&director, "Reload complete")?;
    logs(&director, "Changing weight from 10 to 20 for active service [10.77.0.11]:tcp:80")?;
    let log = director.log();
    require(log.find("Changing weight") < log.find("Reload complete"), || {
        format!("the server had its plain weight behind the reload:\n{log}")
    })
}

#[test]
fn a_reload_knows_what_its_files_hold_before_it_counts() {
    sandboxed(60, foreseen);
}

/// What a real server says of itself counts before what its virtual server says.
fn own_times(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let s1 = lan.host("s1")?;
    let _awaited = listener(s1, "10.77.0.11:81")?;
    let _present = listener(s1, "10.77.0.11:82")?;
    let servers = [
        ("10.77.0.11 81", "alpha\n TCP_CHECK { }"),
        ("10.77.0.11 82", "TCP_CHECK { }"),
        ("10.77.0.11 83", "retry 2\n delay_before_retry 0.3\n TCP_CHECK { }"),
        ("10.77.0.11 84", "delay_loop 0.5\n delay_before_retry 0.3\n TCP_CHECK { }"),
    ];
    let slow = "delay_loop 60\n    delay_before_retry 60\n    retry 1";
    let inhibited = service(&[("10.77.0.11 85", "TCP_CHECK { }")])
        .replacen("10.77.0.50", "10.77.0.51", 1)
        .replacen("delay_loop 1", "delay_loop 1\n    delay_before_retry 0.3\n    inhibit_on_failure", 1);
    let config = service(&servers).replacen("delay_loop 1", slow, 1) + &inhibited;
    let director = Director::start(lab, lan.host("d1")?, Subject::Ours, &config, &[])?;
    logs(&director, "Adding service [10.77.0.11]:tcp:81 to VS")?;
    logs(&director, "Removing service [10.77.0.11]:tcp:83 from VS")?;
    logs(&director, "Removing service [10.77.0.11]:tcp:84 from VS")?;
    logs(&director, "Disabling service [10.77.0.11]:tcp:85 of VS [10.77.0.51]:tcp:80")?;
    let _back = (listener(s1, "10.77.0.11:84")?, listener(s1, "10.77.0.11:85")?);
    logs(&director, "Adding service [10.77.0.11]:tcp:84 to VS")?;
    logs(&director, "Enabling service [10.77.0.11]:tcp:85 of VS [10.77.0.51]:tcp:80")?;
    let added = director.logged("Adding service [10.77.0.11]:tcp:82");
    require(added == 0, || format!("82 was there from the start\n{}", director.log()))
}

#[test]
fn times_of_real_servers_are_their_own_and_an_inhibited_one_stays_in_the_table() {
    sandboxed(60, own_times);
}

/// Routes that answer themselves: what says that nobody is reached fails a check, what drops says nothing.
fn routes_that_answer(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    for (kind, third) in [("prohibit", 1), ("unreachable", 2), ("blackhole", 3)] {
        d1.ip(&format!("route add {kind} 198.18.{third}.0/24\n"))?;
    }
    let kinds = ["TCP_CHECK", "UDP_CHECK", "PING_CHECK"];
    let address = |third: u8, last: usize| format!("198.18.{third}.{last}");
    let servers: Vec<(String, String)> = (1..=3_u8)
        .flat_map(|third| kinds.iter().enumerate().map(move |(last, kind)| (third, last, kind)))
        .map(|(third, last, kind)| (format!("{} 80", address(third, last)), format!("{kind} {{ }}")))
        .collect();
    let servers: Vec<(&str, &str)> = servers.iter().map(|(server, check)| (&**server, &**check)).collect();
    let director = Director::start(lab, d1, Subject::Ours, &service(&servers), &[])?;
    let removed = |third, last| format!("Removing service [{}]:tcp:80", address(third, last));
    for third in [1, 2] {
        for last in 0..kinds.len() {
            logs(&director, &removed(third, last))?;
        }
    }
    logs(&director, "could not start and are postponed")?;
    for last in 0..kinds.len() {
        require(director.logged(&removed(3, last)) == 0, || director.log())?;
    }
    director.stop().map(|_| ())
}

#[test]
fn routes_that_prohibit_fail_a_check_and_those_that_drop_postpone_it() {
    sandboxed(60, routes_that_answer);
}
