//! What the parent promises when several things happen at once: a stop, a reload or a signal beside a death.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Lab, Lan, Subject, clock, pause, process, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);

fn config() -> String {
    global("lab") + &VrrpInstance::new(3, "0.2", 200, ADDRESS).text()
}

fn master(lab: &Lab, lan: &Lan) -> Result<Director, Failure> {
    let d1 = lan.host("d1")?;
    let director = Director::start(lab, d1, Subject::Ours, &config(), &[])?;
    wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(ADDRESS))?;
    Ok(director)
}

#[test]
fn a_stop_beside_a_death_leaves_no_address() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        // From a stop that comes first to one that meets the successor at its work.
        for after_ms in [0, 1, 2, 4, 8, 16] {
            let mut director = master(lab, &lan)?;
            process::signal(director.wait_daemon("vrrpd")?, Signal::SIGKILL);
            pause(Duration::from_millis(after_ms));
            director.signal(Signal::SIGTERM);
            director.wait_end(Duration::from_secs(20))?;
            require(!d1.has(ADDRESS), || format!("left behind by a stop {after_ms} ms after the death"))?;
        }
        Ok(())
    });
}

/// As with keepalived, which calls that a stop like any other.
#[test]
fn without_restarts_a_death_ends_the_suite_with_exit_code_0() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        for subject in [Subject::C, Subject::Ours] {
            let mut director = Director::start(lab, d1, subject, &config(), &["-R"])?;
            wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(ADDRESS))?;
            let name = if subject == Subject::C { "keepalived" } else { "vrrpd" };
            process::signal(director.wait_daemon(name)?, Signal::SIGKILL);
            let status = director.wait_end(Duration::from_secs(20))?;
            require(status.code() == Some(0), || format!("{subject:?}: {status:?}"))?;
            require(director.logged("died: Exiting") == 1, || director.log())?;
            d1.run("ip", &["address", "flush", "dev", "eth0", "to", "10.77.0.50"])?;
        }
        Ok(())
    });
}

#[test]
fn a_reload_beside_a_death_is_done_and_the_address_stays() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let director = master(lab, &lan)?;
        for after_ms in [0, 2, 5, 10, 20] {
            let old = director.wait_daemon("vrrpd")?;
            director.signal(Signal::SIGHUP);
            pause(Duration::from_millis(after_ms));
            process::signal(old, Signal::SIGKILL);
            director.wait_successor("vrrpd", old)?;
            wait_until("vrrpd runs and nothing is under way", Duration::from_secs(20), || {
                director.ctl(&["reload"]).is_ok()
            })?;
            require(d1.has(ADDRESS), || format!("the address went, death {after_ms} ms after the order"))?;
        }
        require(director.logged("wasn't ready in time") == 0, || director.log())
    });
}

/// Nobody was against it, and nobody orders it again.
#[test]
fn a_reload_whose_daemon_dies_while_it_prepares_is_done_by_the_successor() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = config() + TWO_SERVERS;
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        let soon = Duration::from_secs(20);
        wait_until("d1 holds the address", soon, || d1.has(ADDRESS))?;
        wait_until("all run", soon, || director.logged("Startup complete") > 0)?;
        for (done, name) in (1..).zip(["vrrpd", "checkd", "ipvsd"]) {
            let old = director.wait_daemon(name)?;
            process::signal(old, Signal::SIGSTOP);
            let before = director.logged("Reloading ...");
            director.signal(Signal::SIGHUP);
            // What it has read waits for the daemon that stands still.
            wait_until("the worker has come and gone", soon, || {
                director.logged("Reloading ...") > before && director.daemons().len() == 3
            })?;
            process::signal(old, Signal::SIGKILL);
            wait_until("it has reloaded", soon, || director.logged("Configuration reloaded") == done)
                .map_err(|failure| Failure::new(format!("{name}: {failure}\n{}", director.log())))?;
        }
        require(director.logged("Reload refused") == 0 && d1.has(ADDRESS), || director.log())?;
        director.stop().map(drop)
    });
}

/// The kernel has one lock for the links of all namespaces, and whoever removes hundreds of bridges holds it for seconds.
/// A successor that waits for it can't be ended, and comes out of it as ready as any other.
#[test]
fn a_successor_that_waits_for_the_kernels_lock_on_links_is_waited_for() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("other", 2)])?;
        let (d1, other) = (lan.host("d1")?, lan.host("other")?);
        let director = master(lab, &lan)?;
        let bridges = (0..150).map(|number| format!("link add t{number} group 7 type bridge\n"));
        other.ip(&bridges.collect::<String>())?;
        let mut removing = other.spawn(Command::new("ip").args(["link", "del", "group", "7"]))?;
        let pid = i32::try_from(removing.id()).unwrap_or(0);
        wait_until("the lock is held, or has been", Duration::from_secs(20), || {
            process::read(pid).is_none_or(|process| matches!(process.state, 'D' | 'Z'))
        })?;
        let old = director.wait_daemon("vrrpd")?;
        process::signal(old, Signal::SIGKILL);
        let new = director.wait_successor("vrrpd", old)?;
        removing.wait().map_err(|cause| Failure::instrument("ip", cause))?;
        wait_until("its successor serves", Duration::from_secs(20), || {
            director.instance("VI_1")["state"] == "Master" && d1.has(ADDRESS)
        })?;
        require(director.wait_daemon("vrrpd")? == new, || director.log())?;
        require(director.logged("wasn't ready in time") == 0, || director.log())?;
        director.stop().map(drop)
    });
}

#[test]
fn signals_that_dump_the_state_elsewhere_end_nothing_here() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let director = master(lab, &lan)?;
        let vrrpd = director.wait_daemon("vrrpd")?;
        let passed_over = [
            Signal::SIGALRM,
            Signal::SIGQUIT,
            Signal::SIGPWR,
            Signal::SIGXFSZ,
            Signal::SIGTRAP,
            Signal::SIGABRT,
        ];
        for signal in [Signal::SIGUSR1, Signal::SIGUSR2].into_iter().chain(passed_over) {
            director.signal(signal);
            pause(Duration::from_millis(100));
        }
        require(director.wait_daemon("vrrpd")? == vrrpd, || "vrrpd is another one".to_owned())?;
        director.status().map(|_| ())
    });
}

/// The parent sleeps while a daemon ends slowly or starts.
#[test]
fn the_parent_does_not_spin_while_a_replaced_daemon_stays() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let director = master(lab, &lan)?;
        let turns = || Ok::<u64, Failure>(director.status()?["parent"]["turns"].as_u64().unwrap_or(0));
        let (before, old, began) = (turns()?, director.wait_daemon("vrrpd")?, clock::now());
        director.ctl(&["restart", "vrrpd"])?;
        pause(Duration::from_secs(1));
        let turned = turns()? - before;
        let seconds = began.elapsed().as_secs() + 1;
        require(turned < 500 * seconds, || format!("{turned} turns in {seconds} s"))?;
        wait_until("the replaced vrrpd is gone", Duration::from_secs(20), || !process::is_alive(old))
            .map(|_| ())
    });
}

const TWO_SERVERS: &str = "virtual_server 10.77.0.60 80 {
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 127.0.0.1 8001 {
        TCP_CHECK {
            connect_timeout 1
        }
    }
    real_server 127.0.0.1 8002 {
        MISC_CHECK {
            misc_path /bin/true
            misc_timeout 1
        }
    }
}
";

/// Weight of the server that nobody serves; `None` while it is out.
fn dead_server(status: &Value) -> (Option<u64>, u64) {
    let server = &status["services"][0]["servers"][0];
    (server["weight"].as_u64(), status["generation"].as_u64().unwrap_or(0))
}

#[test]
fn a_dead_server_stays_out_when_a_reload_needs_a_wider_confinement() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let base = global("lab") + TWO_SERVERS;
        let director = Director::start(lab, d1, Subject::Ours, &base, &["-C"])?;
        let is_down =
            || director.status().is_ok_and(|status| status["services"][0]["servers"][0]["up"] == false);
        wait_until("the dead server is out", Duration::from_secs(20), is_down)?;
        let old = director.wait_daemon("checkd")?;
        // Its first fresh result is a minute away: until then only what the predecessor knew can keep it out.
        let wider = "TCP_CHECK {
            connect_port 8003
            connect_timeout 1
            delay_loop 60
            warmup 60
        }
        MISC_CHECK";
        let slow = base.replace("delay_loop 1\n", "delay_loop 60\n").replacen("MISC_CHECK", wider, 1);
        director.write_config(d1, &slow)?;
        director.ctl(&["reload"])?;
        director.wait_successor("checkd", old)?;
        wait_until("the new table is told", Duration::from_secs(20), || {
            director.status().is_ok_and(|status| status["services"][0]["servers"][1]["weight"].is_u64())
        })?;
        let seen = dead_server(&director.status()?);
        require(seen == (None, 2), || format!("weight and generation of the dead server: {seen:?}"))
    });
}

/// One server goes, others come, checked on this port, and a global setting: checkd is replaced, and the scripts of what
/// changes run.
fn replaced_and_told(lab: &Lab, check: u16, setting: &str) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let told = Path::new("/run/lab/told");
    let said = || fs::read_to_string(told).unwrap_or_default();
    let run = |word: &str| format!("\"/bin/sh -c 'echo {word} >>{}'\"", told.display());
    let server = |port: u16, check: u16| {
        let alpha = if port > 8002 { "            alpha\n" } else { "" };
        format!(
            "    real_server 127.0.0.1 {port} {{\n        notify_down {}\n        TCP_CHECK {{\n            \
             connect_port {check}\n            warmup 60\n{alpha}        }}\n    }}\n",
            run(&port.to_string())
        )
    };
    let service = |setting: &str, quorum: u16, servers: &[(u16, u16)]| {
        let servers: String = servers.iter().map(|(port, check)| server(*port, *check)).collect();
        format!(
            "global_defs {{\n    router_id lab\n    script_user root\n    enable_script_security\n    {setting}\n}}\n\
             virtual_server 10.77.0.50 80 {{\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n    quorum \
             {quorum}\n    quorum_down {}\n{servers}}}\n",
            run("quorum")
        )
    };
    let before = service("", 1, &[(8001, 9001), (8002, 9001)]);
    let director = Director::start(lab, d1, Subject::Ours, &before, &["-C"])?;
    let old = director.wait_daemon("checkd")?;
    wait_until("the servers are up", Duration::from_secs(20), || {
        director.logged("Gained quorum 1+0=1 <= 2 for VS [10.77.0.50]:tcp:80") == 1
    })?;
    let after = service(setting, 4, &[(8001, 9001), (8003, check), (8004, check), (8005, check)]);
    director.write_config(d1, &after)?;
    director.ctl(&["reload"])?;
    director.wait_successor("checkd", old)?;
    wait_until("the scripts have run", Duration::from_secs(20), || said().lines().count() >= 2)
        .map_err(|failure| Failure::new(format!("{failure}: {}\n{}", said(), director.log())))?;
    let mut words: Vec<String> = said().lines().map(str::to_owned).collect();
    words.sort();
    require(words == ["8002", "quorum"], || format!("{words:?}\n{}", director.log()))?;
    for line in [
        "Removing service [127.0.0.1]:tcp:8002 from VS [10.77.0.50]:tcp:80",
        "Starting with quorum down 4-0=4 > 1 for VS [10.77.0.50]:tcp:80",
    ] {
        // The scripts may be faster than the line about them.
        wait_until(line, Duration::from_secs(20), || director.logged(line) == 1)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    }
    director.stop().map(|_| ())
}

/// checkd may not reach the port yet.
#[test]
fn a_reload_that_needs_a_wider_confinement_runs_the_scripts_of_what_it_changes() {
    sandboxed(60, |lab| replaced_and_told(lab, 9003, ""));
}

#[test]
fn a_reload_that_starts_checkd_otherwise_runs_the_scripts_of_what_it_changes() {
    sandboxed(60, |lab| replaced_and_told(lab, 9001, "checker_priority -5"));
}

/// strace makes vrrpd ask for its parent where it would write that it is alive: no page lists that call. Ends when `seen`.
fn asks_for_its_parent(pid: i32, what: &str, seen: impl Fn() -> bool) -> Result<(), Failure> {
    let mut strace = Command::new("strace")
        .args(["-o", "/dev/null", "-p", &pid.to_string(), "-e", "trace=pwrite64"])
        .args(["-e", "inject=pwrite64:retval=0:syscall=getppid:when=1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|cause| Failure::instrument("strace", cause))?;
    let waited = wait_until(what, Duration::from_secs(20), seen);
    process::signal(i32::try_from(strace.id()).unwrap_or(0), Signal::SIGTERM);
    let ended = strace.wait();
    waited.and(ended.map(|_| ()).map_err(|cause| Failure::instrument("strace", cause)))
}

#[test]
fn a_system_call_that_no_page_lists_is_refused_or_ends_the_daemon_as_seccomp_unknown_says() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let director = master(lab, &lan)?;
        let old = director.wait_daemon("vrrpd")?;
        let refused = "system call 110 refused by the filter";
        asks_for_its_parent(old, refused, || director.logged(refused) > 0)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
        require(director.wait_daemon("vrrpd")? == old, || director.log())?;
        // An orderly stop would complain of the refusal.
        drop(director);
        let strict = config().replacen("router_id lab", "router_id lab\n    seccomp_unknown exit", 1);
        let director = Director::start(lab, lan.host("d1")?, Subject::Ours, &strict, &[])?;
        let old = director.wait_daemon("vrrpd")?;
        let ended = "died with exit status 159";
        asks_for_its_parent(old, ended, || director.logged(ended) > 0)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
        director.wait_successor("vrrpd", old)?;
        require(director.logged(refused) == 0, || director.log())
    });
}
