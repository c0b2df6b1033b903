//! Process keywords, signals and files, seen from outside: what /proc says of the real processes, and what they leave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::lab::config_text::{VrrpInstance, global, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::subject::install_ours;
use tests::lab::{Director, Failure, Lan, Subject, clock, pause, process, sandboxed, wait_for, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn instance() -> String {
    VrrpInstance::new(2, "1", 255, front4(50)).text().replace("state BACKUP", "state MASTER")
}

fn globals(lines: &str) -> String {
    format!("global_defs {{\n    router_id lab\n{lines}\n}}\n")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A signal by number: those of real time have no names.
fn send(lan: &Lan, pid: i32, number: i32) -> Result<(), Failure> {
    lan.host("d1")?.run("/bin/kill", &[&format!("-{number}"), &pid.to_string()]).map(|_| ())
}

/// Field of `/proc/PID/stat`, counted as in proc(5).
fn stat_field(pid: i32, field: usize) -> Option<i64> {
    let stat = read(&format!("/proc/{pid}/stat"));
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(field - 3)?.parse().ok()
}

#[test]
fn names_scheduling_memory_and_pid_files_are_those_of_the_configuration() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = "instance blue\n".to_owned()
            + &globals(
                "process_names\nprocess_name director\nvrrp_rt_priority 20\nvrrp_rlimit_rttime 500000\n\
                 vrrp_cpu_affinity 0\nvrrp_no_swap\nchecker_priority 5\nchecker_no_swap\numask 0027",
            )
            + &instance()
            + &http_service("10.77.0.50", &["10.77.0.1"]);
        let director = Director::start(lab, d1, Subject::Ours, &config, &["--log-file=/run/lab/blue.log"])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let vrrpd = director.wait_daemon("keepalived_vrrp")?;
        let checkd = director.wait_daemon("keepalived_lvs")?;
        director.wait_daemon("keepalived_ipvs")?;
        let parent = director.pid();
        wait_until("every daemon has begun", SOON, || director.logged("Startup complete") > 0)?;
        require(read(&format!("/proc/{parent}/comm")) == "director\n", || "the parent's name".to_owned())?;
        // SCHED_RR is 2; fields 41, 40 and 19 are policy, real-time priority and nice value.
        let scheduling = (stat_field(vrrpd, 41), stat_field(vrrpd, 40));
        require(scheduling == (Some(2), Some(20)), || format!("vrrpd is scheduled {scheduling:?}"))?;
        require(stat_field(checkd, 19) == Some(5), || format!("nice {:?}", stat_field(checkd, 19)))?;
        require(stat_field(checkd, 41) == Some(0), || "checkd isn't scheduled as usual".to_owned())?;
        let field = |pid, name| process::status_field(pid, name).unwrap_or_default();
        require(field(vrrpd, "Cpus_allowed_list") == "0", || field(vrrpd, "Cpus_allowed_list"))?;
        let told = director.logged("runs without [LockedMemory]") == 2;
        for pid in [vrrpd, checkd] {
            // Without CAP_SYS_RESOURCE the limit of locked memory can't be lifted, which is told.
            let locked = field(pid, "VmLck") != "0 kB";
            require(locked != told, || format!("{pid}: locked {locked}, told {told}"))?;
            require(
                field(pid, "CapEff") == if pid == vrrpd { "0000000000003000" } else { "0000000000000000" },
                || format!("{pid} holds {}", field(pid, "CapEff")),
            )?;
        }
        let limits = read(&format!("/proc/{vrrpd}/limits"));
        let limit = limits.lines().find(|line| line.starts_with("Max realtime timeout")).unwrap_or_default();
        require(limit.contains(" 500000 ") && limit.contains(" 1500000 "), || limit.to_owned())?;
        require(field(parent, "Umask") == "0027", || field(parent, "Umask"))?;
        for (file, pid) in [("keepalived", parent), ("vrrp", vrrpd), ("checkers", checkd)] {
            let path = format!("/run/lab/d1.run/{file}_blue.pid");
            require(read(&path) == format!("{pid}\n"), || format!("{path}: {}", read(&path)))?;
        }
        wait_until("the log file names who speaks", SOON, || {
            let log = read("/run/lab/blue.log");
            log.contains("Keepalived_vrrp_blue: ") && log.contains("Keepalived_blue: ")
        })?;
        director.stop()?;
        let left = fs::read_dir("/run/lab/d1.run").into_iter().flatten().filter_map(Result::ok);
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        require(!left.iter().any(|name| name.to_string_lossy().ends_with(".pid")), || format!("{left:?}"))
    })
}

/// SCHED_RR is 2; fields 41 and 40 are policy and real-time priority.
fn is_urgent(pid: i32, priority: i64) -> bool {
    (stat_field(pid, 41), stat_field(pid, 40)) == (Some(2), Some(priority))
}

#[test]
fn late_daemons_become_urgent_up_to_the_highest_allowed_priority() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config =
            globals("max_auto_priority 3\nmin_auto_priority_delay 300000\nchecker_rlimit_rttime 300000")
                + &instance()
                + &http_service("10.77.0.50", &["10.77.0.1"]);
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let (vrrpd, checkd) = (director.wait_daemon("vrrpd")?, director.wait_daemon("checkd")?);
        // It has begun to check, and its timers are due meanwhile.
        wait_until("every daemon has begun", SOON, || director.logged("Startup complete") > 0)?;
        send(&lan, checkd, 19)?;
        pause(Duration::from_millis(3_000));
        send(&lan, checkd, 18)?;
        wait_until("checkd has become urgent", SOON, || stat_field(checkd, 41) == Some(2))?;
        wait_until("that is told", SOON, || director.logged("Set realtime priority 1") > 0)?;
        let limits = read(&format!("/proc/{checkd}/limits"));
        require(limits.contains(" 300000 "), || limits)?;
        // Every timer is late by a microsecond.
        let other = config.replace("delay 300000", "delay 1").replace("10.77.0.50", "10.77.0.51");
        director.write_config(d1, &other)?;
        director.ctl(&["reload"])?;
        let vrrpd = director.wait_successor("vrrpd", vrrpd)?;
        wait_until("vrrpd is as urgent as it may be", SOON, || is_urgent(vrrpd, 3))?;
        wait_until("each step is told", SOON, || director.logged("A thread timer expired ") >= 3)?;
        pause(Duration::from_secs(2));
        require(is_urgent(vrrpd, 3), || format!("{:?}", stat_field(vrrpd, 40)))?;
        require(director.logged("Set realtime priority 4") == 0, || director.log())?;
        require(director.logged("should result in better keepalived performance") == 0, || director.log())
    });
}

#[test]
fn start_and_shutdown_scripts_run_before_the_first_and_after_the_last_daemon() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = globals(
            "startup_script \"/bin/sh -c 'sleep 0.4; ip address > /run/lab/before'\" root\n\
             startup_script_timeout 5\n\
             shutdown_script \"/bin/sh -c 'ip address > /run/lab/after'\" root\nshutdown_script_timeout 5",
        ) + &instance();
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        director.wait_daemon("vrrpd")?;
        wait_until("the script's end is told", SOON, || {
            director.logged("startup script script succeeded") == 1
        })?;
        let before = read("/run/lab/before");
        require(before.contains("10.77.0.1/") && !before.contains("10.77.0.50"), || before.clone())?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        director.stop()?;
        let after = read("/run/lab/after");
        require(after.contains("10.77.0.1/") && !after.contains("10.77.0.50"), || after.clone())
    })
}

#[test]
fn a_start_script_that_hangs_delays_the_daemons_by_its_time_only() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let script = "startup_script \"/bin/sleep 60\" root\nstartup_script_timeout 1";
        let director = Director::start(lab, d1, Subject::Ours, &(globals(script) + &instance()), &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        wait_until("the script's end is told", SOON, || director.logged("startup script timed out") == 1)
            .map(drop)
    })
}

/// Fields of `keepalived.json` as keepalived writes them for an instance without routes and rules.
const JSON_FIELDS: &str = "accept adver_int auth_data auth_type base_priority dont_track_primary effective_priority \
    garp_delay garp_lower_prio_delay garp_lower_prio_rep garp_refresh garp_refresh_rep garp_rep higher_prio_send_advert \
    ifp_ifname iname last_transition lower_prio_no_advert master_adver_int master_priority nopreempt notify_deleted \
    preempt_delay promote_secondaries skip_check_adv_addr smtp_alert state strict_mode version vips vipset vmac_ifname \
    vrid wantstate";

#[test]
fn signals_write_state_statistics_and_json_and_end_nobody() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let pass = "authentication {\n auth_type PASS\n auth_pass secret1\n}";
        let text =
            VrrpInstance::new(2, "1", 255, front4(50)).with(pass).with("smtp_alert\nnotify_deleted").text();
        let mail = "notification_email {\n ops@example.com\n}\nsmtp_server 127.0.0.1\nsmtp_connect_timeout 1";
        let config = globals(mail) + &text + &http_service("10.77.0.50", &["10.77.0.1"]);
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let path = |name: &str| format!("/run/lab/d1.run/{name}");
        let sent = |text: &str| -> Option<u64> {
            text.lines().find_map(|line| line.trim().strip_prefix("Sent: "))?.parse().ok()
        };
        wait_until("five adverts are counted", SOON, || {
            director.status().is_ok_and(|status| status["instances"][0]["sent"].as_u64() > Some(4))
        })?;
        let pid = director.pid();
        // SIGUSR1, SIGRTMIN+2, then SIGRTMAX-1: the numbers that keepalived --signum prints.
        send(&lan, pid, 10)?;
        send(&lan, pid, 36)?;
        wait_until("JSON is written", SOON, || Path::new(&path("keepalived.json")).exists())?;
        let anew = clock::now();
        send(&lan, pid, 63)?;
        wait_until("the files are written", SOON, || {
            [
                "keepalived.data",
                "keepalived_parent.data",
                "keepalived_check.data",
                "keepalived.json",
                "keepalived.stats",
            ]
            .iter()
            .all(|name| Path::new(&path(name)).exists())
        })?;
        let data = read(&path("keepalived.data"));
        for line in
            [" VRRP Instance = VI_1", "   State = MASTER", "   Interface = eth0", "   Virtual Router ID = 51"]
        {
            require(data.lines().any(|found| found == line), || format!("{line} isn't in\n{data}"))?;
        }
        require(data.contains("10.77.0.50/24 dev eth0 scope global set"), || data.clone())?;
        let json = read(&path("keepalived.json"));
        require(!data.contains("secret1") && !json.contains("secret1"), || "a password".to_owned())?;
        let json: Value = serde_json::from_str(&json).map_err(|cause| Failure::instrument("json", cause))?;
        let fields: Vec<&str> =
            json[0]["data"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        require(fields == JSON_FIELDS.split_whitespace().collect::<Vec<_>>(), || format!("{fields:?}"))?;
        require(json[0]["data"]["state"] == 2 && json[0]["stats"]["become_master"] == 1, || {
            json.to_string()
        })?;
        require(json[0]["data"]["smtp_alert"] == true && json[0]["data"]["notify_deleted"] == true, || {
            json.to_string()
        })?;
        require(json[0]["data"]["last_transition"].as_f64() > Some(1e9), || json.to_string())?;
        let first = read(&path("keepalived.stats"));
        require(sent(&first) > Some(1) && first.contains("  Became master: 1\n"), || first.clone())?;
        // The counters began anew: what they count was sent since.
        fs::remove_file(path("keepalived.stats")).map_err(|cause| Failure::instrument("stats", cause))?;
        send(&lan, pid, 12)?;
        wait_until("statistics are written again", SOON, || Path::new(&path("keepalived.stats")).exists())?;
        let second = read(&path("keepalived.stats"));
        let most = anew.elapsed().as_secs() + 2;
        require(sent(&second) <= Some(most) && second.contains("  Became master: 0\n"), || second.clone())?;
        for number in [13, 24, 10, 12, 36, 63, 64] {
            send(&lan, pid, number)?;
        }
        let status = director.status()?;
        require(status["pid"] == pid, || status.to_string())
    })
}

#[test]
fn state_files_are_called_what_the_configuration_says() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let names = "state_dump_file /run/lab/named/state.txt\nstats_dump_file /run/lab/named/numbers\n\
                     json_dump_file whole.json\ndata_use_instance";
        fs::create_dir_all("/run/lab/named").map_err(|cause| Failure::instrument("directory", cause))?;
        let config = "instance blue\n".to_owned() + &globals(names) + &instance();
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        for number in [10, 12, 36] {
            send(&lan, director.pid(), number)?;
        }
        wait_until("the files are there", SOON, || {
            [
                "/run/lab/named/state.blue.txt",
                "/run/lab/named/numbers.blue",
                "/run/lab/d1.run/whole.blue.json",
            ]
            .iter()
            .all(|path| Path::new(path).exists())
        })
        .map_err(|failure| {
            let listed =
                |path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
            let found: Vec<_> = listed("/run/lab/named").chain(listed("/run/lab/d1.run")).collect();
            Failure::new(format!("{failure}; found {found:?}"))
        })
        .map(|_| ())
    })
}

/// Two scripts leave behind who ran them: one says so itself, the other leaves it to `script_user`.
#[test]
fn scripts_run_as_script_user_unless_they_name_another() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let id = d1.run("/usr/bin/id", &["-u", "frr"])?;
        let left = ["/tmp/ran-as-script-user", "/tmp/ran-as-root", "/tmp/ran-at-master"];
        left.iter().for_each(|path| drop(fs::remove_file(path)));
        let script = |name: &str, path: &str, user: &str| {
            format!("vrrp_script {name} {{\n    script \"/bin/cp /proc/self/status {path}\"\n{user}}}\n")
        };
        let tracked = VrrpInstance::new(3, "0.2", 200, front4(50)).with(&format!(
            "track_script {{\n    mine weight 1\n    roots weight 1\n}}\nnotify_master \"/bin/cp /proc/self/status {}\"",
            left[2]
        ));
        let config = globals("script_user frr\nenable_script_security")
            + &script("mine", left[0], "")
            + &script("roots", left[1], "    user root\n")
            + &tracked.text();
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        for (path, user) in [(left[0], id.trim()), (left[1], "0"), (left[2], id.trim())] {
            let ran_as = || {
                let status = read(path);
                let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
                ids.split_whitespace().next().map(str::to_owned)
            };
            wait_until(&format!("{path} is of user {user}"), SOON, || ran_as().as_deref() == Some(user))
                .map_err(|failure| Failure::new(format!("{failure}: {:?}\n{}", ran_as(), director.log())))?;
        }
        left.iter().for_each(|path| drop(fs::remove_file(path)));
        Ok(())
    })
}

/// The kernel's pattern is a file of this test, so that no other process of the machine sees it change.
#[test]
fn the_pattern_of_core_files_lasts_as_long_as_the_suite() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        fs::create_dir_all("/run/lab").map_err(|cause| Failure::instrument("/run/lab", cause))?;
        fs::write("/run/lab/pattern", "before").map_err(|cause| Failure::instrument("the pattern", cause))?;
        let kernels = "/proc/sys/kernel/core_pattern";
        nix::mount::mount(
            Some("/run/lab/pattern"),
            kernels,
            None::<&str>,
            nix::mount::MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(|cause| Failure::instrument("the pattern's place", cause))?;
        let director =
            Director::start(lab, d1, Subject::Ours, &(global("lab") + &instance()), &["-Mcore.%p"])?;
        let vrrpd = director.wait_daemon("vrrpd")?;
        require(read(kernels) == "core.%p", || read(kernels))?;
        let limit = |pid: i32| {
            let limits = read(&format!("/proc/{pid}/limits"));
            let line = limits.lines().find(|line| line.starts_with("Max core file size")).map(str::to_owned);
            line.unwrap_or_default()
        };
        require(limit(director.pid()).contains("unlimited"), || limit(director.pid()))?;
        require(!limit(vrrpd).contains("unlimited"), || limit(vrrpd))?;
        director.stop()?;
        require(read(kernels) == "before", || read(kernels))
    })
}

#[test]
fn the_version_is_that_of_the_behaviour_and_signals_have_their_numbers() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1)])?;
        let ours = install_ours()?.join("keepalived");
        let run = |program: &Path, option: &str| -> Result<(Option<i32>, String, String), Failure> {
            let mut command = Command::new(program);
            let output = command.arg(option).stdin(Stdio::null()).output();
            let output = output.map_err(|cause| Failure::instrument("keepalived", cause))?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
        };
        for option in ["-v", "--version"] {
            let (code, out, err) = run(&ours, option)?;
            require(code == Some(0) && out.is_empty() && err.starts_with("Keepalived v2.4.3 ("), || {
                err.clone()
            })?;
            require(err.contains("\nRunning on Linux "), || err.clone())?;
        }
        let theirs = Path::new("/usr/sbin/keepalived");
        for name in ["STOP", "RELOAD", "DATA", "STATS", "STATS_CLEAR", "JSON", "stop", "NONE"] {
            let option = format!("--signum={name}");
            let ((code, number, _), known) = (run(&ours, &option)?, run(theirs, &option)?);
            require((code, &number) == (known.0, &known.1), || {
                format!("{name}: {code:?} {number}, {known:?}")
            })?;
        }
        lan.host("d1").map(|_| ())
    })
}

/// One script writes the name that it was started by, the other its groups.
#[test]
fn scripts_get_all_groups_of_their_user_and_the_name_that_is_written() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let place = |cause| Failure::instrument("the link", cause);
        fs::create_dir_all("/run/lab").map_err(place)?;
        fs::write("/run/lab/real.sh", "#!/bin/sh\necho $0 > /run/lab/words\n").map_err(place)?;
        fs::set_permissions("/run/lab/real.sh", fs::Permissions::from_mode(0o755)).map_err(place)?;
        std::os::unix::fs::symlink("/run/lab/real.sh", "/run/lab/link.sh").map_err(place)?;
        let group = d1.run("/usr/bin/getent", &["group", "frrvty"])?;
        let group = group.split(':').nth(2).unwrap_or_default().to_owned();
        for (keyword, expected) in [("use_symlink_paths", "/run/lab/link.sh\n"), ("", "/run/lab/real.sh\n")] {
            let scripts = "vrrp_script words {\n    script /run/lab/link.sh\n    \
                           user root\n}\nvrrp_script groups {\n    \
                           script \"/bin/cp /proc/self/status /tmp/groups-of-frr\"\n    user frr\n}\n";
            let tracked = VrrpInstance::new(3, "0.2", 150, front4(50))
                .with("track_script {\n    words\n    groups weight 1\n}");
            let config = globals(&format!("set_supplementary_groups\n{keyword}")) + scripts + &tracked.text();
            let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
            wait_until("both scripts have run", SOON, || {
                read("/run/lab/words").ends_with('\n') && read("/tmp/groups-of-frr").contains("Groups:")
            })?;
            let name = read("/run/lab/words");
            require(name == expected, || format!("{keyword}: {name}"))?;
            let status = read("/tmp/groups-of-frr");
            let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
            require(groups.split_whitespace().any(|id| id == group), || format!("{groups} lack {group}"))?;
            director.stop()?;
            drop(fs::remove_file("/tmp/groups-of-frr"));
            drop(fs::remove_file("/run/lab/words"));
        }
        Ok(())
    })
}

#[test]
fn a_file_names_the_time_of_a_reload() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let keywords = "reload_time_file /run/lab/when\nreload_check_config /run/lab/check.log";
        let config = globals(keywords) + &instance();
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        director.write_config(d1, &config.replace("10.77.0.50", "10.77.0.51"))?;
        let when = d1.run("/bin/date", &["-u", "-d", "5 seconds", "+%Y-%m-%d %H:%M:%SZ"])?;
        fs::write("/run/lab/when", when).map_err(|cause| Failure::instrument("the file", cause))?;
        wait_until("the new address is there", SOON, || d1.has(front4(51)) && !d1.has(front4(50)))?;
        wait_until("the file is gone", SOON, || !Path::new("/run/lab/when").exists())?;
        // A refused configuration leaves its problems in the log of the check, too.
        director.write_config(d1, &config.replace("interface eth0", "interfase eth0"))?;
        director.signal(Signal::SIGHUP);
        wait_until("the check's log names the mistake", SOON, || {
            read("/run/lab/check.log").contains("interfase")
        })
        .map(|_| ())
    })
}

/// As a start script of old does it: in the background, found again by its pid file.
#[test]
fn a_daemon_in_the_background_is_found_by_its_pid_file_and_logs_to_its_file() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let doing = |cause: std::io::Error| Failure::instrument("configuration", cause);
        fs::create_dir_all("/run/lab").map_err(doing)?;
        fs::write("/run/lab/d1.conf", global("lab") + &instance()).map_err(doing)?;
        let keepalived = install_ours()?.join("keepalived");
        let keepalived = keepalived.to_string_lossy();
        let options = [
            "-f",
            "/run/lab/d1.conf",
            "-G",
            "-g/run/lab/k.log",
            "-dexBDm",
            "--all",
            "-A",
            "unix:/x",
            "stray",
        ];
        d1.run(&keepalived, &options)?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let pid: i32 = read("/run/keepalived.pid").trim().parse().unwrap_or(0);
        require(process::is_alive(pid), || format!("pid file: {pid}"))?;
        wait_until("--all starts every daemon", SOON, || {
            let names: Vec<String> = process::children(pid).into_iter().map(|child| child.name).collect();
            ["vrrpd", "checkd", "ipvsd"].iter().all(|name| names.iter().any(|known| known == name))
        })?;
        for (file, name) in [("/run/vrrp.pid", "vrrpd"), ("/run/checkers.pid", "checkd")] {
            wait_until(&format!("{file} names {name}"), SOON, || {
                let found = read(file).trim().parse().ok().and_then(process::read);
                found.is_some_and(|found| found.name == name)
            })?;
        }
        wait_until("the log file is written", SOON, || {
            read("/run/lab/k.log").contains("Entering MASTER STATE")
        })?;
        let log = read("/run/lab/k.log");
        for text in [
            "Keepalived: Starting Keepalived v2.4.3 (this suite: ",
            "virtual_router_id 51",
            "SNMP (-x, -A) is not part",
            "BFD (-B, -b)",
        ] {
            require(log.contains(text), || format!("{text} isn't in\n{log}"))?;
        }
        // Its pid file is taken, whatever run directory a second one names.
        let second = [
            "-f",
            "/run/lab/d1.conf",
            "-n",
            "-G",
            "-p",
            "/run/keepalived.pid",
            "--run-dir",
            "/run/lab/other",
        ];
        let refused = d1.run(&keepalived, &second);
        require(refused.as_ref().is_err_and(|why| why.to_string().contains("already running")), || {
            format!("a second one started: {refused:?}")
        })?;
        process::signal(pid, Signal::SIGTERM);
        wait_until("it has stopped", SOON, || !process::is_alive(pid) && !d1.has(front4(50)))?;
        let left = ["/run/keepalived.pid", "/run/vrrp.pid", "/run/checkers.pid"]
            .map(|path| Path::new(path).exists());
        require(left == [false; 3], || format!("{left:?}"))
    })
}

#[test]
fn pid_files_lie_in_the_run_directory_with_use_pid_dir() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let doing = |cause: std::io::Error| Failure::instrument("configuration", cause);
        fs::create_dir_all("/run/lab").map_err(doing)?;
        fs::write("/run/lab/d1.conf", "use_pid_dir\n".to_owned() + &global("lab") + &instance())
            .map_err(doing)?;
        let keepalived = install_ours()?.join("keepalived");
        d1.run(&keepalived.to_string_lossy(), &["-f", "/run/lab/d1.conf", "-G", "-g/run/lab/k.log"])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let pid: i32 = read("/run/keepalived/keepalived.pid").trim().parse().unwrap_or(0);
        require(process::is_alive(pid), || format!("pid file: {pid}"))?;
        let elsewhere = ["keepalived", "vrrp"].map(|name| Path::new(&format!("/run/{name}.pid")).exists());
        require(elsewhere == [false; 2], || format!("{elsewhere:?}"))?;
        wait_until("vrrpd has a pid file", SOON, || Path::new("/run/keepalived/vrrp.pid").exists())?;
        process::signal(pid, Signal::SIGTERM);
        wait_until("it has stopped", SOON, || !process::is_alive(pid)).map(|_| ())
    })
}

#[test]
fn addresses_that_somebody_else_has_put_there_go_at_the_start_when_asked() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = global("lab") + &VrrpInstance::new(3, "10", 100, front4(50)).text();
        d1.ip("address add 10.77.0.50/24 dev eth0\n")?;
        let director = Director::start(lab, d1, Subject::Ours, &config, &["-X"])?;
        director.wait_daemon("vrrpd")?;
        wait_until("the address goes", SOON, || !d1.has(front4(50))).map(drop)
    })
}

#[test]
fn a_service_manager_hears_of_start_reload_and_stop() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        fs::create_dir_all("/run/lab").map_err(|cause| Failure::instrument("/run/lab", cause))?;
        let doing = |cause: std::io::Error| Failure::instrument("the manager's socket", cause);
        let manager = std::os::unix::net::UnixDatagram::bind("/run/lab/notify").map_err(doing)?;
        manager.set_read_timeout(Some(SOON)).map_err(doing)?;
        fs::write("/run/lab/d1.conf", global("lab") + &instance()).map_err(doing)?;
        let mut command = Command::new(install_ours()?.join("keepalived"));
        command
            .args(["-n", "-G", "-f", "/run/lab/d1.conf", "--run-dir", "/run/lab/d1.run"])
            .env("NOTIFY_SOCKET", "/run/lab/notify");
        let mut parent = d1.spawn(command.stdin(Stdio::null()))?;
        let hear = |wanted: &str| -> Result<String, Failure> {
            let mut bytes = [0; 512];
            let length = manager.recv(&mut bytes).map_err(doing)?;
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            require(text.contains(wanted), || format!("{wanted} was expected, heard {text}"))?;
            Ok(text)
        };
        hear("READY=1")?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let pid = i32::try_from(parent.id()).unwrap_or(0);
        process::signal(pid, Signal::SIGHUP);
        let reloading = hear("RELOADING=1")?;
        require(reloading.contains("MONOTONIC_USEC="), || reloading.clone())?;
        hear("READY=1")?;
        process::signal(pid, Signal::SIGTERM);
        hear("STOPPING=1")?;
        wait_for("it stops", SOON, || parent.try_wait().ok().flatten()).map(|_| ())
    })
}
