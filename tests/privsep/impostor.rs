//! What the parent does with a daemon that somebody else speaks for. The impostor has the daemon's user and its
//! channel, and no confinement: what refuses it here is the parent alone.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use config::model::units::{IfIndex, Vrid};
use ipc::messages::vrrpd::SocketKey;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use tests::lab::config_text::{VrrpInstance, global, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::sandbox::build_directory;
use tests::lab::subject::install_ours;
use tests::lab::{Director, Failure, Lab, Lan, Subject, clock, sandboxed, wait_until};
use vrrpd::socket::receive::Receiver;

const SOON: Duration = Duration::from_secs(30);

/// A script of vrrpd, then one of a check: both would leave a file behind.
fn config() -> String {
    let script = "vrrp_script track {\n    script \"/bin/touch /run/lab/ran-track\"\n    interval 3600\n    user root\n}\n";
    let instance =
        VrrpInstance::new(3, "0.2", 150, front4(50)).with("track_script {\n        track\n    }").text();
    let check = "MISC_CHECK {\n            misc_path \"/bin/touch /run/lab/ran-check\"\n            user root\n        }";
    let service = http_service("10.77.0.50", &["10.77.0.11"]).replacen(
        "        HTTP_GET {",
        &format!("        {check}\n        HTTP_GET {{"),
        1,
    );
    global("d1") + script + &instance + &service
}

/// A director in which an impostor has the place of one daemon.
fn start(lab: &Lab, lan: &Lan, daemon: &str, acts: &str) -> Result<Director, Failure> {
    start_with(lab, lan, daemon, acts, &config())
}

fn start_with(lab: &Lab, lan: &Lan, daemon: &str, acts: &str, config: &str) -> Result<Director, Failure> {
    let suite = install_ours()?;
    let place = |cause| Failure::instrument("the impostor's place", cause);
    fs::copy(build_directory().join("impostor"), suite.join(daemon)).map_err(place)?;
    let file = suite.join("impostor-acts");
    fs::write(&file, acts).map_err(place)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).map_err(place)?;
    Director::start(lab, lan.host("d1")?, Subject::Ours, config, &[])
}

fn daemon(director: &Director, name: &str) -> Option<Value> {
    let status = director.status().ok()?;
    status["daemons"].as_array()?.iter().find(|daemon| daemon["daemon"] == name).cloned()
}

/// Everything named that isn't its own is dropped and counted; nothing comes of it.
fn strangers_are_counted(name: &'static str, refused: u64) {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let director = start(lab, &lan, name, "strangers knock forge")?;
        let count = || daemon(&director, name)?["refused_messages"].as_u64();
        wait_until("all are refused", SOON, || {
            count() >= Some(refused)
                && director.logged("knock at status.sock") > 0
                && director.logged("forged") > 0
        })
        .map_err(|failure| Failure::new(format!("{failure}: {:?} refused", count())))?;
        require(count() == Some(refused), || format!("{:?} refused", count()))?;
        let status = director.status()?;
        require(status["daemons"][0]["restarts"] == 0, || status["daemons"].to_string())?;
        let instance = &status["instances"][0];
        require(instance["priority"] != 254 && instance["priority"] != 9, || instance.to_string())?;
        require(name != "vrrpd" || instance["state"] == "Init", || instance.to_string())?;
        // The real daemons beside it run what is their own.
        let script = if name == "vrrpd" { "/run/lab/ran-track" } else { "/run/lab/ran-check" };
        require(name == "ipvsd" || !Path::new(script).exists(), || format!("{script} exists"))?;
        let weight = &status["services"][0]["servers"][0]["weight"];
        require(name != "checkd" || weight.is_null(), || status["services"].to_string())?;
        for socket in ["control.sock", "status.sock"] {
            require(director.logged(&format!("knock at {socket}: permission denied")) == 1, || {
                director.log()
            })?;
        }
        let log = director.log();
        let forged =
            log.lines().any(|line| line.starts_with("Keepalived_vrrp: (VI_1) Entering MASTER STATE, forged"));
        require(!forged && log.contains("forged") && !log.contains('\x1b'), || log.clone())
    });
}

#[test]
fn what_a_captured_vrrpd_may_not_name_is_dropped_and_counted() {
    strangers_are_counted("vrrpd", 13);
}

#[test]
fn what_a_captured_checkd_may_not_name_is_dropped_and_counted() {
    strangers_are_counted("checkd", 22);
}

#[test]
fn a_captured_ipvsd_reaches_no_socket_and_forges_no_line() {
    strangers_are_counted("ipvsd", 1);
}

#[test]
fn a_frame_that_is_none_ends_the_daemon_and_nobody_else() {
    sandboxed(120, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        for (name, act) in [
            ("vrrpd", "long-frame"),
            ("checkd", "long-frame"),
            ("ipvsd", "garbage-frame"),
            ("checkd", "garbage-frame"),
            ("checkd", "trailing-frame"),
            ("vrrpd", "descriptors long-frame"),
            ("checkd", "descriptors long-frame"),
        ] {
            let fresh = Path::new("/run/suite");
            drop(fs::remove_dir_all(fresh));
            let director = start(lab, &lan, name, act)?;
            let before = director.logged("protocol violation");
            wait_until(&format!("{act} of {name} is seen"), SOON, || {
                director.logged("protocol violation") > before
                    && daemon(&director, name).is_some_and(|daemon| daemon["restarts"].as_u64() > Some(0))
            })?;
            // The parent keeps none of a hundred descriptors, and still answers.
            let open = || fs::read_dir(format!("/proc/{}/fd", director.pid())).map_or(0, Iterator::count);
            wait_until(&format!("{act} of {name} leaves no descriptors"), SOON, || open() < 90)?;
            director.stop()?;
        }
        Ok(())
    });
}

#[test]
fn a_flood_of_lines_is_cut_and_counted() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let began = clock::now();
        let director = start(lab, &lan, "checkd", "flood")?;
        wait_until("the flood is over", SOON, || {
            daemon(&director, "checkd").is_some_and(|daemon| daemon["dropped_lines"].as_u64() > Some(0))
                && director.logged("log lines of checkd were suppressed") > 0
        })?;
        // What one burst allows, and what has been earned meanwhile; told every ten seconds.
        let (lines, told) =
            (director.logged("flood "), director.logged("log lines of checkd were suppressed"));
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap_or(usize::MAX) + 1;
        require((20_000..20_000 + 400 * seconds).contains(&lines), || {
            format!("{lines} lines in {seconds} s")
        })?;
        require(told < 3 + seconds / 10, || format!("told {told} times in {seconds} s"))?;
        require(director.status().is_ok(), || "the parent is silent".to_owned())
    });
}

#[test]
fn a_daemon_that_makes_the_parent_complain_pays_for_the_lines() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let began = clock::now();
        let director = start(lab, &lan, "ipvsd", "hammer")?;
        wait_until("its lines are cut", SOON, || director.logged("log lines of ipvsd were suppressed") > 0)?;
        let lines = director.logged("entries that aren't configured");
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap_or(usize::MAX) + 1;
        require((20_000..20_000 + 400 * seconds).contains(&lines), || format!("{lines} lines in {seconds} s"))
    });
}

#[test]
fn a_captured_checkd_can_not_make_ipvsd_look_hung() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let suite = install_ours()?;
        let place = |cause| Failure::instrument("the second impostor's place", cause);
        fs::copy(build_directory().join("impostor"), suite.join("ipvsd")).map_err(place)?;
        // It does not read meanwhile.
        let director = start(lab, &lan, "checkd", "wish deaf")?;
        wait_until("all wishes are told", SOON, || director.logged("wished") > 0)?;
        require(director.logged("message to ipvsd") == 0, || director.log())
    });
}

#[test]
fn one_script_is_not_run_without_pause() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let notify = "notify_up \"/bin/sh -c 'echo x >>/run/lab/hammered'\" root\n        HTTP_GET {";
        let config = config().replacen("HTTP_GET {", notify, 1);
        let director = start_with(lab, &lan, "checkd", "hammer", &config)?;
        let took = || -> Option<usize> {
            let log = director.log();
            log.split("hammered for ").nth(1)?.split(' ').next()?.parse().ok()
        };
        wait_until("the hammering is over", SOON, || took().is_some())?;
        let runs = || fs::read_to_string("/run/lab/hammered").map_or(0, |text| text.lines().count());
        wait_until("the script has run", SOON, || runs() > 0)?;
        let most = took().unwrap_or(0) / 10 + 2;
        require(runs() <= most, || format!("{} runs, at most {most}", runs()))
    });
}

/// A socket as a captured vrrpd might leave it in the vault: bound to this interface and nothing more.
fn left(domain: Domain, protocol: i32, device: &str) -> io::Result<OwnedFd> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol)))?;
    socket.bind_device(Some(device.as_bytes()))?;
    Ok(socket.into())
}

/// What its successor makes of such sockets, on the machine that it runs on.
fn adopted() -> Result<(), Failure> {
    const VRRP: i32 = 112;
    let doing = |cause| Failure::instrument("a socket of a predecessor", cause);
    // The groups of each interface behind its number and name, in hexadecimal with the last byte first.
    let groups = || fs::read_to_string("/proc/thread-self/net/igmp").unwrap_or_default();
    let table = groups();
    let line = table.lines().find(|line| line.contains("eth0")).unwrap_or_default();
    let index = line.split_whitespace().next().and_then(|index| index.parse().ok()).map(IfIndex::new);
    require(index.is_some() && !table.contains("120000E0"), || table.clone())?;
    let group = Some(IpAddr::from([224, 0, 0, 18]));
    let take = |fd: OwnedFd| {
        let key = SocketKey {
            interface: "eth0".to_owned(),
            inet6: false,
            group: "224.0.0.18".to_owned(),
            sealed: false,
        };
        Receiver::adopt(key, index, group, Vrid::new(3).into_iter().collect(), fd)
    };
    for (domain, protocol, device) in
        [(Domain::IPV6, VRRP, "eth0"), (Domain::IPV4, 51, "eth0"), (Domain::IPV4, VRRP, "lo")]
    {
        let taken = take(left(domain, protocol, device).map_err(doing)?);
        require(taken.is_none(), || format!("taken: {taken:?}"))?;
    }
    let taken = take(left(Domain::IPV4, VRRP, "eth0").map_err(doing)?);
    require(taken.is_some(), || "its own kind of socket is not taken".to_owned())?;
    require(groups().contains("120000E0"), || format!("it does not hear the group: {}", groups()))
}

#[test]
fn a_socket_that_a_captured_vrrpd_has_left_hears_its_group_or_is_not_taken() {
    sandboxed(30, |_| Lan::new(&[("d1", 1)])?.host("d1")?.enter(adopted)?);
}
