//! Starting: a configuration that can't be used is named, nothing is applied, and the exit status says which kind of
//! error it was.

use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::subject::install_ours;
use tests::lab::{Director, Failure, Lab, Lan, Subject, process, sandboxed, wait_until};

const GOOD: &str = "vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.77.0.50/24
    }
}
";

/// Starting with this text fails with a diagnostic that contains `words`, and nothing reaches the interface.
fn is_refused(lab: &Lab, text: &str, words: &[&str]) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let before = d1.addresses();
    let mut director = Director::start(lab, d1, Subject::Ours, text, &[])?;
    let status = director.wait_end(Duration::from_secs(20))?;
    require(status.code().is_some_and(|code| code != 0), || format!("it ended with {status}"))?;
    let log = director.log();
    for word in words {
        require(log.contains(word), || format!("{word:?} is not in the diagnostic:\n{log}"))?;
    }
    require(d1.addresses() == before, || "an address was applied".to_owned())
}

#[test]
fn a_number_out_of_range_is_shown_with_line_and_caret() {
    sandboxed(60, |lab| {
        let text = GOOD.replace("virtual_router_id 51", "virtual_router_id 300");
        is_refused(lab, &text, &["d1.conf:3:23", "300", "^"])
    });
}

#[test]
fn an_unknown_keyword_is_shown_with_its_line() {
    sandboxed(60, |lab| {
        let text = GOOD.replace("interface eth0", "interfase eth0");
        is_refused(lab, &text, &["d1.conf:2:5", "interfase"])
    });
}

#[test]
fn a_missing_brace_names_the_block_that_is_open() {
    sandboxed(60, |lab| {
        let text = GOOD.strip_suffix("}\n").unwrap_or(GOOD);
        is_refused(lab, text, &["vrrp_instance"])
    });
}

#[test]
fn a_missing_file_is_named_and_exits_with_6() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1)])?;
        let mut command = Command::new(install_ours()?.join("keepalived"));
        command.args(["-n", "-l", "-G", "--run-dir", "/run/lab-missing", "-f", "/run/no-such.conf"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = lan.host("d1")?.spawn(&mut command)?;
        let output =
            child.wait_with_output().map_err(|cause| Failure::instrument("waiting for its end", cause))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        require(output.status.code() == Some(6), || format!("it ended with {}: {said}", output.status))?;
        require(said.contains("/run/no-such.conf"), || format!("the file isn't named: {said}"))
    });
}

#[test]
fn a_second_start_with_the_same_run_directory_is_refused() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = global("lab") + &VrrpInstance::new(3, "0.2", 200, front4(50)).text();
        let _first = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(front4(50)))?;
        let mut second = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        let status = second.wait_end(Duration::from_secs(20))?;
        require(!status.success(), || format!("the second one ended with {status}"))?;
        require(d1.has(front4(50)), || "the first one lost its address".to_owned())
    });
}

/// Where the kernel has no IPVS the rest goes on, and status says what is missing.
#[test]
fn a_kernel_without_ipvs_leaves_vrrp_and_checks_alone() {
    sandboxed(60, |lab| {
        if std::path::Path::new("/proc/net/ip_vs").exists() {
            return Ok(());
        }
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = global("lab")
            + &VrrpInstance::new(3, "0.2", 200, front4(50)).text()
            + &tests::lab::config_text::http_service("10.77.0.50", &["10.77.0.1"]);
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(front4(50)))?;
        wait_until("status says that IPVS is missing", Duration::from_secs(20), || {
            director.status().is_ok_and(|status| !status["table"]["Unavailable"].is_null())
        })?;
        wait_until("the check has given its verdict", Duration::from_secs(20), || {
            director.status().is_ok_and(|status| status["services"][0]["servers"][0]["up"] == false)
        })
        .map(|_| ())
    });
}

/// Starts ours as one starts keepalived twice on a machine.
fn with_pid_files(lan: &Lan, host: &str) -> Result<std::process::Child, Failure> {
    let (conf, pid, vrrp) =
        (format!("/run/{host}.conf"), format!("/run/{host}/k.pid"), format!("/run/{host}/v.pid"));
    std::fs::create_dir_all(format!("/run/{host}"))
        .and_then(|()| std::fs::write(&conf, GOOD))
        .map_err(|cause| Failure::instrument(&conf, cause))?;
    let mut command = Command::new(install_ours()?.join("keepalived"));
    command.args(["-n", "-l", "-P", "-f", &conf, "-p", &pid, "-r", &vrrp]).stdin(Stdio::null());
    lan.host(host)?.spawn(&mut command)
}

#[test]
fn two_suites_on_one_machine_need_pid_files_of_their_own_and_no_more() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let mut first = with_pid_files(&lan, "d1")?;
        let has = |host: &str| lan.host(host).is_ok_and(|host| host.has(front4(50)));
        wait_until("the first is Master", Duration::from_secs(20), || has("d1"))?;
        let mut second = with_pid_files(&lan, "d2")?;
        let socket = std::path::Path::new("/run/keepalived/run-d2-k.pid/control.sock");
        wait_until("the second serves, too", Duration::from_secs(20), || socket.exists())?;
        let ended = |child: &mut std::process::Child| {
            process::signal(i32::try_from(child.id()).unwrap_or(0), Signal::SIGTERM);
            child.wait().map_err(|cause| Failure::instrument("waiting for its end", cause))
        };
        require(ended(&mut first)?.success(), || "the first ended in trouble".to_owned())?;
        wait_until("the second takes over", Duration::from_secs(20), || has("d2") && !has("d1"))?;
        require(ended(&mut second)?.success(), || "the second ended in trouble".to_owned())
    });
}

/// `-t` of this text, with its exit status.
fn tested(text: &str) -> Result<Option<i32>, Failure> {
    let doing = |cause| Failure::instrument("a test of a configuration", cause);
    std::fs::write("/run/tested.conf", text).map_err(doing)?;
    let mut command = Command::new(install_ours()?.join("keepalived"));
    command.args(["-t", "-f", "/run/tested.conf"]).stdin(Stdio::null()).stderr(Stdio::null());
    Ok(command.status().map_err(doing)?.code())
}

/// A state, a priority and an interval that nobody knows.
fn passed_over() -> String {
    GOOD.replace("    virtual_ip", "    state SLAVE\n    priority 150,\n    advert_int 1s\n    virtual_ip")
}

fn starts_and_complains(subject: Subject) {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let director = Director::start(lab, d1, subject, &passed_over(), &[])?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(front4(50)))?;
        for complaint in
            ["Line 4) (VI_1) unknown state 'SLAVE', defaulting to BACKUP", "Line 5) ", "Line 6) "]
        {
            require(director.logged(complaint) > 0, || format!("{complaint}\n{}", director.log()))?;
        }
        Ok(())
    });
}

#[test]
fn a_start_goes_on_with_values_that_nobody_knows_with_c() {
    starts_and_complains(Subject::C);
}

#[test]
fn a_start_goes_on_with_values_that_nobody_knows_with_ours() {
    starts_and_complains(Subject::Ours);
}

#[test]
fn a_test_refuses_values_that_a_start_goes_on_with() {
    sandboxed(60, |_| {
        let code = tested(&passed_over())?;
        require(code == Some(5), || format!("-t ends with {code:?}"))
    });
}

#[test]
fn a_reload_brings_no_such_value_that_was_not_there_before() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let old = GOOD.replace("    virtual_ip", "    state SLAVE\n    priority 150\n    virtual_ip");
        let director = Director::start(lab, d1, Subject::Ours, &old, &[])?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(front4(50)))?;
        let priority = || Ok::<_, Failure>(director.status()?["instances"][0]["priority"].clone());
        let moved = format!("# a line more\n{}", old.replace("150", "160"));
        director.write_config(d1, &moved)?;
        director.ctl(&["reload"])?;
        require(priority()? == 160, || format!("the same complaint refused a reload\n{}", director.log()))?;
        director.write_config(d1, &moved.replace("160", "160,"))?;
        require(director.ctl(&["reload"]).is_err(), || "a new one was taken".to_owned())?;
        require(priority()? == 160 && d1.has(front4(50)), director_log(&director))?;
        require(director.logged("Line 6) priority must be a whole number") > 0, director_log(&director))
    });
}

fn director_log(director: &Director) -> impl Fn() -> String + '_ {
    || director.log()
}
