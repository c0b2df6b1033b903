//! What checkd does.

use std::io::Write;
use std::net::{Shutdown, TcpListener};

use sandbox::profile::CHECKD;
use sandbox::seccomp::Extras;
use tests::calls::Shown;
use tests::lab::{Failure, Host, Lab, sandboxed, wait_until};

use super::{PATIENCE, Scenario, Watched, death_of, large, prove, service, signal_to, small};

const UDP: Extras = Extras { udp: true };

#[test]
fn every_call_that_checkd_may_make_is_used_and_no_other() {
    sandboxed(200, |lab| {
        // The last one leaves the probe where checkd was.
        let scenarios: [(&str, Scenario); 4] =
            [("checks", checks), ("crowd", crowd), ("signal", signal), ("death", death)];
        prove(lab, include_str!("checkd.tsv"), &CHECKD, UDP, &scenarios)
    });
}

/// One check of every kind that has a socket of its own, mail, a reload, the stop.
fn checks(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let config = format!(
        "global_defs {{\n    smtp_server 10.99.0.1 2525\n    smtp_alert\n    notification_email {{\n        \
         a@example.com\n    }}\n}}\n{}{}",
        service(
            "10.98.0.1",
            &[
                ("10.99.0.1", "TCP_CHECK {\n bindto 10.77.0.1\n }"),
                ("10.99.0.2", "TCP_CHECK {\n bind_if lo\n }"),
                ("10.99.0.3", "TCP_CHECK {\n bind_port 7000\n }"),
                ("10.99.0.4", "HTTP_GET {\n url {\n path /\n regex b\n }\n }"),
                ("10.99.0.5", "SSL_GET {\n url {\n path /\n }\n }"),
                ("10.99.0.6", "SMTP_CHECK {\n }"),
                ("10.99.0.7", "DNS_CHECK {\n }"),
                ("10.99.0.8", "UDP_CHECK {\n payload 00\n }"),
                ("10.99.0.9", "PING_CHECK {\n }"),
                ("10.99.0.10", "TCP_CHECK {\n bind_port 700\n }"),
                ("10.99.0.11", "TCP_CHECK {\n fwmark 7\n }"),
            ]
        ),
        service(
            "fd98::1",
            &[("fd99::1", "TCP_CHECK {\n bindto fd77::1\n }"), ("fd99::2", "DNS_CHECK {\n }"),]
        )
    );
    greet(host)?;
    let watched = Watched::start(lab, host, &config)?;
    wait_until("every server has been found wanting, or not", PATIENCE, || {
        ["10.99.0.3", "10.99.0.4", "10.99.0.7", "10.99.0.8", "fd99::2"]
            .iter()
            .all(|server| watched.director.logged(&format!("Removing service [{server}]")) > 0)
            && watched.director.logged("SMTP connection ERROR to") > 0
    })?;
    watched.director.ctl(&["reload"])?;
    watched.end("checkd", UDP)
}

/// Many servers, which come and go.
fn crowd(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let watched = Watched::start(lab, host, &large())?;
    wait_until("the servers are down", PATIENCE, || watched.director.logged("Removing service") >= 1000)?;
    watched.director.write_config(host, &small())?;
    watched.director.ctl(&["reload"])?;
    watched.director.write_config(host, &large())?;
    watched.director.ctl(&["reload"])?;
    watched.end("checkd", Extras::default())
}

fn signal(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    signal_to("checkd", Watched::start(lab, host, &small())?, "Removing service")
}

fn death(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    death_of("checkd", &["-C"], &small(), lab, host)
}

/// What listens to port 80 of some servers: a large page on one, greetings in the words of SMTP on the others.
fn greet(host: &Host) -> Result<(), Failure> {
    let page = format!("HTTP/1.0 200 OK\r\n\r\n{}", "a".repeat(400_000));
    for (server, words) in [
        ("10.99.0.4:80", page.as_str()),
        ("10.99.0.5:80", "220 ready\r\n"),
        ("10.99.0.6:80", "220 ready\r\n"),
        ("10.99.0.11:80", "220 ready\r\n"),
    ] {
        let listener = host
            .enter(|| TcpListener::bind(server))?
            .map_err(|cause| Failure::instrument("listening", cause))?;
        let words = words.to_owned();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                drop(stream.write_all(words.as_bytes()));
                // A close with unread bytes would be a reset, which takes the rest with it.
                drop(stream.shutdown(Shutdown::Write));
                drop(std::io::copy(&mut stream, &mut std::io::sink()));
            }
        });
    }
    Ok(())
}
