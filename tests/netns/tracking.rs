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
const MOVE: Duration = Duration::from_secs(20);
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
    first.transitions_in("Fault")?;
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

/// Waits for the line of a tracked process; where its last one stands in the log.
fn judged(director: &Director, name: &str, word: &str) -> Result<usize, Failure> {
    let line = format!("Process tracking of {name} {word} its quorum");
    wait_until(&line, 2 * MOVE, || director.logged(&line) > 0)
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    Ok(director.log().rfind(&line).unwrap_or_default())
}

const PROGRAM: &str = "/run/lab/track/tracked-sleep";

/// Name, program and keywords of tracked processes, and whether they have their quorum while `tracked-sleep 1000` and
/// `tracked-sleep 1000 0` run.
const MATCHING: [(&str, &str, &str, bool); 8] = [
    ("name", "tracked-sleep", "", true),
    ("command", "tracked-sleep", "full_command", false),
    ("path", PROGRAM, "full_command\n    quorum 2", true),
    ("exactly", "PROGRAM 1000", "param_match\n    quorum_max 1", true),
    ("part", "PROGRAM 10", "", false),
    ("partial", "PROGRAM 1000", "param_match partial\n    quorum 2", true),
    ("initial", "PROGRAM 10", "param_match initial\n    quorum 2", true),
    ("most", PROGRAM, "full_command\n    quorum_max 1", false),
];

/// Waits until the priority is its base of 1 and the weights of those tracked processes that have their quorum: a bit
/// for each, by position.
fn counted(director: &Director, good: impl IntoIterator<Item = bool>) -> Result<(), Failure> {
    let weights: u32 = (0..).zip(good).filter(|(_, good)| *good).map(|(position, _)| 1_u32 << position).sum();
    let priority = || director.status().map(|status| status["instances"][0]["priority"].clone());
    wait_until(&format!("weights make {weights}"), 2 * MOVE, || {
        priority().is_ok_and(|found| found == weights + 1)
    })
    .map(|_| ())
    .map_err(|failure| Failure::new(format!("{failure}: {:?}\n{}", priority(), director.log())))
}

/// Those that wait stand in front of the one that doesn't: without a delay their lines would stand there, too.
const WAITING: [(&str, &str); 4] =
    [("both", "delay 1"), ("end", "terminate_delay 1"), ("fork", "fork_delay 1"), ("none", "")];

fn tracked(blocks: &[(&str, &str, &str)]) -> String {
    let block = |(position, (name, program, lines)): (usize, &(&str, &str, &str))| {
        let (program, weight) = (program.replace("PROGRAM", PROGRAM), 1_u32 << position);
        format!("vrrp_track_process {name} {{\n    process {program}\n    weight {weight}\n    {lines}\n}}\n")
    };
    let names: String = blocks.iter().map(|(name, ..)| format!("        {name}\n")).collect();
    let lines = format!("track_process {{\n{names}    }}");
    let instance = VrrpInstance::new(3, "0.2", 1, ADDRESS).with(&lines).text();
    global("d1") + &blocks.iter().enumerate().map(block).collect::<String>() + &instance
}

#[test]
fn processes_are_told_apart_by_their_parameters_and_counted_between_quorum_and_quorum_max() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let mut children = started(1)?;
        let failed = |cause| Failure::instrument("starting a tracked process", cause);
        children.push(Command::new(PROGRAM).args(["1000", "0"]).spawn().map_err(failed)?);
        let blocks: Vec<_> =
            MATCHING.iter().map(|(name, program, lines, _)| (*name, *program, *lines)).collect();
        let director = Director::start(lab, lan.host("d1")?, Subject::Ours, &tracked(&blocks), &[])?;
        let mut judge = || {
            counted(&director, MATCHING.map(|(.., good)| good))?;
            end(children.pop());
            let with_one = ["name", "exactly", "most"];
            counted(&director, MATCHING.map(|(name, ..)| with_one.contains(&name)))?;
            judged(&director, "most", "gained").and(judged(&director, "partial", "lost")).map(|_| ())
        };
        let outcome = judge();
        children.into_iter().for_each(|child| end(Some(child)));
        outcome
    });
}

#[test]
fn ends_and_starts_of_processes_count_after_their_delays() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let mut children = started(1)?;
        let blocks = WAITING.map(|(name, lines)| (name, "tracked-sleep", lines));
        let director = Director::start(lab, lan.host("d1")?, Subject::Ours, &tracked(&blocks), &[])?;
        let mut order = |word: &str, started: bool| -> Result<[bool; 3], Failure> {
            match started {
                true => children.extend(started_again()?),
                false => end(children.pop()),
            }
            let count =
                |name: &str| director.logged(&format!("Process tracking of {name} {word} its quorum"));
            wait_until(&format!("all have {word} their quorum"), 2 * MOVE, || {
                WAITING.iter().all(|(name, _)| count(name) == 1)
            })
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
            let at = judged(&director, "none", word)?;
            let behind = |name| judged(&director, name, word).map(|found| found > at);
            Ok([behind("both")?, behind("end")?, behind("fork")?])
        };
        counted(&director, WAITING.map(|_| true))?;
        let (ends, starts) = (order("lost", false), order("gained", true));
        children.into_iter().for_each(|child| end(Some(child)));
        let orders = (ends?, starts?);
        require(orders == ([true, true, false], [true, false, true]), || director.log())
    });
}
