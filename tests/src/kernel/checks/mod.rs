//! The same checks by Debian's keepalived and by ours, beside each other in one kernel: every verdict, script, entry of
//! the table and question to a server is compared.
//!
//! All cases of an act run in one configuration per program. Servers change their behaviour twice; after each change both
//! programs come to rest, and what they said and did until then is an outcome of that phase. The stop is the last phase.

mod cases;
mod reloads;
mod town;
mod witness;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use self::cases::{CHECKS, Case, Kind, POOLS, SETTINGS};
pub(super) use self::reloads::compare_reloads;
use self::town::{Clockwork, Town};
use self::witness::{Seen, Witness};
use super::lasting::lasting_differences;
use crate::lab::clock::now;
use crate::lab::mail::MailServer;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, pause, process};

const DIFFERENCES: &str = include_str!("../../../../docs/differences.md");

/// Cases that share the words of `global_defs`.
struct Act {
    cases: &'static [Case],
    globals: &'static str,
    /// How long each phase takes at least, in seconds.
    phases: [u64; 3],
}

const ACTS: [Act; 3] = [
    Act { cases: CHECKS, globals: "checker_log_all_failures\n", phases: [9, 8, 8] },
    Act { cases: POOLS, globals: "checker_log_all_failures\n", phases: [8, 8, 8] },
    Act { cases: SETTINGS, globals: OTHER_GLOBALS, phases: [7, 8, 8] },
];

/// A case with its number in the act, which its addresses have.
type Numbered = (u8, &'static Case);

/// Where one of the programs runs, and what it checks and writes to.
struct Side<'a> {
    host: &'a Host,
    town: Town,
    mail: MailServer,
}

/// Letters go out for those who ask for them.
const OTHER_GLOBALS: &str = "rs_init_notifies\nrouter_id lab\nsmtp_server 127.0.0.1 2525\nsmtp_helo_name lab\n\
                             notification_email {\n a@lab.test\n}\nnotification_email_from b@lab.test\n\
                             smtp_alert_checker off\n";

/// Both programs over all cases.
pub(super) fn compare(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("theirs", 1), ("ours", 2)])?;
    furnish()?;
    let clockwork = Clockwork::default();
    let mut sides = Vec::new();
    let mut tls = Vec::new();
    for host in [lan.host("theirs")?, lan.host("ours")?] {
        host.ip("route add local 10.99.0.0/16 dev lo\n\
             route add local fd99::/64 dev lo\n\
             route add prohibit 10.97.1.0/24\n\
             route add blackhole 10.97.2.0/24\n\
             route add unreachable 10.97.3.0/24\n\
             neigh add 10.77.0.200 lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n")?;
        let town = Town::start(host, &clockwork)?;
        sides.push(Side { host, town, mail: MailServer::start(host, 2525)? });
        tls.extend(tls_servers(host)?);
    }
    let mut complaints = String::new();
    let mut record = String::new();
    for act in &ACTS {
        let differences = lasting_differences((0..).zip(act.cases), |cases| {
            for side in &sides {
                side.town.forget();
                side.mail.forget();
                // What a program that died has left.
                side.host.run("ipvsadm", &["-C"])?;
            }
            let (theirs, ours) = observe(lab, act, cases, &sides, &clockwork)?;
            let judged = cases.iter().zip(theirs.iter().zip(&ours)).map(|((_, case), (theirs, ours))| {
                writeln!(record, "{}\nkeepalived: {theirs:#?}\nours: {ours:#?}", case.name).ok();
                judge(case, theirs, ours)
            });
            Ok(judged.collect())
        });
        match differences {
            Ok(differences) => complaints.push_str(&differences),
            Err(failure) => {
                complaints.push_str(&failure.to_string());
                break;
            }
        }
    }
    clockwork.end();
    for mut child in tls {
        process::signal(i32::try_from(child.id()).unwrap_or(0), Signal::SIGKILL);
        drop(child.wait());
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
    let status = "#!/bin/sh\nread phase </run/lab/phase\nshift $phase\n[ $1 != hang ] || exec sleep 20\n\
                  [ $1 != kill ] || kill -9 $$\nexit $1\n";
    write("status", 0o755, status)?;
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
    let [flips, flops, deep] = if phase == 1 { ["5", "0", "-2147483648"] } else { ["0", "5", "3"] };
    let phase_text = phase.to_string();
    for (name, text) in
        [("phase", &*phase_text), ("flips", flips), ("flops", flops), ("deep", deep), ("gone", "4")]
    {
        fs::write(format!("/run/lab/{name}.new"), format!("{text}\n")).map_err(failed)?;
        fs::rename(format!("/run/lab/{name}.new"), format!("/run/lab/{name}")).map_err(failed)?;
    }
    match phase {
        1 => fs::remove_file("/run/lab/gone").and_then(|()| fs::remove_file("/run/lab/pages/page")),
        _ => fs::write("/run/lab/pages/page", "one"),
    }
    .map_err(failed)
}

/// The addresses of services whose checks are suspended without them are there in one phase only.
fn set_addresses(cases: &[Numbered], host: &Host, phase: u8) -> Result<(), Failure> {
    let word = if phase == 1 { "add" } else { "del" };
    let mut lines = String::new();
    for (number, case) in cases.iter().filter(|(_, case)| case.block.contains("ha_suspend")) {
        let address = match case.kind {
            Kind::Tcp6 => format!("{}/128", witness::vip6(*number)),
            Kind::Tcp | Kind::Udp | Kind::Mark | Kind::Group => format!("{}/32", witness::vip(*number)),
        };
        writeln!(lines, "addr {word} {address} dev eth0").ok();
    }
    host.ip(&lines)
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
    act: &Act,
    cases: &[Numbered],
    sides: &[Side<'_>],
    clockwork: &Clockwork,
) -> Result<(Vec<Seen>, Vec<Seen>), Failure> {
    let mut witnesses = Vec::new();
    let mut directors = Vec::new();
    clockwork.set_phase(0);
    set_phase(0)?;
    for (Side { host, mail, .. }, subject) in sides.iter().zip([Subject::C, Subject::Ours]) {
        witnesses.push(Witness::new(host, mail.clone())?);
        let config = config(act.globals, cases, host.name());
        directors.push(Director::start(lab, host, subject, &config, &[])?);
    }
    for (phase, least) in (0..).zip(act.phases) {
        if phase > 0 {
            // Nobody is checked any more in a phase that begins without its address.
            if phase == 2 {
                sides.iter().try_for_each(|side| set_addresses(cases, side.host, phase))?;
                pause(Duration::from_secs(1));
            }
            clockwork.set_phase(phase);
            set_phase(phase)?;
            for Side { host, .. } in sides {
                let word = if phase == 1 { "1" } else { "0" };
                host.sysctl("net.ipv4.icmp_echo_ignore_all", word)?;
                host.sysctl("net.ipv6.icmp.echo_ignore_all", word)?;
                if phase == 1 {
                    set_addresses(cases, host, phase)?;
                }
            }
        }
        rest(&mut witnesses, phase, Duration::from_secs(least));
        for ((witness, side), director) in witnesses.iter_mut().zip(sides).zip(&directors) {
            witness.end_phase(phase, side.host, director)?;
        }
    }
    // One after the other: scripts of a stop have a second.
    for director in &mut directors {
        director.signal(Signal::SIGTERM);
        director.wait_end(END)?;
    }
    rest(&mut witnesses, STOP, Duration::from_secs(1));
    let mut reports = Vec::new();
    for ((witness, side), director) in witnesses.iter_mut().zip(sides).zip(&directors) {
        witness.end_phase(STOP, side.host, director)?;
        reports.push(witness.report(cases, &side.town, &director.log()));
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

fn config(globals: &str, cases: &[Numbered], host: &str) -> String {
    let mut text = format!(
        "global_defs {{\n    script_user root\n    enable_script_security\n    lvs_notify_fifo /run/lab/{host}.fifo\n{globals}}}\n"
    );
    for file in ["flips", "flops", "deep", "gone"] {
        writeln!(text, "track_file {file} {{\n    file /run/lab/{file}\n}}").ok();
    }
    for (number, case) in cases {
        let block = case.block.replace("%NOTE", &format!("/run/lab/{host}.note {}", case.name));
        let block = block.replace("%STATUS", "/run/lab/status");
        let block = "ABCPST".chars().fold(block, |block, letter| {
            block.replace(&format!("%{letter}"), &witness::server(letter, *number).to_string())
        });
        let head = witness::head(case.kind, *number);
        writeln!(
            text,
            "{head}\nlvs_sched rr\nlvs_method NAT\ndelay_loop 1\nwarmup 0\nconnect_timeout 2\n\
             delay_before_retry 1\n{block}\n}}"
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
    let by_phase = [
        ("told", &seen.told),
        ("scripts", &seen.scripts),
        ("letters", &seen.letters),
        ("table", &seen.table),
        ("pace", &seen.pace),
    ];
    let mut lines: BTreeSet<String> = by_phase
        .into_iter()
        .flat_map(|(what, phases)| {
            phases.iter().map(move |(phase, lines)| format!("phase {phase}, {what}: {lines:?}"))
        })
        .collect();
    for (phase, logged) in &seen.logged {
        lines.extend(logged.iter().map(|line| format!("phase {phase}, log: {line}")));
    }
    lines.extend(seen.asked.iter().map(|question| format!("asked: {question:?}")));
    lines
}

/// The phase of the stop.
const STOP: u8 = 3;
/// No news for so long is rest.
const QUIET: Duration = Duration::from_millis(2_500);
const LONGEST: Duration = Duration::from_secs(16);
const END: Duration = Duration::from_secs(20);
