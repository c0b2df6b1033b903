//! What an operator does by hand with keepalivectl.

use std::time::Duration;

use serde_json::Value;
use tests::lab::config_text::{VrrpInstance, global, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::subject::install_ours;
use tests::lab::web::WebServer;
use tests::lab::{Director, Failure, Lan, Subject, sandboxed, wait_until};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn members_of_the_control_group_may_ask_and_others_may_not() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = "global_defs {\n    router_id lab\n    control_group 54000\n}\n".to_owned()
            + &VrrpInstance::new(3, "0.2", 255, front4(50)).text();
        let _director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let ctl = install_ours()?.join("keepalivectl");
        let ask = |group: &str| {
            let user = [
                "--reuid=54001",
                &format!("--regid={group}"),
                "--clear-groups",
                "--",
                &ctl.to_string_lossy(),
            ];
            d1.run("/usr/bin/setpriv", &[&user[..], &["--run-dir", "/run/lab/d1.run", "status"]].concat())
        };
        let member = ask("54000")?;
        require(member.contains("VI_1"), || member.clone())?;
        require(ask("54001").is_err(), || "somebody else was answered".to_owned())
    })
}

#[test]
fn a_drained_server_stays_drained_over_reload_and_restart_until_it_is_given_back() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("w1", 11), ("w2", 12)])?;
        let d1 = lan.host("d1")?;
        let _web1 = WebServer::start(lab, lan.host("w1")?)?;
        let _web2 = WebServer::start(lab, lan.host("w2")?)?;
        let config = global("lab") + &http_service("10.77.0.50", &["10.77.0.11", "10.77.0.12"]);
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        let servers = || -> Option<[(Value, Value, Value); 2]> {
            let status = director.status().ok()?;
            let server = |index: usize| {
                let server = &status["services"][0]["servers"][index];
                (server["up"].clone(), server["weight"].clone(), server["drained"].clone())
            };
            Some([server(0), server(1)])
        };
        let state =
            |weight: u32, drained: bool| (Value::from(true), Value::from(weight), Value::from(drained));
        wait_until("both servers are up", SOON, || servers() == Some([state(1, false), state(1, false)]))?;
        let said = director.ctl(&["drain", "10.77.0.12:80"])?;
        require(said.trim() == "drained: [10.77.0.12]:tcp:80 of [10.77.0.50]:tcp:80", || said.clone())?;
        let drained = Some([state(1, false), state(0, true)]);
        require(servers() == drained, || format!("{:?}", servers()))?;
        director.ctl(&["reload"])?;
        wait_until("it is drained after a reload", SOON, || servers() == drained)?;
        director.ctl(&["restart", "checkd"])?;
        wait_until("it is drained after a restart", SOON, || servers() == drained)?;
        director.ctl(&["undrain", "10.77.0.12"])?;
        require(servers() == Some([state(1, false), state(1, false)]), || format!("{:?}", servers()))?;
        require(director.ctl(&["drain", "10.77.0.99"]).is_err(), || {
            "an unknown server was drained".to_owned()
        })
    })
}

/// In a network namespace whose settings are those of a fresh machine, then as they should be.
#[test]
fn check_host_finds_what_is_wrong_here_and_nothing_once_it_is_right() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let doing = |cause: std::io::Error| Failure::instrument("check-host", cause);
        std::fs::create_dir_all("/run/lab").map_err(doing)?;
        let nat = "virtual_server 10.77.0.50 80 {\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n    \
                   real_server 10.77.0.20 80 {\n        TCP_CHECK {\n        }\n    }\n}\n";
        let config = "global_defs {\n    router_id lab\n}\n".to_owned()
            + &VrrpInstance::new(3, "0.2", 200, front4(50)).text()
            + nat;
        std::fs::write("/run/lab/host.conf", config).map_err(doing)?;
        let ctl = install_ours()?.join("keepalivectl");
        let ctl = ctl.to_string_lossy();
        let check = |settings: &[(&str, &str)]| -> Result<(String, String), Failure> {
            for (name, value) in settings {
                d1.run("/usr/sbin/sysctl", &["-qw", &format!("{name}={value}")])?;
            }
            let script = format!("{ctl} check-host --json /run/lab/host.conf; echo status $?");
            let text = d1.run("/bin/sh", &["-c", &script])?;
            let (json, status) = text.rsplit_once("status ").unwrap_or((&text, ""));
            Ok((json.to_owned(), status.trim().to_owned()))
        };
        let names = |json: &str| -> Vec<(String, bool)> {
            let list: Vec<serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
            let of = |finding: &serde_json::Value| {
                (finding["setting"].as_str().unwrap_or_default().to_owned(), finding["needed"] == true)
            };
            // Whether this kernel has the balancer is not this test's business.
            list.iter()
                .map(of)
                .filter(|(name, _)| !name.starts_with("module") && !name.contains(".vs."))
                .collect()
        };
        let wrong = [
            ("net.ipv4.ip_forward", "0"),
            ("net.ipv4.ip_nonlocal_bind", "0"),
            ("net.ipv4.conf.eth0.rp_filter", "1"),
        ];
        let (json, status) = check(&wrong)?;
        let found = names(&json);
        for (name, needed) in [
            ("net.ipv4.ip_forward", true),
            ("net.ipv4.ip_nonlocal_bind", false),
            ("net.ipv4.conf.eth0.rp_filter", false),
        ] {
            require(found.contains(&(name.to_owned(), needed)), || format!("{name} is missing in {json}"))?;
        }
        require(status == "1", || format!("exit status {status}"))?;
        let right = [
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv4.ip_nonlocal_bind", "1"),
            ("net.ipv4.conf.eth0.rp_filter", "2"),
        ];
        let (json, _) = check(&right)?;
        require(names(&json).iter().all(|(_, needed)| !needed), || json.clone())?;
        require(!names(&json).iter().any(|(name, _)| wrong.iter().any(|(known, _)| known == name)), || {
            json.clone()
        })
    });
}
