//! Files that are left for others to read: state and JSON as keepalived writes them, and copies of configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, sandboxed, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// Everything that a state file tells of an instance, without a service.
const RICH: &str = "global_defs {
    router_id lab
    script_user root
    enable_script_security
}
vrrp_script chk {
    script \"/usr/bin/true x\"
    interval 1
    weight 4
}
track_file number {
    file /run/lab/number
    weight 2
    init_file 0
}
vrrp_instance A {
    state MASTER
    interface eth0
    virtual_router_id 3
    priority 150
    authentication {
        auth_type PASS
        auth_pass secretxx
    }
    track_interface {
        lo weight 5
    }
    track_script {
        chk
    }
    track_file {
        number
    }
    virtual_ipaddress {
        10.77.0.50/24
        10.77.0.51/32 dev eth0 label eth0:x
    }
    virtual_ipaddress_excluded {
        10.77.0.52
    }
    virtual_routes {
        198.51.100.0/24 via 10.77.0.100 dev eth0 metric 5
    }
    notify \"/usr/bin/true n\"
    notify_master \"/usr/bin/true m\"
    notify_backup \"/usr/bin/true b\"
    notify_fault \"/usr/bin/true f\"
    notify_stop \"/usr/bin/true s\"
    garp_master_delay 2
}
vrrp_instance B {
    interface eth0
    virtual_router_id 4
    priority 90
    version 3
    advert_int 0.5
    unicast_src_ip 10.77.0.1
    unicast_peer {
        10.77.0.2
    }
    nopreempt
    virtual_ipaddress {
        10.77.0.53
    }
}
";

/// State and JSON of a subject that holds every address, as it writes them among the temporary files.
fn dumped(lab: &Lab, d1: &Host, subject: Subject) -> Result<(String, Value), Failure> {
    let files = ["/tmp/keepalived.data", "/tmp/keepalived.json"];
    let clear = || files.iter().for_each(|path| drop(fs::remove_file(path)));
    clear();
    let options: &[&str] = if subject == Subject::C { &["-P"] } else { &["-P", "--compat-dumps"] };
    let director = Director::start(lab, d1, subject, RICH, options)?;
    let held = [50, 51, 52, 53].map(front4);
    wait_until("every address is held", SOON, || held.iter().all(|address| d1.has(*address)))
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    if subject == Subject::Ours {
        // vrrpd tells its counters once a second.
        wait_until("both instances have told their counters", SOON, || {
            director.status().is_ok_and(|status| {
                (0..2).all(|index| status["instances"][index]["became_master"].as_u64() == Some(1))
            })
        })?;
    }
    for number in ["-10", "-36"] {
        d1.run("/bin/kill", &[number, &director.pid().to_string()])?;
    }
    let read = || files.map(|path| fs::read_to_string(path).unwrap_or_default());
    wait_until("both files are whole", SOON, || {
        let [data, json] = read();
        data.contains("VRRP Instance = B") && serde_json::from_str::<Value>(&json).is_ok()
    })?;
    let [data, json] = read();
    director.stop()?;
    clear();
    Ok((data, serde_json::from_str(&json).map_err(|cause| Failure::instrument("json", cause))?))
}

/// Words for the type of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn fields(value: &Value) -> BTreeMap<&str, &Value> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

/// Lines, without those that hold moments, counters of descriptors and passwords, and without what docs/differences.md
/// speaks of.
fn lines(data: &str) -> BTreeSet<String> {
    const OWN: [&str; 21] = [
        "Last transition",
        "Read timeout",
        "Number of interface and track script faults",
        "Number of track scripts",
        "fd_in",
        "Password",
        "Send advert after receive higher",
        "Result",
        "Insecure",
        "Status = GOOD",
        "State = idle",
        "Timeout = 0",
        "VRRP instances :",
        "SNMP",
        "DBus",
        "libnftnl",
        "nftables",
        "Default interface",
        "Default script",
        "Gratuitous ARP for each secondary VMAC = 0s",
        "lvs_netlink_monitor",
    ];
    let part = data.split("------< Interfaces").next().unwrap_or_default();
    let (before, after) = part.split_once("------< VRRP Sockpool").unwrap_or((part, ""));
    let after = after.find("------< ").and_then(|at| after.get(at..)).unwrap_or_default();
    let all = before.lines().chain(after.lines()).map(str::trim);
    all.filter(|line| !OWN.iter().any(|own| line.starts_with(own))).map(str::to_owned).collect()
}

#[test]
fn state_and_json_say_what_keepalived_says_of_the_same_instances() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let (their_data, theirs) = dumped(lab, d1, Subject::C)?;
        let (our_data, ours) = dumped(lab, d1, Subject::Ours)?;
        for (index, part) in [(0, "data"), (0, "stats"), (1, "data"), (1, "stats")] {
            let (theirs, ours) = (fields(&theirs[index][part]), fields(&ours[index][part]));
            let types = |all: &BTreeMap<&str, &Value>| -> BTreeMap<String, &'static str> {
                all.iter().map(|(name, value)| ((*name).to_owned(), kind(value))).collect()
            };
            require(types(&theirs) == types(&ours), || format!("{part} {index}: {theirs:?}\n{ours:?}"))?;
            let differing: Vec<&str> = theirs
                .iter()
                .filter(|(name, value)| ours.get(*name) != Some(value))
                .map(|(name, _)| *name)
                .collect();
            // What time brings, and what docs/differences.md says.
            let known = ["advert_sent", "auth_data", "higher_prio_send_advert", "last_transition"];
            require(differing.iter().all(|name| known.contains(name)), || {
                format!("{differing:?} of {part} {index}:\n{theirs:?}\n{ours:?}")
            })?;
        }
        let (theirs, ours) = (lines(&their_data), lines(&our_data));
        let missing: Vec<_> = theirs.difference(&ours).collect();
        require(missing.is_empty(), || format!("missing {missing:#?} in\n{our_data}"))
    });
}

#[test]
fn a_backup_names_its_master_and_a_fault_its_kind() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let script = "vrrp_script bad {\n    script \"/usr/bin/false\" root\n    interval 1\n}\n";
        let instance = |name: &str, vrid: u8, lines: &str| {
            format!(
                "vrrp_instance {name} {{\n    interface eth0\n    virtual_router_id {vrid}\n    priority 100\n    \
                 version 3\n    advert_int 0.4\n    virtual_ipaddress {{\n        10.77.0.{vrid}\n    }}\n{lines}}}\n"
            )
        };
        let mine = global("lab")
            + script
            + &instance("A", 50, "")
            + &instance("B", 51, "track_script {\n bad\n}\n")
            + &instance("C", 52, "").replace("eth0", "absent0").replace("10.77", "10.78");
        let theirs = global("lab") + &instance("A", 50, "").replace("100", "200");
        let _peer = Director::start(lab, d2, Subject::Ours, &theirs, &[])?;
        wait_until("d2 holds the address", SOON, || d2.has(front4(50)))?;
        let director = Director::start(lab, d1, Subject::Ours, &mine, &[])?;
        // A signal before the program has begun would end it.
        director.wait_daemon("vrrpd")?;
        let path = "/run/lab/d1.run/keepalived.data";
        let is_told = || {
            drop(fs::remove_file(path));
            d1.run("/bin/kill", &["-10", &director.pid().to_string()]).ok()?;
            wait_until("the file is there", SOON, || Path::new(path).exists()).ok()?;
            let data = fs::read_to_string(path).ok()?;
            let told = data.contains("Master router = 10.77.0.2") && data.contains("tracker faults = 1");
            told.then_some(data)
        };
        let mut data = None;
        // vrrpd tells what it sees once a second.
        wait_until("everything is told", SOON, || {
            data = is_told();
            data.is_some()
        })?;
        let data = data.unwrap_or_default();
        for part in [
            "   State = BACKUP\n   Master router = 10.77.0.2\n   Master priority = 200\n   \
             Master advert interval = 400 milli-sec\n",
            "   Number of tracker faults = 0\n   Flags of interface faults - (none)\n",
            "   Number of tracker faults = 1\n   Flags of interface faults:\n     unspecified\n",
            "   Flags of interface faults:\n     i/f down\n     no source IP address\n",
            "   Last advert sent = 0.000000\n",
            "   Using src_ip = 10.77.0.1\n",
            "   Using src_ip = (none)\n",
            "   Wantstate = FAULT\n",
        ] {
            require(data.contains(part), || format!("{part} isn't in\n{data}"))?;
        }
        Ok(())
    });
}

#[test]
fn copies_of_configurations_are_kept_and_json_of_version_2_counts_processes() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let doing = |cause: std::io::Error| Failure::instrument("files of this test", cause);
        fs::create_dir_all("/run/lab").map_err(doing)?;
        let instance = VrrpInstance::new(3, "0.2", 200, front4(50)).with("track_process {\n    shells\n}");
        fs::write("/run/lab/part.conf", instance.text() + "# the end\n").map_err(doing)?;
        let config = "global_defs {\n    router_id lab # a name\n    config_save_dir /run/lab/copies\n    \
                      tmp_config_directory /run/lab\n    json_version 2\n}\n\
                      vrrp_track_process shells {\n    process keepalived\n    quorum 1\n    quorum_max 9\n    \
                      weight 7\n    fork_delay 0.5\n}\ninclude /run/lab/part.conf\n";
        let director = Director::start(lab, d1, Subject::Ours, config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
        let copy = |number: u32| format!("/run/lab/copies/keepalived.conf.{}.{number}", director.pid());
        let ends = |number, text: &str| {
            fs::read_to_string(copy(number)).is_ok_and(|copy| copy.contains(text) && copy.ends_with("}\n"))
        };
        wait_until("the first copy is whole", SOON, || ends(0, "10.77.0.50"))?;
        let text = fs::read_to_string(copy(0)).map_err(doing)?;
        require(text.contains("\nrouter_id lab\n") && text.contains("\n# /run/lab/part.conf\n"), || {
            text.clone()
        })?;
        require(!text.contains("the end"), || text.clone())?;
        for (path, mode) in [("/run/lab/copies", 0o700), (copy(0).as_str(), 0o600)] {
            let found = fs::metadata(path).map_err(doing)?.permissions().mode() & 0o777;
            require(found == mode, || format!("{path} has mode {found:o}"))?;
        }
        d1.run("/bin/kill", &["-36", &director.pid().to_string()])?;
        let json = director.run_dir().join("keepalived.json");
        wait_until("the file is there", SOON, || json.exists())?;
        let json: Value = serde_json::from_str(&fs::read_to_string(json).map_err(doing)?)
            .map_err(|cause| Failure::instrument("json", cause))?;
        require(json["vrrp"][0]["data"]["track_process"][0] == "keepalived", || json.to_string())?;
        let process = &json["track_process"][0];
        require(
            process["process"] == "keepalived"
                && process["param_match"] == "none"
                && process["min_processes"] == 1
                && process["max_processes"] == 9
                && process["weight"] == 7
                && process["fork_delay"] == 0.5
                && process["terminate_delay"] == 0,
            || json.to_string(),
        )?;
        let next = instance.text().replace("10.77.0.50", "10.77.0.51");
        fs::write("/run/lab/part.conf", next).map_err(doing)?;
        director.signal(Signal::SIGHUP);
        wait_until("the second copy is whole", SOON, || ends(1, "10.77.0.51"))?;
        // A refused configuration leaves none.
        fs::write("/run/lab/part.conf", "nonsense\n").map_err(doing)?;
        director.signal(Signal::SIGHUP);
        wait_until("it is refused", SOON, || director.logged("Reload refused") == 1)?;
        require(!Path::new(&copy(2)).exists(), || "a refused one was kept".to_owned())
    });
}

/// What only a start can change is told at the reload that changes it; the wait for children follows it.
#[test]
fn a_reload_tells_which_of_its_changes_wait_for_a_start() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = "child_wait_time 60\n".to_owned()
            + &global("lab")
            + &VrrpInstance::new(3, "0.2", 200, front4(50)).text();
        let mut director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let old = director.wait_daemon("vrrpd")?;
        let changed = "use_pid_dir\nglobal_defs {\n    control_group 5\n    status_group 6\n    \
                       daemon_uid_range 61000 61009\n    seccomp_unknown exit\n    process_name other\n    \
                       vrrp_process_name elector\n}\n"
            .to_owned()
            + &config.replace("child_wait_time 60", "child_wait_time 1");
        director.write_config(d1, &changed)?;
        director.signal(Signal::SIGHUP);
        for keyword in ["use_pid_dir", "control_group", "status_group", "daemon_uid_range"] {
            let line = format!("{keyword} can't change by a reload: it waits for the next start");
            wait_until(&line, SOON, || director.logged(&line) == 1)?;
        }
        // A name and a stricter filter come with a new process, which nobody notices.
        let elector = director.wait_daemon("elector")?;
        require(elector != old && d1.has(front4(50)), || director.log())?;
        let name = fs::read_to_string(format!("/proc/{}/comm", director.pid())).unwrap_or_default();
        require(name == "other\n", || name.clone())?;
        // A daemon that does not end is waited for as long as the new file says.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(elector), Signal::SIGSTOP)
            .map_err(|cause| Failure::instrument("stopping vrrpd", cause))?;
        director.signal(Signal::SIGTERM);
        director.wait_end(2 * SOON).map(|_| ())
    });
}
