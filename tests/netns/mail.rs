//! Mail about changes, beside Debian's keepalived: the same letters, to the same people, in the same situation.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::VrrpInstance;
use tests::lab::failure::require;
use tests::lab::lan::{Cable, front4};
use tests::lab::mail::MailServer;
use tests::lab::{Director, Failure, Lab, Lan, Subject, pause, process, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const SECOND: IpAddr = front4(51);
const PATIENCE: Duration = Duration::from_secs(20);

fn globals(server: &str) -> String {
    format!(
        "global_defs {{\n    router_id lab\n    notification_email {{\n        a@example.org\n        b@example.org\n    \
         }}\n    notification_email_from lb@example.org\n    smtp_server {server} 2525\n    smtp_helo_name lb\n    \
         smtp_connect_timeout 5\n    smtp_alert_vrrp on\n}}\n"
    )
}

fn config(server: &str) -> String {
    let first = VrrpInstance::new(3, "0.2", 200, ADDRESS).text();
    let mut second = VrrpInstance::new(3, "0.2", 200, SECOND);
    second.name = "VI_2".to_owned();
    second.vrid = 52;
    globals(server)
        + &first
        + &second.text()
        + "vrrp_sync_group G {\n    group {\n        VI_1\n        VI_2\n    }\n}\n"
}

/// Letters from start to Fault, without their dates.
fn story(lab: &Lab, subject: Subject, port: u16) -> Result<Vec<tests::lab::mail::Taken>, Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let d1 = lan.host("d1")?;
    let mail = MailServer::start(d1, port)?;
    let config = config("127.0.0.1").replace("2525", &port.to_string());
    let director = Director::start(lab, d1, subject, &config, &["-P"])?;
    let has = |count| move |mail: &MailServer| mail.taken().len() >= count;
    wait_until("3 letters of Backup and 3 of Master", PATIENCE, || has(6)(&mail))?;
    lan.set_cable("d1", Cable::Pulled)?;
    wait_until("3 letters of Fault", PATIENCE, || has(9)(&mail))?;
    director.stop()?;
    let mut letters = mail.taken();
    for letter in &mut letters {
        require(letter.date.starts_with("Date: ") && letter.date.len() == 37, || letter.date.clone())?;
        letter.date.clear();
    }
    letters.retain(|letter| !letter.subject().ends_with("Stopping"));
    letters.sort();
    Ok(letters)
}

#[test]
fn letters_are_those_of_keepalived() {
    sandboxed(90, |lab| {
        let ours = story(lab, Subject::Ours, 2525)?;
        let theirs = story(lab, Subject::C, 2526)?;
        require(ours == theirs, || format!("ours {ours:#?}\ntheirs {theirs:#?}"))
    });
}

/// One of two instances and their group ask for letters, or everything that asks for nothing else.
fn asked_for(lab: &Lab, subject: Subject, port: u16, everybody: bool) -> Result<Vec<String>, Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let d1 = lan.host("d1")?;
    let mail = MailServer::start(d1, port)?;
    let text = config("127.0.0.1").replace("2525", &port.to_string());
    let text = match everybody {
        true => text.replace("smtp_alert_vrrp on", "smtp_alert on"),
        false => text
            .replace("smtp_alert_vrrp on", "")
            .replacen("interface eth0", "interface eth0\n    smtp_alert", 1)
            .replace("vrrp_sync_group G {", "vrrp_sync_group G {\n    smtp_alert"),
    };
    let director = Director::start(lab, d1, subject, &text, &["-P"])?;
    let letters = if everybody { 6 } else { 4 };
    wait_until("letters of Backup and Master", PATIENCE, || mail.taken().len() >= letters)?;
    director.stop()?;
    let mut subjects: Vec<String> = mail.taken().iter().map(|letter| letter.subject().to_owned()).collect();
    subjects.retain(|subject| !subject.ends_with("Stopping"));
    subjects.sort();
    Ok(subjects)
}

#[test]
fn letters_go_where_instances_and_groups_ask_for_them() {
    sandboxed(120, |lab| {
        for (everybody, port) in [(false, 2525), (true, 2527)] {
            let ours = asked_for(lab, Subject::Ours, port, everybody)?;
            let theirs = asked_for(lab, Subject::C, port + 1, everybody)?;
            require(ours == theirs, || format!("ours {ours:#?}\ntheirs {theirs:#?}"))?;
            let second = ours.iter().any(|subject| subject.contains("Instance VI_2"));
            require(second == everybody, || format!("{ours:#?}"))?;
        }
        Ok(())
    });
}

/// A cable that is pulled and put back, told by letters but for the trouble itself.
fn without_faults(lab: &Lab, subject: Subject, port: u16) -> Result<Vec<String>, Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let d1 = lan.host("d1")?;
    let mail = MailServer::start(d1, port)?;
    let silent = "smtp_alert_vrrp on\n    no_email_faults";
    let text = config("127.0.0.1").replace("2525", &port.to_string()).replace("smtp_alert_vrrp on", silent);
    let director = Director::start(lab, d1, subject, &text, &["-P"])?;
    wait_until("letters of Backup and Master", PATIENCE, || mail.taken().len() >= 6)?;
    lan.set_cable("d1", Cable::Pulled)?;
    wait_until("the address goes", PATIENCE, || !d1.has(ADDRESS))?;
    lan.set_cable("d1", Cable::Plugged)?;
    wait_until("letters of Backup and Master again", PATIENCE, || mail.taken().len() >= 12)?;
    director.stop()?;
    let mut subjects = mail.subjects();
    subjects.retain(|subject| !subject.ends_with("Stopping"));
    Ok(subjects)
}

#[test]
fn no_letter_tells_of_faults_where_no_email_faults_stands() {
    sandboxed(90, |lab| {
        let ours = without_faults(lab, Subject::Ours, 2525)?;
        require(ours.len() == 12 && !ours.iter().any(|subject| subject.contains("FAULT")), || {
            format!("{ours:#?}")
        })?;
        let theirs = without_faults(lab, Subject::C, 2526)?;
        require(ours == theirs, || format!("ours {ours:#?}\ntheirs {theirs:#?}"))
    });
}

/// Letters about two virtual servers of one dead server each, which two checkers find.
fn about_servers(lab: &Lab, port: u16, globals_more: &str, first_more: &str) -> Result<Vec<String>, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let mail = MailServer::start(d1, port)?;
    let service = |address: &str, more: &str| {
        let check =
            |port: u16| format!("        TCP_CHECK {{\n            connect_port {port}\n        }}\n");
        format!(
            "virtual_server {address} 80 {{\n    delay_loop 1\n    warmup 0\n    delay_before_retry 0.2\n    \
             lb_algo rr\n    lb_kind NAT\n    protocol TCP\n    {more}\n    real_server 10.77.0.1 80 {{\n{}{}    }}\n}}\n",
            check(81),
            check(82)
        )
    };
    let globals =
        globals("127.0.0.1").replace("2525", &port.to_string()).replace("smtp_alert_vrrp on", globals_more);
    let text = globals + &service("10.77.0.50", first_more) + &service("10.77.0.51", "");
    let director = Director::start(lab, d1, Subject::Ours, &text, &["-C"])?;
    for address in ["50", "51"] {
        let lost = format!("Lost quorum 1-0=1 > 0 for VS [10.77.0.{address}]:tcp:80");
        wait_until(&lost, PATIENCE, || director.logged(&lost) > 0)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    }
    wait_until("every checker has failed", PATIENCE, || {
        director.logged("TCP_CHECK on service [10.77.0.1]:tcp:80 failed") >= 4
    })?;
    director.stop()?;
    Ok(mail.subjects())
}

#[test]
fn letters_about_servers_are_those_that_the_configuration_asks_for() {
    sandboxed(90, |lab| {
        let (silent, told) = ("smtp_alert_checker off", "smtp_alert_checker on");
        // Which of the two virtual servers have letters of their own, and how many letters each of the real servers has.
        for (port, globals, first, services, of_each) in [
            (2525, silent, "smtp_alert", &["50"][..], 0),
            (2526, told, "", &["50", "51"], 2),
            (2527, &format!("{told}\n    no_checker_emails"), "", &["50", "51"], 1),
        ] {
            let mut expected = Vec::new();
            for address in ["50", "51"] {
                let service = format!("virtual server [10.77.0.{address}]:tcp:80");
                let real = format!("[lab] Realserver [10.77.0.1]:tcp:80 of {service} - DOWN");
                expected.extend(std::iter::repeat_n(real, of_each));
            }
            for address in services {
                let service = format!("[lab] Virtualserver [10.77.0.{address}]:tcp:80");
                expected.extend([format!("{service} - DOWN"), format!("{service} - UP")]);
            }
            let found = about_servers(lab, port, globals, first)?;
            require(found == expected, || format!("with {globals} {first}: {found:#?}"))?;
        }
        Ok(())
    });
}

#[test]
fn letters_survive_checkd_and_a_mail_server_that_is_away_and_a_stop_sends_the_last() {
    sandboxed(90, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        // No virtual server is configured, and -P besides: checkd runs for mail alone. The name comes from a file.
        let director = Director::start(lab, d1, Subject::Ours, &config("localhost"), &["-P"])?;
        wait_until("a first attempt fails", PATIENCE, || director.logged("it is tried again") > 0)?;
        wait_until("the address is held", PATIENCE, || d1.has(ADDRESS))?;
        let old = director.wait_daemon("checkd")?;
        process::signal(old, Signal::SIGKILL);
        director.wait_successor("checkd", old)?;
        let mail = MailServer::start(d1, 2525)?;
        wait_until("checkd is replaced", PATIENCE, || director.ctl(&["restart", "checkd"]).is_ok())?;
        let wanted = [
            "[lab] VRRP Group G - Entering BACKUP state",
            "[lab] VRRP Group G - Entering MASTER state",
            "[lab] VRRP Instance VI_1 - Entering BACKUP state",
            "[lab] VRRP Instance VI_1 - Entering MASTER state",
            "[lab] VRRP Instance VI_2 - Entering BACKUP state",
            "[lab] VRRP Instance VI_2 - Entering MASTER state",
        ];
        let mut seen = Vec::new();
        wait_until("every letter of the start", PATIENCE, || {
            seen = mail.subjects();
            seen == wanted
        })
        .map_err(|failure| Failure::new(format!("{failure}: {seen:#?}")))?;
        director.stop()?;
        let stopping = mail.subjects().iter().filter(|subject| subject.ends_with("Stopping")).count();
        require(stopping == 3, || format!("{:#?}", mail.subjects()))
    });
}

#[test]
fn a_silent_mail_server_delays_no_advert() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        // Connections are taken by the kernel and never answered.
        let _silent = d1.enter(|| std::net::TcpListener::bind("127.0.0.1:2525"))?;
        let director = Director::start(lab, d1, Subject::Ours, &config("127.0.0.1"), &[])?;
        wait_until("d1 holds the address", PATIENCE, || d1.has(ADDRESS))?;
        let backup =
            config("127.0.0.1").replace("priority 200", "priority 100").replace("smtp_alert_vrrp on", "");
        let _peer = Director::start(lab, d2, Subject::Ours, &backup, &[])?;
        wait_until("connections hang", PATIENCE, || {
            director.logged("Timeout reading data to remote SMTP server") > 0
        })?;
        pause(Duration::from_secs(1));
        require(d1.has(ADDRESS) && !d2.has(ADDRESS), || "the address moved".to_owned())
    });
}
