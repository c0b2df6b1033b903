//! `keepalived_check.data` as Debian's keepalived writes it and as ours does, of one configuration in one state.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::failure::require;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, wait_until};

const CONFIG: &str = include_str!("dumps.conf");
const SOON: Duration = Duration::from_secs(20);

/// Beginnings of keepalived's lines that ours don't have: docs/differences.md. Depth counts.
const OMITTED: &[&str] = &[
    " System is compiled with",
    "   VirtualHost",
    "   connection timeout",
    "   delay_loop",
    "   Hashed",
    "   Retry count",
    "   Retry delay",
    "   Warmup = 0.0",
    "   Warmup = 4.0",
    "   default forwarding method",
    "   reloaded",
    "   Delay loop = 10.0",
    "   Delay loop = 60.0",
    "   Delay loop = 1.",
    "   previous effective_weight",
    "   Enabled",
    "   Retries iterations",
    "   Default delay before retry",
    "   Last ran",
    "   Last status",
    "     Regex options",
    "     Regex ref count",
    "     Reloaded",
    "   Weight = 1",
];

/// Both subjects reach the same state with the same files; every line of ours is one of keepalived's, in its place.
pub(super) fn compare(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("theirs", 1), ("ours", 2)])?;
    fs::create_dir_all("/run/lab")
        .and_then(|()| fs::write("/run/lab/flips", "0\n"))
        .map_err(|cause| Failure::instrument("file of a check", cause))?;
    let theirs = dumped(lab, lan.host("theirs")?, Subject::C)?;
    let ours = dumped(lab, lan.host("ours")?, Subject::Ours)?;
    for section in ["------< LVS Topology", "------< Health checkers", "------< Checker track files"] {
        let theirs = lines(&theirs, section);
        let ours = lines(&ours, section);
        require(theirs.len() > 3, || format!("keepalived's file has no {section}: nothing to compare"))?;
        let differing = theirs.iter().zip(&ours).position(|(theirs, ours)| theirs != ours);
        let at = differing.unwrap_or(theirs.len().min(ours.len()));
        let around = |lines: &[String]| {
            lines.iter().skip(at.saturating_sub(4)).take(8).cloned().collect::<Vec<_>>().join("\n")
        };
        require(theirs == ours, || {
            format!("{section}: keepalived\n{}\nours\n{}", around(&theirs), around(&ours))
        })?;
    }
    Ok(())
}

/// Lines from one heading to the next. What a group consists of stands in one of keepalived's headings only.
fn lines(text: &str, section: &str) -> Vec<String> {
    let part = text.lines().skip_while(|line| !line.starts_with(section)).skip(1);
    let part = part.take_while(|line| !line.starts_with("------<"));
    let (mut in_group, mut in_server) = (false, false);
    part.filter(|line| {
        if line.trim_start().starts_with("------<") {
            (in_group, in_server) = (line.contains("Virtual server group"), line.contains("Real server"));
        }
        let of_service = !in_server && line.starts_with("   Inhibit on failure");
        !in_group && !of_service && !OMITTED.iter().any(|omitted| line.starts_with(omitted))
    })
    .map(str::to_owned)
    .collect()
}

fn dumped(lab: &Lab, host: &Host, subject: Subject) -> Result<String, Failure> {
    host.ip("route add local 10.99.0.0/16 dev lo\nroute add local fd99::/64 dev lo\n")?;
    let director = Director::start(lab, host, subject, CONFIG, &[])?;
    let file = match subject {
        Subject::C => PathBuf::from("/tmp/keepalived_check.data"),
        Subject::Ours => director.run_dir().join("keepalived_check.data"),
    };
    wait_until("checkers have found what they find", SOON, || {
        let removed = director.logged("Removing service [10.99.0.5]:udp:80");
        let inhibited = director.logged("Disabling service [10.99.0.6]:udp:80");
        removed + inhibited == 2 && director.logged("Changing weight from 1 to 7") == 1
    })
    .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    if subject == Subject::Ours {
        // What is logged first is told to the parent a moment later.
        wait_until("the parent knows it, too", SOON, || {
            director.status().is_ok_and(|status| is_found(&status))
        })?;
    }
    drop(fs::remove_file(&file));
    director.signal(Signal::SIGUSR1);
    let read = || fs::read_to_string(&file).unwrap_or_default();
    wait_until("the file is whole", SOON, || read().contains("[10.99.0.3]:tcp:80, weight 2"))
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    let text = read();
    let copy = lab.out.join(format!("{}.check.data", subject.word()));
    fs::write(copy, &text).map_err(|cause| Failure::instrument("record of a file", cause))?;
    director.stop()?;
    Ok(text)
}

/// Two servers are down, and one has the weight that its script gave it.
fn is_found(status: &Value) -> bool {
    let services = status["services"].as_array().into_iter().flatten();
    let servers: Vec<&Value> =
        services.flat_map(|service| service["servers"].as_array().into_iter().flatten()).collect();
    let of = |name: &str, known: fn(&Value) -> bool| {
        servers.iter().any(|server| server["name"] == name && known(server))
    };
    of("[10.99.0.5]:udp:80", |server| server["up"] == false)
        && of("[10.99.0.6]:udp:80", |server| server["up"] == false)
        && of("[10.99.0.7]:udp:80", |server| server["weight"] == 7)
}
