//! A machine that is short of something for a while: what this suite can't start says nothing of what it serves.

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Lab, Lan, Subject, process, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const SOON: Duration = Duration::from_secs(20);

const TRACKED: &str = "/run/lab/tracked";
const CHECKED: &str = "/run/lab/checked";

/// A Master that is one only while a script succeeds, and a service whose server lives only while another one does. Both
/// leave a line for each run.
fn config() -> String {
    let scripts = "    script_user root\n    enable_script_security\n}\n";
    format!(
        "vrrp_script chk {{\n    script \"{TRACKED}.sh\"\n    interval 1\n    timeout 20\n    fall 1\n}}\n\
         virtual_server 10.77.1.1 80 {{\n    delay_loop 1\n    lvs_sched rr\n    lvs_method NAT\n    protocol TCP\n    \
         real_server 10.77.1.2 80 {{\n        MISC_CHECK {{\n            misc_path \"{CHECKED}.sh\"\n            \
         misc_timeout 20\n            retry 0\n        }}\n    }}\n}}\n"
    ) + &global("lab").replace("}\n", scripts)
        + &VrrpInstance::new(3, "0.5", 200, ADDRESS).with("track_script {\n    chk\n}").text()
}

/// Starts with scripts that do this behind their line, whose number they know as N.
fn started(lab: &Lab, lan: &Lan, then: &str) -> Result<Director, Failure> {
    let doing = |cause: std::io::Error| Failure::instrument("a script", cause);
    fs::create_dir_all("/run/lab").map_err(doing)?;
    for path in [TRACKED, CHECKED] {
        let script = format!("#!/bin/sh\necho x >>{path}\nN=$(wc -l <{path})\n{then}\n");
        fs::write(format!("{path}.sh"), script).map_err(doing)?;
        fs::set_permissions(format!("{path}.sh"), Permissions::from_mode(0o755)).map_err(doing)?;
    }
    let d1 = lan.host("d1")?;
    let director = Director::start(lab, d1, Subject::Ours, &config(), &[])?;
    wait_until("d1 holds the address", SOON, || d1.has(ADDRESS))?;
    wait_until("both scripts have run", SOON, || runs().iter().all(|runs| *runs > 0))?;
    Ok(director)
}

/// How often each of them has begun to run.
fn runs() -> [usize; 2] {
    [TRACKED, CHECKED].map(|path| fs::read_to_string(path).map_or(0, |text| text.lines().count()))
}

fn wait_runs(director: &Director, more_than: [usize; 2]) -> Result<(), Failure> {
    wait_until(&format!("more runs than {more_than:?}"), SOON, || {
        let [tracked, checked] = runs();
        tracked > more_than[0] && checked > more_than[1]
    })
    .map(drop)
    .map_err(|failure| Failure::new(format!("{failure}, but {:?}\n{}", runs(), director.log())))
}

/// Nothing of what the scripts look at counts as failed.
fn unharmed(director: &Director) -> Result<(), Failure> {
    for line in ["VRRP_Script(chk) failed", "FAULT", "by [/run/lab/checked.sh] failed", "Lost quorum"] {
        require(director.logged(line) == 0, || format!("{line}\n{}", director.log()))?;
    }
    let server = &director.status()?["services"][0]["servers"][0];
    require(server["up"] == true && server["weight"] == 1, || server.to_string())
}

#[test]
fn scripts_that_this_machine_can_not_start_take_nothing_out_of_service() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let director = started(lab, &lan, "")?;
        let allow = |descriptors: &str| {
            d1.run("prlimit", &["--pid", &director.pid().to_string(), &format!("--nofile={descriptors}:")])
        };
        allow("3")?;
        wait_until("runs of both have been left out", SOON, || {
            director.logged("script chk did not run") > 2 && director.logged("could not be started") > 0
        })
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
        require(d1.has(ADDRESS), || director.log())?;
        let before = runs();
        allow("4096")?;
        wait_runs(&director, before)?;
        unharmed(&director)?;
        director.stop().map(drop)
    });
}

/// The successor asks for a run of what still runs.
#[test]
fn scripts_that_outlive_their_daemon_count_for_its_successor() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let held = "if [ $N = 2 ]; then until [ -e /run/lab/go ]; do sleep 0.05; done; fi";
        let director = started(lab, &lan, held)?;
        wait_runs(&director, [1, 1])?;
        for name in ["vrrpd", "checkd"] {
            let old = director.wait_daemon(name)?;
            process::signal(old, Signal::SIGKILL);
            director.wait_successor(name, old)?;
        }
        wait_until("both successors serve", SOON, || director.ctl(&["reload"]).is_ok())?;
        require(d1.has(ADDRESS), || director.log())?;
        fs::write("/run/lab/go", "").map_err(|cause| Failure::instrument("/run/lab/go", cause))?;
        wait_runs(&director, [2, 2])?;
        unharmed(&director)?;
        director.stop().map(drop)
    });
}
