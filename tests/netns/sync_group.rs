//! Sync groups: two virtual routers of a host move together, between two of ours and with Debian's keepalived in both
//! roles; the FIFO tells members first, then the group.

use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, sandboxed, wait_until};

const ADDRESSES: [IpAddr; 2] = [front4(50), front4(60)];
const FIFO: &str = "/run/lab/d1.fifo";
/// Four adverts, the wait of priority 100, and what this machine may add.
const MOVE: Duration = Duration::from_secs(20);

fn config(priority: u8, tracked: &str, fifo: &str) -> String {
    let mut first = VrrpInstance::new(3, "0.2", priority, ADDRESSES[0]);
    let mut second = VrrpInstance::new(3, "0.2", priority, ADDRESSES[1]).with(tracked);
    first.name = "VI_1".to_owned();
    second.name = "VI_2".to_owned();
    second.vrid = 52;
    let group = "vrrp_sync_group VG {\n    group {\n        VI_1\n        VI_2\n    }\n}\n";
    let globals = format!("global_defs {{\n    {fifo}\n}}\n");
    global("lab") + &globals + group + &first.text() + &second.text()
}

fn holds_both(own: &Host, other: &Host) -> bool {
    let all = |host: &Host, wanted: bool| ADDRESSES.iter().all(|address| host.has(*address) == wanted);
    all(own, true) && all(other, false)
}

fn a_group_moves_as_a_whole(lab: &Lab, strong: Subject, weak: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    d1.ip("link add trk0 type veth peer name trk1\nlink set trk0 up\nlink set trk1 up\n")?;
    let mut fifo = open_fifo()?;
    let track = "track_interface {\n        trk0\n    }";
    let fifo_line = format!("notify_fifo {FIFO}");
    let _first = Director::start(lab, d1, strong, &config(200, track, &fifo_line), &[])?;
    let _second = Director::start(lab, d2, weak, &config(100, "", ""), &[])?;

    wait_until("d1 holds both addresses", MOVE, || holds_both(d1, d2))?;
    d1.ip("link set trk0 down\n")?;
    wait_until("d2 takes both, though only one is in trouble", MOVE, || holds_both(d2, d1))?;
    d1.ip("link set trk0 up\n")?;
    wait_until("both return", MOVE, || holds_both(d1, d2))?;

    if strong == Subject::Ours {
        judge(&mut fifo)?;
    }
    Ok(())
}

/// Every change of the group stands behind that of both members.
fn judge(fifo: &mut File) -> Result<(), Failure> {
    let mut text = String::new();
    wait_until("the last change is told", MOVE, || {
        text.push_str(&told(fifo));
        text.matches("GROUP \"VG\" MASTER").count() == 2
    })
    .map_err(|failure| Failure::new(format!("{failure}\n{text}")))?;
    let mut expected = String::new();
    for (state, members) in [
        ("BACKUP", ["VI_1", "VI_2"]),
        ("MASTER", ["VI_1", "VI_2"]),
        ("FAULT", ["VI_2", "VI_1"]),
        ("BACKUP", ["VI_1", "VI_2"]),
        ("MASTER", ["VI_1", "VI_2"]),
    ] {
        for member in members {
            expected.push_str(&format!("INSTANCE \"{member}\" {state} 200\n"));
        }
        expected.push_str(&format!("GROUP \"VG\" {state} 0\n"));
    }
    let sorted = |text: &str| {
        let mut lines: Vec<Vec<&str>> = vec![Vec::new()];
        for line in text.lines() {
            if line.starts_with("GROUP") {
                if let Some(last) = lines.last_mut() {
                    last.sort_unstable();
                    last.push(line);
                }
                lines.push(Vec::new());
            } else if let Some(last) = lines.last_mut() {
                last.push(line);
            }
        }
        lines.concat().join("\n")
    };
    require(sorted(&text) == sorted(&expected), || format!("the FIFO told\n{text}\nexpected\n{expected}"))
}

/// The pipe exists before anybody writes, and its reader never blocks.
fn open_fifo() -> Result<File, Failure> {
    let doing = "making the FIFO";
    fs::create_dir_all("/run/lab").map_err(|cause| Failure::instrument(doing, cause))?;
    nix::unistd::mkfifo(FIFO, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)
        .map_err(|cause| Failure::instrument(doing, cause))?;
    let mut options = File::options();
    options.read(true).write(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
    options.open(FIFO).map_err(|cause| Failure::instrument(doing, cause))
}

macro_rules! pairs {
    ($($name:ident: $strong:ident over $weak:ident;)*) => {
        $(#[test]
        fn $name() {
            sandboxed(60, |lab| a_group_moves_as_a_whole(lab, Subject::$strong, Subject::$weak));
        })*
    };
}

pairs! {
    a_group_of_c_moves_over_c: C over C;
    a_group_of_ours_moves_over_ours: Ours over Ours;
    a_group_of_ours_moves_over_c: Ours over C;
    a_group_of_c_moves_over_ours: C over Ours;
}

/// What the pipe holds now.
fn told(fifo: &mut File) -> String {
    let mut bytes = [0; 4096];
    let length = fifo.read(&mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// The member whose timer runs out last makes the group rise, and is told before those that follow it.
#[test]
fn the_member_that_makes_its_group_rise_is_told_first_by_c_and_by_ours() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let mut fifo = open_fifo()?;
        let uneven =
            config(200, "", &format!("notify_fifo {FIFO}")).replacen("priority 200", "priority 150", 2);
        let uneven = uneven.replacen("priority 150", "priority 200", 1);
        let rises = "INSTANCE \"VI_2\" MASTER 150\nINSTANCE \"VI_1\" MASTER 200\nGROUP \"VG\" MASTER 0\n";
        for subject in [Subject::C, Subject::Ours] {
            let director = Director::start(lab, d1, subject, &uneven, &[])?;
            let mut text = String::new();
            wait_until("the group has risen", MOVE, || {
                text.push_str(&told(&mut fifo));
                text.contains("GROUP \"VG\" MASTER")
            })?;
            require(text.contains(rises), || format!("{subject:?} told\n{text}"))?;
            director.stop()?;
            // What it tells of its end is nobody's.
            told(&mut fifo);
        }
        Ok(())
    });
}
