//! What moves an address beside interfaces: numbers in files and of processes. Files for Debian's keepalived and ours.

use std::fs;
use std::net::IpAddr;
use std::process::{Child, Command};
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const MOVE: Duration = Duration::from_secs(5);
const LOAD: &str = "/run/lab/track/load";
const SPARE: &str = "/run/lab/track/spare";

fn at(here: &Host, there: &Host) -> bool {
    here.has(ADDRESS) && !there.has(ADDRESS)
}

fn write(text: &str) -> Result<(), Failure> {
    fs::write(LOAD, text).map_err(|cause| Failure::instrument("writing the tracked file", cause))
}

/// Priority 150 less three times the number against 100; 100 makes it a fault, which needs no lower peer.
fn a_file_moves_the_address(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    fs::create_dir_all("/run/lab/track").map_err(|cause| Failure::instrument("directory", cause))?;
    let file = format!(
        "track_file load {{\n    file {LOAD}\n    weight -3\n    init_file 1\n}}\n\
         vrrp_track_file spare {{\n    file {SPARE}\n    weight 9 reverse\n}}\n"
    );
    let lines = "track_file {\n        load weight -3 noreverse\n        spare weight 60 reverse\n    }";
    let tracked = VrrpInstance::new(3, "0.2", 150, ADDRESS).with(lines).text();
    let plain = VrrpInstance::new(3, "0.2", 100, ADDRESS).text();
    let first = Director::start(lab, d1, subject, &(global("d1") + &file + &tracked), &[])?;
    let _second = Director::start(lab, d2, subject, &(global("d2") + &plain), &[])?;
    wait_until("d1 alone holds the address", MOVE, || at(d1, d2))?;
    let made = fs::read_to_string(LOAD).unwrap_or_default();
    require(made.trim() == "1", || format!("init_file wrote {made:?}"))?;
    write("20\n")?;
    wait_until("it moves with the number", MOVE, || at(d2, d1))?;
    fs::remove_file(LOAD).map_err(|cause| Failure::instrument("removing the tracked file", cause))?;
    wait_until("a file that is missing counts as 0", MOVE, || at(d1, d2))?;
    let spare = |text: &str| fs::write(SPARE, text).map_err(|cause| Failure::instrument(SPARE, cause));
    spare("1\n")?;
    wait_until("it moves with the reversed number of the other file", MOVE, || at(d2, d1))?;
    spare("0\n")?;
    wait_until("it returns with it", MOVE, || at(d1, d2))?;
    write("0x64\n")?;
    wait_until("it moves again", MOVE, || at(d2, d1))?;
    if subject == Subject::C {
        return Ok(());
    }
    let instance = first.status()?["instances"][0].clone();
    require(instance["state"] == "Fault" && instance["reason"] == "file load", || format!("{instance}"))?;
    // A successor of the parent's words finds the number again.
    let old = first.wait_daemon("vrrpd")?;
    first.ctl(&["restart", "vrrpd"])?;
    first.wait_successor("vrrpd", old)?;
    write("2\n")?;
    wait_until("it returns under the successor", MOVE, || at(d1, d2)).map(|_| ())
}

#[test]
fn the_address_follows_a_number_in_a_file_with_c() {
    sandboxed(60, |lab| a_file_moves_the_address(lab, Subject::C));
}

#[test]
fn the_address_follows_a_number_in_a_file_with_ours() {
    sandboxed(60, |lab| a_file_moves_the_address(lab, Subject::Ours));
}

/// Starts processes of a name of their own, so that nothing else counts.
fn started(count: usize) -> Result<Vec<Child>, Failure> {
    let failed = |cause| Failure::instrument("starting a tracked process", cause);
    let program = "/run/lab/track/tracked-sleep";
    fs::create_dir_all("/run/lab/track").map_err(failed)?;
    fs::copy("/bin/sleep", program).map_err(failed)?;
    (0..count).map(|_| Command::new(program).arg("1000").spawn().map_err(failed)).collect()
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _already_gone = child.kill();
        let _reaped = child.wait();
    }
}

/// Two processes of a name and a weight: the address moves when one of them ends.
fn processes_move_the_address(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let mut children = started(2)?;
    let block = "vrrp_track_process web {\n    process tracked-sleep\n    quorum 2\n    weight 80\n}\n\
                 vrrp_track_process none {\n    process no-such-process\n    weight 5\n}\n";
    let lines = "track_process {\n        web weight 80 noreverse\n        none weight 3 reverse\n    }";
    let tracked = VrrpInstance::new(3, "0.2", 50, ADDRESS).with(lines).text();
    let plain = VrrpInstance::new(3, "0.2", 100, ADDRESS).text();
    let _first = Director::start(lab, d1, subject, &(global("d1") + block + &tracked), &[])?;
    let _second = Director::start(lab, d2, subject, &(global("d2") + &plain), &[])?;
    let held = wait_until("d1 alone holds the address", MOVE, || at(d1, d2));
    end(children.pop());
    let moved = wait_until("it moves with the end of a process", MOVE, || at(d2, d1));
    children.extend(started_again()?);
    let returned = wait_until("it returns with a new one", MOVE, || at(d1, d2));
    for child in children {
        end(Some(child));
    }
    held.and(moved).and(returned).map(|_| ())
}

fn started_again() -> Result<Option<Child>, Failure> {
    let program = Command::new("/run/lab/track/tracked-sleep").arg("1000").spawn();
    program.map(Some).map_err(|cause| Failure::instrument("starting a tracked process", cause))
}

#[test]
fn the_address_follows_the_number_of_processes() {
    sandboxed(60, |lab| processes_move_the_address(lab, Subject::Ours));
}
