//! What happens to the parent or to its surroundings, and must not reach the adverts or another suite.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Capture, Director, Failure, Host, Lab, Lan, Lateness, Subject, capture};
use tests::lab::{pause, process, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const SOON: Duration = Duration::from_secs(20);
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
    let lateness = Lateness::watch();
    pause(Duration::from_secs(1));
    meanwhile()?;
    pause(Duration::from_secs(1));
    let late = lateness.finish()?;
    let adverts = capture::adverts(&capture.stop()?)?;
    let gap = capture::longest_gap(&adverts);
    require(adverts.len() >= 3 && gap < PATIENCE + late.as_secs_f64(), || {
        format!("{} adverts, longest pause {gap:.3} s, the laboratory was late by {late:?}", adverts.len())
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

fn reload_while_hanging(lab: &Lab, daemon: &str) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let service = |vip: &str| http_service(vip, &["10.77.0.1"]);
    let director = start(lab, d1, &(config() + &service("10.77.1.1")))?;
    let hanging = director.wait_daemon(daemon)?;
    undisturbed(lab, &lan, || {
        process::signal(hanging, Signal::SIGSTOP);
        director.write_config(d1, &(config() + &service("10.77.1.2")))?;
        // It is refused, or done by a successor: nobody waits for it for ever.
        let _either = director.ctl(&["reload"]);
        process::signal(hanging, Signal::SIGCONT);
        wait_until("a reload is done", SOON, || director.ctl(&["reload"]).is_ok()).map(|_| ())
    })
}

#[test]
fn a_reload_while_checkd_hangs_costs_no_advert() {
    sandboxed(60, |lab| reload_while_hanging(lab, "checkd"));
}

#[test]
fn a_reload_while_ipvsd_hangs_costs_no_advert() {
    sandboxed(60, |lab| reload_while_hanging(lab, "ipvsd"));
}

/// Its successor speaks before a peer has lost its patience.
#[test]
fn a_reload_while_vrrpd_hangs_costs_no_state() {
    sandboxed(60, |lab| reload_while_hanging(lab, "vrrpd"));
}

/// A /dev of our own with what programs need, so that a log reader can be put into it.
fn private_devices() -> Result<(), Failure> {
    let doing = |cause: std::io::Error| Failure::instrument("a private /dev", cause);
    let bind = |from: &str, to: &str| mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    let own = "/run/lab/dev";
    fs::create_dir_all(own).map_err(doing)?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let place = format!("{own}/{name}");
        fs::write(&place, "").map_err(doing)?;
        bind(&format!("/dev/{name}"), &place).map_err(|cause| doing(cause.into()))?;
    }
    std::os::unix::fs::symlink("/proc/self/fd", format!("{own}/fd")).map_err(doing)?;
    mount(Some(own), "/dev", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(|cause| doing(cause.into()))
}

#[test]
fn a_log_reader_that_stands_still_stops_neither_start_nor_adverts_nor_a_reload() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        private_devices()?;
        // Its queue takes a few lines, and nobody reads them.
        let reader = std::os::unix::net::UnixDatagram::bind("/dev/log")
            .map_err(|cause| Failure::instrument("/dev/log", cause))?;
        let director = Director::start_logging(lab, d1, Subject::Ours, &config())?;
        wait_until("d1 holds the address", SOON, || d1.has(ADDRESS))?;
        undisturbed(lab, &lan, || {
            let old = director.wait_daemon("vrrpd")?;
            process::signal(old, Signal::SIGKILL);
            director.wait_successor("vrrpd", old)?;
            wait_until("it has settled", SOON, || director.ctl(&["reload"]).is_ok())?;
            let lost = director.status()?["parent"]["dropped_lines"].as_u64();
            require(lost > Some(0), || format!("the queue took everything, {lost:?} lines lost"))
        })?;
        drop(reader);
        director.stop().map(|_| ())
    });
}

/// Scheduling policy of a process: field 41 of its line in /proc, 39th behind the name.
fn policy(pid: i32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(38)?.parse().ok()
}

#[test]
fn a_name_service_that_gives_no_answer_stops_neither_start_nor_adverts_nor_a_reload() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let doing = |cause: std::io::Error| Failure::instrument("a silent name service", cause);
        let _silent = lan.host("client")?.enter(|| UdpSocket::bind("10.77.0.100:53"))?.map_err(doing)?;
        fs::create_dir_all("/run/lab")
            .and_then(|()| fs::write("/run/lab/resolv.conf", "nameserver 10.77.0.100\n"))
            .map_err(doing)?;
        let (file, none) = ("/run/lab/resolv.conf", None::<&str>);
        mount(Some(file), "/etc/resolv.conf", none, MsFlags::MS_BIND, none)
            .map_err(|cause| doing(cause.into()))?;
        let mail = "global_defs {\n    notification_email {\n        a@example.org\n    }\n    \
                    smtp_server mail.example.org\n}\n";
        let director = start(lab, d1, &(config() + mail))?;
        undisturbed(lab, &lan, || {
            director.signal(Signal::SIGHUP);
            // SCHED_BATCH is 3: the worker, which waits for the name service now, gives way to all others.
            wait_until("a process reads in the background", SOON, || {
                process::children(director.pid()).iter().any(|child| policy(child.pid) == Some(3))
            })?;
            wait_until("it has reloaded", SOON, || director.logged("Configuration reloaded") > 0).map(drop)
        })
    });
}

#[test]
fn a_run_directory_without_a_place_for_one_more_file_stops_nothing() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let doing = |cause: std::io::Error| Failure::instrument("a run directory of few files", cause);
        fs::create_dir_all("/run/lab/d1.run").map_err(doing)?;
        let few = Some("size=1m,mode=750,nr_inodes=64");
        mount(Some("tmpfs"), "/run/lab/d1.run", Some("tmpfs"), MsFlags::empty(), few)
            .map_err(|cause| doing(cause.into()))?;
        let director = start(lab, d1, &config())?;
        let full = (0..64).any(|number| fs::write(format!("/run/lab/d1.run/{number}"), "").is_err());
        require(full, || "the directory took 64 files".to_owned())?;
        undisturbed(lab, &lan, || {
            let old = director.wait_daemon("vrrpd")?;
            process::signal(old, Signal::SIGKILL);
            director.wait_successor("vrrpd", old)?;
            wait_until("it has settled", SOON, || director.ctl(&["reload"]).is_ok())?;
            director.signal(Signal::SIGUSR1);
            director.status().map(|_| ())
        })?;
        director.stop().map(|_| ())
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
