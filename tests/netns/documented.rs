//! Sessions that README.md and keepalivectl(1) show: each command is given to a running suite, which has to say what is
//! shown there, numbers apart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::subject::install_ours;
use tests::lab::{Director, Failure, Host, Lan, Subject, sandboxed, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// A command, and the lines that are shown below it.
struct Shown {
    command: String,
    lines: Vec<String>,
}

/// What a document shows between lines that open and close a session.
fn sessions(file: &str, open: &str, close: &str) -> Result<Vec<Shown>, Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = fs::read_to_string(&path).map_err(|cause| Failure::instrument(file, cause))?;
    let mut shown: Vec<Shown> = Vec::new();
    let mut inside = false;
    let mut asked = false;
    for line in text.lines() {
        if inside && line == close {
            inside = false;
        } else if line.starts_with(open) {
            (inside, asked) = (true, false);
        } else if let Some(command) = line.strip_prefix("# keepalivectl ").filter(|_| inside) {
            shown.push(Shown { command: command.to_owned(), lines: Vec::new() });
            asked = true;
        } else if let Some(last) = shown.last_mut().filter(|_| inside && asked) {
            last.lines.push(line.to_owned());
        }
    }
    Ok(shown)
}

/// The line with every number as `N`.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for letter in line.trim_end().chars() {
        match letter {
            digit if digit.is_ascii_digit() => {
                if !shape.ends_with('N') {
                    shape.push('N');
                }
            }
            other => shape.push(other),
        }
    }
    shape
}

fn config() -> String {
    let instance = VrrpInstance::new(3, "1", 150, front4(50)).with("track_script {\n    chk_web\n}");
    global("lab")
        + "vrrp_script chk_web {\n    script /bin/false\n    user root\n    interval 1\n    weight -30\n    \
           init_fail\n}\n"
        + &instance.text()
        + "virtual_server 192.0.2.10 80 {\n    delay_loop 5\n    lvs_sched rr\n    lvs_method NAT\n    \
           protocol TCP\n    real_server 192.0.2.21 80 {\n        TCP_CHECK {\n            \
           connect_timeout 1\n            retry 0\n        }\n    }\n}\n"
}

/// Gives the command, until it says what is shown: what the one before has caused may take a moment. Its exit status
/// says what it found, not whether it could be given.
fn says_what_is_shown(host: &Host, shown: &Shown) -> Result<(), Failure> {
    let ctl = install_ours()?.join("keepalivectl");
    let file = if shown.command == "check-host" { "/run/lab/d1.conf" } else { "" };
    let line = format!("{} --run-dir /run/lab/d1.run {} {file} 2>&1; true", ctl.display(), shown.command);
    let mut last = String::new();
    let outcome = wait_until("it says what is shown", SOON, || {
        last = host.run("/bin/sh", &["-c", &line]).unwrap_or_default();
        let shapes: Vec<String> = last.lines().map(shape).collect();
        shown.lines.iter().all(|line| shapes.contains(&shape(line)))
    });
    outcome.map(drop).map_err(|_| {
        let expected = shown.lines.join("\n");
        Failure::new(format!("{} should say\n{expected}\nbut says\n{last}", shown.command))
    })
}

#[test]
fn shown_sessions_are_what_the_suite_says() {
    sandboxed(90, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        // Nobody there answers, not even with an error: the check runs out of time.
        d1.ip(
            "address add 192.0.2.1/24 dev eth0\nneighbour add 192.0.2.21 lladdr 02:00:00:00:00:21 dev eth0\n",
        )?;
        d1.run("/bin/sh", &["-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"])?;
        for (file, open, close) in
            [("README.md", "```", "```"), ("man/keepalivectl.1", ".Bd -literal", ".Ed")]
        {
            let shown = sessions(file, open, close)?;
            require(shown.len() >= 4, || format!("{file} shows {} commands", shown.len()))?;
            let director = Director::start(lab, d1, Subject::Ours, &config(), &[])?;
            wait_until("what is shown has come about", SOON, || {
                let says = |what: &str, text: &str| {
                    director.ctl(&["why", what]).is_ok_and(|said| said.contains(text))
                };
                says("VI_1", "is MASTER") && says("VI_1", "chk_web is bad") && says("192.0.2.21", "is DOWN")
            })?;
            for shown in &shown {
                says_what_is_shown(d1, shown)?;
            }
            director.stop()?;
        }
        Ok(())
    });
}
