//! What happens to the parent or to its surroundings, and must not reach the adverts or another suite.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Capture, Director, Failure, Host, Lab, Lan, Subject, capture};
use tests::lab::{pause, process, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const SOON: Duration = Duration::from_secs(10);
/// What a peer of priority 100 waits at 0.2 s.
const PATIENCE: f64 = 0.6 + 0.2 * 156.0 / 256.0;

fn config() -> String {
    global("lab") + &VrrpInstance::new(3, "0.2", 200, ADDRESS).text()
}

fn start(lab: &Lab, d1: &Host, config: &str) -> Result<Director, Failure> {
    let director = Director::start(lab, d1, Subject::Ours, config, &[])?;
    wait_until("d1 holds the address", SOON, || d1.has(ADDRESS))?;
    Ok(director)
}

/// Fails if a peer could have taken over meanwhile.
fn undisturbed(lab: &Lab, lan: &Lan, meanwhile: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let capture = Capture::start(lab, lan.switch(), "undisturbed")?;
    pause(Duration::from_millis(400));
    meanwhile()?;
    pause(Duration::from_millis(400));
    let adverts = capture::adverts(&capture.stop()?)?;
    let gap = capture::longest_gap(&adverts);
    require(adverts.len() >= 3 && gap < PATIENCE, || {
        format!("{} adverts, longest pause {gap:.3} s", adverts.len())
    })?;
    require(adverts.iter().all(|advert| advert.priority == 200), || "the Master resigned".to_owned())
}

#[test]
fn a_start_waits_for_the_vrrpd_of_a_killed_parent() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let mut first = start(lab, d1, &config())?;
        let old = first.wait_daemon("vrrpd")?;
        process::signal(old, Signal::SIGSTOP);
        first.signal(Signal::SIGKILL);
        first.wait_end(SOON)?;
        let second = Director::start(lab, d1, Subject::Ours, &config(), &[])?;
        pause(Duration::from_secs(1));
        require(second.daemons().is_empty() && process::is_alive(second.pid()), || {
            format!("beside the old vrrpd run {:?}", second.daemons())
        })?;
        process::signal(old, Signal::SIGCONT);
        second.wait_daemon("vrrpd")?;
        require(!process::is_alive(old), || "the old one is still there".to_owned())?;
        wait_until("the second suite is Master", SOON, || {
            second.status().is_ok_and(|status| status["instances"][0]["state"] == "Master")
        })?;
        pause(Duration::from_millis(500));
        require(d1.has(ADDRESS), || "the old one has withdrawn what the new one holds".to_owned())
    });
}

#[test]
fn a_vrrpd_that_outlives_its_parent_without_end_is_killed_by_the_next_start() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let mut first = start(lab, d1, &config())?;
        let old = first.wait_daemon("vrrpd")?;
        process::signal(old, Signal::SIGSTOP);
        first.signal(Signal::SIGKILL);
        first.wait_end(SOON)?;
        let second = Director::start(lab, d1, Subject::Ours, &config(), &[])?;
        wait_until("the second suite is Master", SOON, || {
            second.status().is_ok_and(|status| status["instances"][0]["state"] == "Master")
        })?;
        require(!process::is_alive(old) && d1.has(ADDRESS), || "the old one is still there".to_owned())
    });
}

#[test]
fn the_end_of_one_suite_does_not_touch_another_on_the_same_host() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let other = VrrpInstance {
            vrid: 52,
            name: "VI_2".to_owned(),
            ..VrrpInstance::new(3, "0.2", 200, front4(51))
        };
        let path = "/run/lab/other.conf";
        fs::create_dir_all("/run/lab")
            .and_then(|()| fs::write(path, global("other") + &other.text()))
            .map_err(|cause| Failure::instrument("configuration", cause))?;
        let options = ["-f", path, "--run-dir", "/run/lab/other.run"];
        for by_massacre in [false, true] {
            let mut first = start(lab, d1, &config())?;
            let second = Director::start(lab, d1, Subject::Ours, &config(), &options)?;
            wait_until("both hold their addresses", SOON, || d1.has(ADDRESS) && d1.has(front4(51)))?;
            let vrrpd = second.wait_daemon("vrrpd")?;
            if by_massacre {
                first.freeze_and_kill();
                first.withdraw_leftovers(d1)?;
            } else {
                first.signal(Signal::SIGKILL);
                first.wait_end(SOON)?;
            }
            wait_until("the address of the first is gone", SOON, || !d1.has(ADDRESS))?;
            pause(Duration::from_millis(500));
            require(d1.has(front4(51)) && second.daemon("vrrpd") == Some(vrrpd), || {
                "the second was touched".to_owned()
            })?;
            second.stop()?;
        }
        Ok(())
    });
}

#[test]
fn a_full_run_directory_stops_neither_adverts_nor_a_successor_nor_a_reload() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let doing = |cause: std::io::Error| Failure::instrument("a small run directory", cause);
        fs::create_dir_all("/run/lab/d1.run").map_err(doing)?;
        mount(Some("tmpfs"), "/run/lab/d1.run", Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=750"))
            .map_err(|cause| doing(cause.into()))?;
        let director = start(lab, d1, &config())?;
        let filled = fs::write("/run/lab/d1.run/filler", vec![0_u8; 1 << 20]);
        require(filled.is_err(), || "the directory took a MiB".to_owned())?;
        undisturbed(lab, &lan, || {
            let old = director.wait_daemon("vrrpd")?;
            process::signal(old, Signal::SIGKILL);
            director.wait_successor("vrrpd", old)?;
            wait_until("it has settled", SOON, || director.ctl(&["reload"]).is_ok())?;
            for signal in [Signal::SIGUSR1, Signal::SIGUSR2] {
                director.signal(signal);
            }
            director.status().map(|_| ())
        })
    });
}

#[test]
fn a_reload_while_a_daemon_hangs_costs_no_advert() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let service = |vip: &str| http_service(vip, &["10.77.0.1"]);
        let director = start(lab, d1, &(config() + &service("10.77.1.1")))?;
        let checkd = director.wait_daemon("checkd")?;
        undisturbed(lab, &lan, || {
            process::signal(checkd, Signal::SIGSTOP);
            director.write_config(d1, &(config() + &service("10.77.1.2")))?;
            // It is refused, or done by a successor: nobody waits for it for ever.
            let _either = director.ctl(&["reload"]);
            process::signal(checkd, Signal::SIGCONT);
            wait_until("a reload is done", SOON, || director.ctl(&["reload"]).is_ok()).map(|_| ())
        })
    });
}

/// As Ctrl-C does it where the daemons stand in the terminal's session, and as a service manager does it.
#[test]
fn signals_to_every_process_at_once_end_the_suite_in_order() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let mut director = start(lab, d1, &(config() + &http_service("10.77.1.1", &["10.77.0.1"])))?;
            for name in ["vrrpd", "checkd", "ipvsd"] {
                director.wait_daemon(name)?;
            }
            for process in director.daemons() {
                process::signal(process.pid, signal);
            }
            director.signal(signal);
            if signal == Signal::SIGHUP {
                // A hang-up is an order to reload, to the parent alone.
                wait_until("it has reloaded", SOON, || director.logged("Configuration reloaded") > 0)?;
                require(d1.has(ADDRESS), || "the address is gone".to_owned())?;
                director.signal(Signal::SIGTERM);
            }
            let status = director.wait_end(SOON)?;
            require(status.success(), || format!("{signal}: it ended with {status}"))?;
            require(d1.processes().is_empty() && !d1.has(ADDRESS), || {
                format!("{signal}: {:?}", d1.processes())
            })?;
        }
        Ok(())
    });
}
