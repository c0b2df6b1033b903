//! What an operator does by hand with keepalivectl.

use std::time::Duration;

use serde_json::Value;
use tests::lab::config_text::{VrrpInstance, global, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::subject::install_ours;
use tests::lab::web::WebServer;
use tests::lab::{Director, Lan, Subject, sandboxed, wait_until};

const SOON: Duration = Duration::from_secs(10);

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
