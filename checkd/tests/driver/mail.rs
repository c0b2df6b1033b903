//! Mail: letters of the parent on their way to good and hostile servers.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};

use checkd::driver::End;
use config::model::check::{RealServer, VirtualServer};
use config::model::mail::{MailSettings, Mailbox};
use ipc::messages::checkd::{CheckdToParent, Letter, ParentToCheckd};
use ipc::messages::{FromDaemon, Level, StopMode, ToDaemon};

use crate::servers::{closed, serve, silent};
use crate::support::{AMPLE, Parent, SHORT, sealed_mail, server, service, tcp};

fn settings(server: SocketAddr) -> MailSettings {
    MailSettings {
        server,
        helo_name: "lb1".to_owned(),
        from: Mailbox::parse("root@lb1").unwrap(),
        recipients: vec![Mailbox::parse("a@x.org").unwrap(), Mailbox::parse("B <b@x.org>").unwrap()],
        timeout: AMPLE,
        servers_only: false,
    }
}

fn model(server: SocketAddr) -> OwnedFd {
    sealed_mail(&[], Some(settings(server)))
}

/// The same for a server that never answers, or never stops to.
fn impatient_model(server: SocketAddr) -> OwnedFd {
    sealed_mail(&[], Some(MailSettings { timeout: SHORT, ..settings(server) }))
}

fn letter(number: u64) -> ParentToCheckd {
    let (subject, body) = (format!("[lb1] letter {number}"), "=> text <=".to_owned());
    ParentToCheckd::Deliver(Letter { number, sent: 0, offset: 0, subject, body })
}

/// Waits until the parent may forget a letter, unless it has been told so already.
fn until_gone(parent: &mut Parent, number: u64, delivered: bool) {
    let wanted = CheckdToParent::LetterGone { number, delivered };
    if !parent.seen.contains(&wanted) {
        parent.until(|message| *message == wanted);
    }
}

/// A server that takes all mail; what it was told.
fn taking() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = told.clone();
            std::thread::spawn(move || take(stream, &told));
        }
    });
    (address, heard)
}

fn take(stream: TcpStream, told: &Sender<String>) {
    let (mut said, mut in_text) = (String::new(), false);
    let answer = |text: &str| (&stream).write_all(text.as_bytes()).is_ok();
    answer("220-hello\r\n220 there\r\n");
    for line in BufReader::new(&stream).lines().map_while(Result::ok) {
        said.push_str(&line);
        said.push('\n');
        let reply = match line.as_str() {
            "." if in_text => {
                in_text = false;
                "250 ok\r\n"
            }
            _ if in_text => continue,
            "DATA" => {
                in_text = true;
                "354 go\r\n"
            }
            "QUIT" => break,
            _ => "250 ok\r\n",
        };
        answer(reply);
    }
    let _test_is_over = told.send(said);
}

#[test]
fn letters_are_delivered_and_the_parent_may_forget_them() {
    let (server, heard) = taking();
    let mut parent = Parent::start(false);
    parent.send(letter(7));
    parent.load_file(1, model(server));
    until_gone(&mut parent, 7, true);
    let told = heard.recv().unwrap();
    assert!(told.starts_with(
        "HELO lb1\nMAIL FROM:<root@lb1>\nRCPT TO:<a@x.org>\nRCPT TO:<b@x.org>\nDATA\nDate: Thu, 01 Jan 1970"
    ));
    assert!(told.ends_with("\nTo: a@x.org, B <b@x.org>\n\n=> text <=\n\n.\nQUIT\n"), "{told}");
    for number in 8..40 {
        parent.send(letter(number));
    }
    parent.until(|message| matches!(message, CheckdToParent::LetterGone { .. }));
    for _ in 8..40 {
        heard.recv().unwrap();
    }
}

#[test]
fn a_server_that_is_down_or_silent_gets_the_letter_later() {
    let mut parent = Parent::start(false);
    parent.load_file(1, model(closed()));
    parent.send(letter(1));
    parent.until_log("SMTP alert \"[lb1] letter 1\": SMTP connection ERROR to ");
    parent.load_file(2, impatient_model(serve(silent)));
    parent.send(letter(2));
    parent.until_log("letter 2\": Timeout reading data to remote SMTP server [");
    let (server, heard) = taking();
    parent.load_file(3, model(server));
    until_gone(&mut parent, 1, true);
    until_gone(&mut parent, 2, true);
    while !heard.recv().unwrap().contains("letter 1") {}
}

#[test]
fn hostile_servers_cost_one_attempt() {
    let endless = |mut stream: TcpStream| while stream.write_all(&[b'2'; 4096]).is_ok() {};
    let refusing = |mut stream: TcpStream| {
        let _gone = stream.write_all(b"220 a\r\n250 b\r\n550 no\r\n");
        let mut rest = String::new();
        while BufReader::new(&stream).read_line(&mut rest).is_ok_and(|got| got > 0) {}
    };
    let mut parent = Parent::start(false);
    parent.load_file(1, impatient_model(serve(endless)));
    parent.send(letter(1));
    parent.until_log("letter 1\": Remote SMTP server");
    parent.load_file(2, model(serve(refusing)));
    parent.send(letter(2));
    until_gone(&mut parent, 2, false);
    assert!(parent.logs().iter().any(|line| line.starts_with("SMTP alert \"[lb1] letter 2\" is lost")));
}

#[test]
fn a_stop_waits_for_letters_that_are_due() {
    let (server, heard) = taking();
    let mut parent = Parent::start_confined();
    parent.load_file(1, model(server));
    parent.send(letter(1));
    parent.send(ToDaemon::Stop(StopMode::Withdraw));
    until_gone(&mut parent, 1, true);
    assert!(heard.recv().unwrap().contains("letter 1"));
    let refused = |message: &&CheckdToParent| {
        matches!(message, CheckdToParent::Common(FromDaemon::UnknownCalls { .. }))
    };
    assert_eq!(parent.seen.iter().find(refused), None);
}

#[test]
fn a_stop_waits_for_letters_that_it_asks_for_itself() {
    let (address, heard) = taking();
    let omega = VirtualServer {
        omega: true,
        ..service(vec![RealServer { mail: true, ..server(1, vec![]) }, server(2, vec![])])
    };
    let mut parent = Parent::start(false);
    parent.load_file(1, sealed_mail(&[omega], Some(settings(address))));
    parent.send(ToDaemon::Stop(StopMode::Withdraw));
    parent.until(|message| *message == CheckdToParent::Common(FromDaemon::Stopped));
    let asked = |message: &&CheckdToParent| matches!(message, CheckdToParent::Letter { .. });
    assert_eq!(parent.seen.iter().filter(asked).count(), 1);
    parent.send(letter(1));
    until_gone(&mut parent, 1, true);
    assert!(heard.recv().unwrap().contains("letter 1"));
    assert_eq!(parent.ended().unwrap(), End::Stopped);
}

#[test]
fn a_checker_that_fails_asks_for_mail_and_its_parent_keeps_it() {
    let mut wanted = server(1, vec![tcp(closed())]);
    wanted.mail = true;
    let mut parent = Parent::start(false);
    parent.load_file(1, sealed_mail(&[service(vec![wanted])], Some(settings(closed()))));
    let asked = parent.until(|message| matches!(message, CheckdToParent::Letter { .. }));
    assert_eq!(
        asked,
        CheckdToParent::Letter {
            subject: "Realserver [192.0.2.1]:tcp:1001 of virtual server [198.51.100.1]:tcp:80 - DOWN"
                .to_owned(),
            body: "=> TCP CHECK failed on service <=".to_owned(),
        }
    );
    parent.send(letter(1));
    parent.load_file(2, sealed_mail(&[], None));
    until_gone(&mut parent, 1, false);
    parent.settle();
    let warned = |message: &&CheckdToParent| {
        matches!(message, CheckdToParent::Common(FromDaemon::Log { level: Level::Warning, .. }))
    };
    assert!(parent.seen.iter().any(|message| warned(&message)));
}
