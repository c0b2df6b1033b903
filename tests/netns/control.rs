//! The control sockets, asked by a Varlink client that is none of ours; and what keepalivectl explains and orders.

use std::time::Duration;

use serde_json::{Value, json};
use tests::lab::config_text::{VrrpInstance, global, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::web::WebServer;
use tests::lab::{
    Director, Failure, Host, Lab, Lan, Subject, clock, on_a_steady_machine, sandboxed, wait_until,
};

const SOON: Duration = Duration::from_secs(20);
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/varlink.py");

/// Runs the client on a host: by the last name of the socket, as root or as a user of one group.
fn varlink(
    host: &Host,
    group: Option<&str>,
    socket: &str,
    arguments: &[&str],
) -> Result<Vec<Value>, Failure> {
    let path = format!("/run/lab/{}.run/{socket}", host.name());
    // Read by root: a build tree may be closed to others.
    let program = std::fs::read_to_string(SCRIPT).map_err(|cause| Failure::instrument(SCRIPT, cause))?;
    let mut words: Vec<String> = Vec::new();
    if let Some(group) = group {
        words.extend(["--reuid=54001".to_owned(), format!("--regid={group}"), "--clear-groups".to_owned()]);
    }
    words.extend(["--", "/usr/bin/python3", "-c"].map(str::to_owned));
    words.extend([program, path]);
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let text = host.run("/usr/bin/setpriv", &words)?;
    let answer = |line: &str| serde_json::from_str(line).map_err(|cause| Failure::instrument(line, cause));
    text.lines().map(answer).collect()
}

fn call(
    host: &Host,
    group: Option<&str>,
    socket: &str,
    method: &str,
    about: &Value,
) -> Result<Value, Failure> {
    let answers = varlink(host, group, socket, &["call", method, &about.to_string()])?;
    answers.into_iter().next().ok_or_else(|| Failure::new(format!("{method}: no answer")))
}

const OURS: &str = "org.keepalived.Control";

#[test]
fn who_may_only_look_asks_the_other_socket_with_a_client_of_its_own() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = "global_defs {\n    router_id lab\n    status_group 54002\n}\n".to_owned()
            + &VrrpInstance::new(3, "0.2", 150, front4(50)).text();
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let reader = Some("54002");
        let ask = |method: &str, about: Value| call(d1, reader, "status.sock", method, &about);

        let info = ask("org.varlink.service.GetInfo", json!({}))?;
        require(info["parameters"]["interfaces"][1] == OURS, || info.to_string())?;
        let about = ask("org.varlink.service.GetInterfaceDescription", json!({ "interface": OURS }))?;
        let text = about["parameters"]["description"].as_str().unwrap_or_default().to_owned();
        require(text.contains("interface org.keepalived.Control\n"), || text.clone())?;
        director.transitions_in("Master")?;
        let status = ask("org.keepalived.Control.GetStatus", json!({}))?;
        require(status["parameters"]["instances"][0]["state"] == "Master", || status.to_string())?;
        let why = ask("org.keepalived.Control.Explain", json!({ "name": "VI_1" }))?;
        require(why["parameters"]["instances"][0]["election"]["effective"] == 150, || why.to_string())?;

        for (method, about) in [
            ("Stop", json!({})),
            ("Reload", json!({})),
            ("Restart", json!({ "daemon": "vrrpd" })),
            ("Drain", json!({ "server": "192.0.2.1", "drained": true })),
            ("Failover", json!({ "instance": "VI_1", "seconds": 5 })),
        ] {
            let refused = ask(&format!("{OURS}.{method}"), about)?;
            let expected = "org.varlink.service.PermissionDenied";
            require(refused["error"] == expected, || format!("{method}: {refused}"))?;
        }
        let unknown = ask("org.keepalived.Control.Format", json!({}))?;
        require(
            unknown["error"] == "org.varlink.service.MethodNotFound"
                && unknown["parameters"] == json!({ "method": "org.keepalived.Control.Format" }),
            || unknown.to_string(),
        )?;
        let nobody = ask("org.example.Ping", json!({}))?;
        require(
            nobody["error"] == "org.varlink.service.InterfaceNotFound"
                && nobody["parameters"] == json!({ "interface": "org.example" }),
            || nobody.to_string(),
        )?;
        let nameless = ask("org.keepalived.Control.Explain", json!({}))?;
        require(
            nameless["error"] == "org.varlink.service.InvalidParameter"
                && nameless["parameters"] == json!({ "parameter": "name" }),
            || nameless.to_string(),
        )?;
        let once = ask("org.keepalived.Control.Watch", json!({}))?;
        require(once["error"] == "org.varlink.service.ExpectedMore", || once.to_string())?;
        for (group, socket) in [("54002", "control.sock"), ("54003", "status.sock")] {
            let refused = varlink(d1, Some(group), socket, &["call", "org.varlink.service.GetInfo"]);
            require(refused.is_err(), || format!("group {group} was answered by {socket}"))?;
        }
        // Orders of root, over the socket for orders.
        let drained = json!({ "server": "192.0.2.1", "drained": true });
        let refused = call(d1, None, "control.sock", "org.keepalived.Control.Drain", &drained)?;
        require(refused["error"] == "org.keepalived.Control.NotDrained", || refused.to_string())?;
        let reloaded = call(d1, None, "control.sock", "org.keepalived.Control.Reload", &json!({}))?;
        require(reloaded["parameters"]["generation"] == 2, || reloaded.to_string())?;
        // What happened is told in order, from the first event on, to whoever follows.
        let events = varlink(
            d1,
            reader,
            "status.sock",
            &["more", "org.keepalived.Control.Watch", "1", "{\"after\":0}"],
        )?;
        let first = &events[0];
        require(first["continues"] == true && first["parameters"]["lost"] == 0, || first.to_string())?;
        let told = first["parameters"]["events"].as_array().cloned().unwrap_or_default();
        let master = told.iter().find(|event| event["what"] == "MASTER").cloned().unwrap_or_default();
        require(master["reason"] == "no other router was heard", || first.to_string())?;
        require(told.iter().any(|event| event["what"] == "reloaded"), || first.to_string())?;
        require(
            director.ctl(&["events", "--last", "1"])?.contains("keepalived reloaded: generation 2"),
            || director.ctl(&["events"]).unwrap_or_default(),
        )
    })
}

#[test]
fn hostile_clients_cost_a_connection_each_and_nothing_else() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = global("lab") + &VrrpInstance::new(3, "0.2", 150, front4(50)).text();
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let deep = "5b".repeat(4000) + "00";
        for bytes in ["00", "00000000", "ff00", "7b00", "5b5d00", &deep, &"41".repeat(9000)] {
            for socket in ["control.sock", "status.sock"] {
                varlink(d1, None, socket, &["raw", bytes])?;
            }
        }
        // Thirty-two are served, the others turned away, and room comes back.
        let path = "/run/lab/d1.run/status.sock";
        let crowd: Vec<_> =
            (0..64).filter_map(|_| std::os::unix::net::UnixStream::connect(path).ok()).collect();
        wait_until("some are turned away", SOON, || {
            director.status().is_ok_and(|status| status["parent"]["refused_requests"].as_u64() > Some(30))
        })?;
        drop(crowd);
        wait_until("there is room again", SOON, || {
            call(d1, None, "status.sock", "org.varlink.service.GetInfo", &json!({})).is_ok()
        })?;
        // A flood is answered at its pace, and the other socket is not held up by it.
        let asked = clock::now();
        let flood = varlink(d1, None, "status.sock", &["burst", "org.varlink.service.GetInfo", "1000"])?;
        let admitted = flood[0]["answered"].as_u64().unwrap_or(1000);
        let earned = asked.elapsed().as_millis() / 5;
        require(u128::from(admitted) <= 201 + earned, || format!("{}, {earned} were earned", flood[0]))?;
        call(d1, None, "control.sock", "org.varlink.service.GetInfo", &json!({}))?;
        let transitions = director.transitions_in("Master")?;
        require(transitions == 2, || format!("{transitions} transitions"))
    })
}

#[test]
fn a_hundred_requests_a_second_move_no_address() {
    sandboxed(60, |lab| on_a_steady_machine(Duration::from_millis(100), || a_hundred_requests(lab)));
}

fn a_hundred_requests(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let config = |priority| VrrpInstance::new(3, "0.1", priority, front4(50)).text();
    let first = Director::start(lab, d1, Subject::Ours, &(global("d1") + &config(150)), &[])?;
    let second = Director::start(lab, d2, Subject::Ours, &(global("d2") + &config(100)), &[])?;
    wait_until("d1 holds the address", SOON, || d1.has(front4(50)) && !d2.has(front4(50)))?;
    let transitions =
        || Ok::<_, Failure>((first.transitions_in("Master")?, second.transitions_in("Backup")?));
    let before = transitions()?;
    let answers =
        varlink(d1, None, "status.sock", &["hammer", "org.keepalived.Control.GetStatus", "100", "3"])?;
    require(answers[0]["answered"] == 300, || answers[0].to_string())?;
    let after = transitions()?;
    require(before == after && d1.has(front4(50)), || format!("{before:?} became {after:?}"))
}

#[test]
fn a_failover_by_hand_is_shown_lasts_over_a_restart_and_ends() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let config = |priority| VrrpInstance::new(3, "0.2", priority, front4(50)).text();
        let first = Director::start(lab, d1, Subject::Ours, &(global("d1") + &config(150)), &[])?;
        let second = Director::start(lab, d2, Subject::Ours, &(global("d2") + &config(100)), &[])?;
        let at = |here: &Host, there: &Host| here.has(front4(50)) && !there.has(front4(50));
        wait_until("d1 alone holds the address", SOON, || at(d1, d2))?;
        require(second.ctl(&["failover", "VI_1"]).is_err(), || "a Backup gave way".to_owned())?;
        require(first.ctl(&["failover", "VI_2"]).is_err(), || "a stranger gave way".to_owned())?;

        let said = first.ctl(&["failover", "VI_1", "--for", "600"])?;
        require(said.trim() == "VI_1 gives way for 600 s", || said.clone())?;
        wait_until("d2 alone holds the address", SOON, || at(d2, d1))?;
        let why = second.ctl(&["why", "VI_1"])?;
        require(why.contains("is MASTER since") && why.contains(" resigned\n"), || why.clone())?;
        let why = first.ctl(&["why", "VI_1"])?;
        require(why.contains("failover by order") && why.contains("priority 1 = 150 configured"), || {
            why.clone()
        })?;
        let text = first.ctl(&["status"])?;
        require(text.contains("gives way by order for another"), || text.clone())?;
        let old = first.wait_daemon("vrrpd")?;
        first.ctl(&["restart", "vrrpd"])?;
        first.wait_successor("vrrpd", old)?;
        first.ctl(&["reload"])?;
        let status = first.status()?;
        let instance = &status["instances"][0];
        require(instance["failover_s"].as_u64() > Some(500) && at(d2, d1), || instance.to_string())?;
        wait_until("its priority is still the least", SOON, || {
            first.status().is_ok_and(|status| status["instances"][0]["priority"] == 1)
        })?;
        first.ctl(&["failover", "VI_1", "--undo"])?;
        wait_until("d1 preempts again", SOON, || at(d1, d2))?;
        require(first.ctl(&["failover", "VI_1", "--undo"]).is_err(), || "it was undone twice".to_owned())?;

        let let_go = || first.logged("Entering BACKUP STATE");
        let taken = || first.logged("Entering MASTER STATE");
        let before = (let_go(), taken());
        first.ctl(&["failover", "VI_1", "--for", "2"])?;
        wait_until("it moves", SOON, || let_go() > before.0)?;
        wait_until("and returns by itself", SOON, || taken() > before.1 && at(d1, d2))?;
        // Nobody else is there: the address comes back although it gives way.
        second.stop()?;
        let before = let_go();
        first.ctl(&["failover", "VI_1", "--for", "600"])?;
        wait_until("it is let go", SOON, || let_go() > before)?;
        wait_until("it serves on", SOON, || d1.has(front4(50))).map(|_| ())
    })
}

#[test]
fn why_shows_the_sum_of_a_priority_and_what_a_check_found() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("w1", 11)])?;
        let d1 = lan.host("d1")?;
        let _web = WebServer::start(lab, lan.host("w1")?)?;
        let scripts = "vrrp_script chk_bad {\n    script \"/bin/false\"\n    interval 1\n    weight -30\n    user root\n}\n";
        let instance =
            VrrpInstance::new(3, "0.2", 150, front4(50)).with("track_script {\n        chk_bad\n    }");
        let config = global("lab")
            + scripts
            + &instance.text()
            + &http_service("10.77.0.50", &["10.77.0.11", "10.77.0.12"]);
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("the script counts", SOON, || {
            director
                .ctl(&["why", "VI_1"])
                .is_ok_and(|why| why.contains("priority 120 = 150 configured -30 script chk_bad"))
        })?;
        wait_until("the absent server is down and says why", SOON, || {
            director.ctl(&["why", "10.77.0.12"]).is_ok_and(|why| {
                why.contains("is DOWN: not in the table")
                    && why.contains("HTTP_GET 10.77.0.12:80 / is DOWN, failed")
            })
        })?;
        let why = director.ctl(&["why", "10.77.0.11:80", "--json"])?;
        let why: Value =
            serde_json::from_str(&why).map_err(|cause| Failure::instrument("why --json", cause))?;
        let check = &why["servers"][0]["checks"][0];
        require(check["up"] == true && check["last"]["passed"] == true, || why.to_string())?;
        let why = director.ctl(&["why", "[10.77.0.50]:tcp:80"])?;
        require(why.contains("is UP: 1 of 2 servers up, weight 1"), || why.clone())?;
        require(director.ctl(&["why", "nobody"]).is_err(), || "nobody was explained".to_owned())?;
        let stats = director.ctl(&["stats"])?;
        require(stats.contains("VRRP Instance: VI_1\n  Advertisements:\n    Received: 0\n"), || stats.clone())
    })
}
