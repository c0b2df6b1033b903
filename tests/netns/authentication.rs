//! Authentication headers beside Debian's keepalived, and signed adverts beside a signer and verifier written in Python.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::{front4, front6};
use tests::lab::process::signal;
use tests::lab::{Director, Failure, Host, Lan, Subject, pause, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const KEY: &str = "6b6579206f66207468697274792d74776f2062797465732c20666f7220746573";
const NEXT: &str = "6b6579206f66207468697274792d74776f2062797465732c20666f72206e6578";
const AH: &str = "authentication {\n        auth_type AH\n        auth_pass secret12\n    }";

/// `auth_hmac` with these keys, the first of which signs.
fn hmac(mode: &str, keys: &[(u8, &str)]) -> String {
    let lines: String = keys.iter().map(|(id, key)| format!("        key {id} hex:{key}\n")).collect();
    format!("auth_hmac {{\n{lines}        active_key {}\n        mode {mode}\n    }}", keys[0].0)
}

fn config(priority: u8, extra: &str) -> String {
    global("lab") + &VrrpInstance::new(3, "0.2", priority, ADDRESS).with(extra).text()
}

fn python(host: &Host, arguments: &[&str]) -> Result<String, Failure> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("lab/hmac_peer.py");
    let script = script.to_string_lossy();
    host.run("python3", &[&[script.as_ref()], arguments].concat())
}

fn transitions(director: &Director) -> Result<u64, Failure> {
    Ok(director.status()?["instances"][0]["transitions"].as_u64().unwrap_or(0))
}

/// Waits until there were so many.
fn wait_transitions(director: &Director, what: &str, count: u64) -> Result<(), Failure> {
    wait_until(what, Duration::from_secs(20), || transitions(director).is_ok_and(|seen| seen >= count))
        .map(drop)
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))
}

#[test]
fn an_independent_verifier_finds_every_signature_over_ipv4_good() {
    verified("4", ADDRESS);
}

#[test]
fn an_independent_verifier_finds_every_signature_over_ipv6_good() {
    verified("6", front6(0x50));
}

fn verified(family: &str, address: IpAddr) {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let instance = VrrpInstance::new(3, "0.2", 200, address).with(&hmac("enforce", &[(7, KEY)]));
        let _director = Director::start(lab, d1, Subject::Ours, &(global("lab") + &instance.text()), &[])?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(address))?;
        let said = python(lan.host("client")?, &["verify", family, "10", &format!("7={KEY}")])?;
        require(said == "good key 7 priority 200\n".repeat(10), || said.clone())
    });
}

#[test]
fn a_signed_advert_wins_and_every_forgery_is_counted() {
    sandboxed(90, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
        let (client, d1) = (lan.host("client")?, lan.host("d1")?);
        let director =
            Director::start(lab, d1, Subject::Ours, &config(100, &hmac("enforce", &[(7, KEY)])), &[])?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(ADDRESS))?;
        let forgeries = [
            ("unsigned", "hmac_missing"),
            ("malformed", "hmac_malformed"),
            ("stale", "hmac_stale"),
            ("unknown", "hmac_unknown_key"),
            ("wrongkey", "digest"),
            ("flipped", "digest"),
        ];
        let counted = |reason: &str| -> u64 {
            let status = director.status().unwrap_or_default();
            status["instances"][0]["rejected_by"][reason].as_u64().unwrap_or(0)
        };
        let before = director.transitions_in("Master")?;
        for (how, reason) in forgeries {
            let known = counted(reason);
            python(client, &["send", "10.77.0.100", "250", how, "0.5", "7", KEY])?;
            wait_until(&format!("{how} is counted"), Duration::from_secs(20), || counted(reason) > known)?;
        }
        require(transitions(&director)? == before, || "a forgery moved something".to_owned())?;

        python(client, &["send", "10.77.0.100", "250", "signed", "0.3", "7", KEY])?;
        wait_transitions(&director, "a signed advert wins, then d1 takes over again", before + 2)?;
        wait_until("d1 holds the address again", Duration::from_secs(20), || d1.has(ADDRESS))?;
        // The first one wins, its copies hold nobody back.
        let before = director.transitions_in("Master")?;
        python(client, &["send", "10.77.0.100", "250", "replay", "3", "7", KEY])?;
        require(d1.has(ADDRESS), || "copies of one advert kept d1 from taking over".to_owned())?;
        wait_until("copies are counted", Duration::from_secs(20), || counted("replay") >= 5)?;
        require(transitions(&director)? == before + 2, || "one trip, not more".to_owned())
    });
}

/// A stamp of a minute ago, which is refused by default.
#[test]
fn an_old_stamp_is_believed_by_who_has_a_wide_window_or_none() {
    sandboxed(60, |lab| {
        for line in ["time_window 100", "anti_replay monotonic"] {
            let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
            let d1 = lan.host("d1")?;
            let block = hmac("enforce", &[(7, KEY)]).replacen('{', &format!("{{\n        {line}"), 1);
            let director = Director::start(lab, d1, Subject::Ours, &config(100, &block), &[])?;
            wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(ADDRESS))?;
            let before = director.transitions_in("Master")?;
            python(lan.host("client")?, &["send", "10.77.0.100", "250", "stale", "0.3", "7", KEY])?;
            wait_transitions(&director, line, before + 1)?;
        }
        Ok(())
    });
}

/// Rollout and rotation as the manual says, by reloads: nobody ever leaves its state.
#[test]
fn signatures_are_rolled_out_and_keys_rotated_without_a_transition() {
    sandboxed(120, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let first = Director::start(lab, d1, Subject::Ours, &config(200, ""), &[])?;
        let second = Director::start(lab, d2, Subject::Ours, &config(100, ""), &[])?;
        wait_until("d1 alone holds the address", Duration::from_secs(20), || {
            d1.has(ADDRESS) && !d2.has(ADDRESS)
        })?;
        let before = [first.transitions_in("Master")?, second.transitions_in("Backup")?];
        let steps = [
            hmac("receive-only", &[(1, KEY)]),
            hmac("permissive", &[(1, KEY)]),
            hmac("enforce", &[(1, KEY)]),
            hmac("enforce", &[(1, KEY), (2, NEXT)]),
            hmac("enforce", &[(2, NEXT), (1, KEY)]),
            hmac("enforce", &[(2, NEXT)]),
        ];
        for step in &steps {
            for (director, host, priority) in [(&second, d2, 100), (&first, d1, 200)] {
                director.write_config(host, &config(priority, step))?;
                director.ctl(&["reload"])?;
                pause(Duration::from_millis(900));
                let now = [transitions(&first)?, transitions(&second)?];
                require(now == before, || format!("a transition in step {step}"))?;
            }
        }
        require(d1.has(ADDRESS) && !d2.has(ADDRESS), || "the address moved".to_owned())
    });
}

/// Sequence numbers and time stamps go on where the dead process stopped, or peers would take us for a replay.
#[test]
fn a_killed_vrrpd_goes_on_authenticating_where_it_stopped() {
    sandboxed(120, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let config = |priority| global("lab") + &VrrpInstance::new(2, "1", priority, ADDRESS).with(AH).text();
        let weak = Director::start(lab, d2, Subject::C, &config(100), &[])?;
        let strong = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
        wait_until("d1 alone holds the address", Duration::from_secs(20), || {
            d1.has(ADDRESS) && !d2.has(ADDRESS)
        })?;
        let entered = weak.logged("Entering MASTER STATE");
        for _ in 0..3 {
            let old = strong.wait_daemon("vrrpd")?;
            signal(old, Signal::SIGKILL);
            strong.wait_successor("vrrpd", old)?;
            pause(Duration::from_millis(4_200));
        }
        require(weak.logged("Entering MASTER STATE") == entered, || {
            "the peer took a successor's adverts for a replay".to_owned()
        })?;
        require(d1.has(ADDRESS) && !d2.has(ADDRESS), || "the address moved".to_owned())
    });
}

/// Keys may lie in systemd's credentials directory, which only the environment names.
#[test]
fn a_key_file_is_found_through_the_credentials_directory() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let write = |path: &str, text: &str| {
            std::fs::write(path, text).map_err(|cause| Failure::instrument(path, cause))
        };
        std::fs::create_dir_all("/run/lab/credentials")
            .map_err(|cause| Failure::instrument("mkdir", cause))?;
        write("/run/lab/credentials/vrrp.key", &format!("hex:{KEY}\n"))?;
        let block = "auth_hmac {\n        key 1 file:${_ENV CREDENTIALS_DIRECTORY}/vrrp.key\n        active_key 1\n    }";
        write("/run/lab/d1.conf", &config(100, block))?;
        let program = tests::lab::subject::install_ours()?.join("keepalived");
        let program = program.to_string_lossy();
        let test = [program.as_ref(), "-t", "-f", "/run/lab/d1.conf", "--run-dir", "/run/lab/t"];
        require(d1.run("env", &test).is_err(), || "without the variable there is no key".to_owned())?;
        let with = [&["CREDENTIALS_DIRECTORY=/run/lab/credentials"], &test[..]].concat();
        d1.run("env", &with).map(|_| ())?;
        Ok(())
    });
}
