//! The same checks by Debian's keepalived and by ours, beside each other in one kernel: every verdict, script, entry of
//! the table and question to a server is compared.
//!
//! All cases run in one configuration per program. Servers change their behaviour twice; after each change both programs
//! come to rest, and what they said and did until then is an outcome of that phase. The stop is the last phase.

mod cases;
mod town;
mod witness;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use self::cases::{CASES, Case};
use self::town::{Clockwork, Town};
use self::witness::{Seen, Witness};
use crate::lab::clock::now;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, pause, process};

const DIFFERENCES: &str = include_str!("../../../../docs/differences.md");

/// Both programs over all cases.
pub(super) fn compare(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("theirs", 1), ("ours", 2)])?;
    let hosts = [lan.host("theirs")?, lan.host("ours")?];
    furnish()?;
    let clockwork = Clockwork::default();
    let mut towns = Vec::new();
    let mut tls = Vec::new();
    for host in hosts {
        host.ip("route add local 10.99.0.0/16 dev lo\n\
             neigh add 10.77.0.200 lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n")?;
        towns.push(Town::start(host, &clockwork)?);
        tls.extend(tls_servers(host)?);
    }
    let seen = observe(lab, &hosts, &towns, &clockwork);
    clockwork.end();
    for mut child in tls {
        process::signal(i32::try_from(child.id()).unwrap_or(0), Signal::SIGKILL);
        drop(child.wait());
    }
    let (theirs, ours) = seen?;
    let mut complaints = String::new();
    let mut record = String::new();
    for ((case, theirs), ours) in CASES.iter().zip(&theirs).zip(&ours) {
        writeln!(record, "{}\nkeepalived: {theirs:#?}\nours: {ours:#?}", case.name).ok();
        complaints.push_str(&judge(case, theirs, ours));
    }
    fs::write(lab.out.join("seen"), record).map_err(|cause| Failure::instrument("record", cause))?;
    if complaints.is_empty() { Ok(()) } else { Err(Failure::new(complaints)) }
}

/// Programs and files that the cases name.
fn furnish() -> Result<(), Failure> {
    let write = |name: &str, mode: u32, text: &str| {
        let path = format!("/run/lab/{name}");
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(|cause| Failure::instrument(name, cause))
    };
    fs::create_dir_all("/run/lab/pages").map_err(|cause| Failure::instrument("pages", cause))?;
    for host in ["theirs", "ours"] {
        write(&format!("{host}.note"), 0o755, &format!("#!/bin/sh\necho \"$*\" >>/run/lab/{host}.notes\n"))?;
    }
    let status =
        "#!/bin/sh\nread phase </run/lab/phase\nshift $phase\n[ $1 != hang ] || exec sleep 20\nexit $1\n";
    write("status", 0o755, status)?;
    set_phase(0)?;
    let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3 -subj /CN=town.test \
               -keyout /run/lab/town.key -out /run/lab/town.pem";
    let made = Command::new("openssl")
        .args(key.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match made {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("openssl req: {status}"))),
        Err(cause) => Err(Failure::instrument("openssl req", cause)),
    }
}

/// Files that say which phase it is.
fn set_phase(phase: u8) -> Result<(), Failure> {
    let failed = |cause| Failure::instrument("files of a phase", cause);
    for (name, text) in [("phase", phase.min(2).to_string()), ("flips", flips(phase).to_owned())] {
        fs::write(format!("/run/lab/{name}.new"), text + "\n").map_err(failed)?;
        fs::rename(format!("/run/lab/{name}.new"), format!("/run/lab/{name}")).map_err(failed)?;
    }
    match phase {
        1 => fs::remove_file("/run/lab/pages/page").map_err(failed),
        _ => fs::write("/run/lab/pages/page", "one").map_err(failed),
    }
}

fn flips(phase: u8) -> &'static str {
    if phase == 1 { "5" } else { "0" }
}

/// Debian's `openssl s_server`, of both versions of TLS, that shows the file `page` as long as it is there.
fn tls_servers(host: &Host) -> Result<Vec<Child>, Failure> {
    [("4433", "-tls1_3"), ("4434", "-tls1_2")]
        .into_iter()
        .map(|(port, version)| {
            let mut command = Command::new("openssl");
            command
                .args(["s_server", "-quiet", "-WWW", "-accept", port, version])
                .args(["-cert", "/run/lab/town.pem", "-key", "/run/lab/town.key"])
                .current_dir("/run/lab/pages")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            host.spawn(&mut command)
        })
        .collect()
}

fn observe(
    lab: &Lab,
    hosts: &[&Host; 2],
    towns: &[Town],
    clockwork: &Clockwork,
) -> Result<(Vec<Seen>, Vec<Seen>), Failure> {
    let mut witnesses = Vec::new();
    let mut directors = Vec::new();
    for (host, subject) in hosts.iter().zip([Subject::C, Subject::Ours]) {
        witnesses.push(Witness::new(host)?);
        directors.push(Director::start(lab, host, subject, &config(host.name()), &[])?);
    }
    for (phase, least) in [(0, 9), (1, 8), (2, 8)] {
        if phase > 0 {
            clockwork.set_phase(phase);
            set_phase(phase)?;
            for host in hosts {
                host.sysctl("net.ipv4.icmp_echo_ignore_all", if phase == 1 { "1" } else { "0" })?;
            }
        }
        rest(&mut witnesses, phase, Duration::from_secs(least));
        for (witness, host) in witnesses.iter_mut().zip(hosts) {
            witness.end_phase(phase, host)?;
        }
    }
    for director in &directors {
        director.signal(Signal::SIGTERM);
    }
    for mut director in directors {
        director.wait_end(END)?;
    }
    rest(&mut witnesses, STOP, Duration::from_secs(1));
    let mut reports = Vec::new();
    for ((witness, host), town) in witnesses.iter_mut().zip(hosts).zip(towns) {
        witness.end_phase(STOP, host)?;
        reports.push(witness.report(town));
    }
    let ours = reports.pop().unwrap_or_default();
    Ok((reports.pop().unwrap_or_default(), ours))
}

/// Waits at least so long, and until nobody has said anything for a while.
fn rest(witnesses: &mut [Witness], phase: u8, least: Duration) {
    let begin = now();
    let (mut known, mut since) = (0, begin);
    while begin.elapsed() < LONGEST && (begin.elapsed() < least || since.elapsed() < QUIET) {
        pause(Duration::from_millis(40));
        let found = witnesses.iter_mut().map(|witness| witness.look(phase)).sum();
        if found != known {
            (known, since) = (found, now());
        }
    }
}

fn config(host: &str) -> String {
    let mut text = format!(
        "global_defs {{\n    script_user root\n    enable_script_security\n    checker_log_all_failures\n    \
         lvs_notify_fifo /run/lab/{host}.fifo\n}}\n\
         track_file flips {{\n    file /run/lab/flips\n}}\n"
    );
    for (number, case) in CASES.iter().enumerate() {
        let block = case.block.replace("%NOTE", &format!("/run/lab/{host}.note {}", case.name));
        let block = block.replace("%STATUS", "/run/lab/status");
        let block = "ABCS".chars().fold(block, |block, letter| {
            block.replace(&format!("%{letter} "), &format!("{} ", witness::server(letter, number)))
        });
        let block = "ABCS".chars().fold(block, |block, letter| {
            block.replace(&format!("%{letter}\n"), &format!("{}\n", witness::server(letter, number)))
        });
        let vip = witness::vip(number);
        writeln!(
            text,
            "virtual_server {vip} 80 {{\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\ndelay_loop 1\nwarmup 0\n\
             connect_timeout 1\ndelay_before_retry 1\n{block}\n}}"
        )
        .ok();
    }
    text
}

fn judge(case: &Case, theirs: &Seen, ours: &Seen) -> String {
    let mut text = String::new();
    if let Some(words) = case.differs.filter(|words| !DIFFERENCES.contains(words)) {
        writeln!(text, "{}: docs/differences.md doesn't say '{words}'", case.name).ok();
    }
    match (theirs == ours, case.differs) {
        (true, None) | (false, Some(_)) => {}
        (true, Some(_)) => {
            writeln!(text, "{}: no difference any more", case.name).ok();
        }
        (false, None) => {
            writeln!(text, "{}: outcomes differ", case.name).ok();
            let (theirs, ours) = (lines(theirs), lines(ours));
            for line in theirs.difference(&ours) {
                writeln!(text, "  only keepalived: {line}").ok();
            }
            for line in ours.difference(&theirs) {
                writeln!(text, "  only ours: {line}").ok();
            }
        }
    }
    text
}

fn lines(seen: &Seen) -> BTreeSet<String> {
    let by_phase =
        [("told", &seen.told), ("scripts", &seen.scripts), ("table", &seen.table), ("pace", &seen.pace)];
    let mut lines: BTreeSet<String> = by_phase
        .into_iter()
        .flat_map(|(what, phases)| {
            phases.iter().map(move |(phase, lines)| format!("phase {phase}, {what}: {lines:?}"))
        })
        .collect();
    lines.extend(seen.asked.iter().map(|question| format!("asked: {question:?}")));
    lines
}

/// The phase of the stop.
const STOP: u8 = 3;
/// No news for so long is rest.
const QUIET: Duration = Duration::from_millis(2_500);
const LONGEST: Duration = Duration::from_secs(16);
const END: Duration = Duration::from_secs(20);
