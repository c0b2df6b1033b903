//! `keepalived -t`, Debian's and ours, over every configuration of the corpus and every sample that Debian's package
//! ships: both accept it, both refuse it, or `differences.tsv` says so and docs/differences.md says why.
//!
//! Exit code 0 accepts; everything else refuses, an end that never comes included. Runs in a sandbox as root, with
//! the interfaces that the files speak of.

mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tests::lab::failure::require;
use tests::lab::sandbox::{PATH, sandboxed};
use tests::lab::subject::install_ours;
use tests::lab::{Failure, Lab};

/// Differences that are meant: file, verdict of keepalived, ours, and a word of the table in docs/differences.md.
const DIFFERENCES: &str = include_str!("differences.tsv");

/// Folders of configurations below `tests/corpus`.
const FOLDERS: [&str; 6] = ["", "ipvs", "language", "values", "habits", "forms"];

/// Sample files of Debian's package.
const SAMPLES: &str = "/usr/share/doc/keepalived/samples";

#[test]
fn the_same_files_are_accepted_and_refused() {
    sandboxed(170, |lab| {
        make_interfaces()?;
        let ours = install_ours()?.join("keepalived");
        let files = files()?;
        require(files.len() > 600, || format!("only {} files were found", files.len()))?;
        let mut known = known_differences();
        let mut wrong = Vec::new();
        for (name, path) in &files {
            let theirs = verdict(Path::new("/usr/sbin/keepalived"), path, lab)?;
            let here = verdict(&ours, path, lab)?;
            let told = known.remove(name.as_str());
            let differs = theirs != here;
            let holds = match &told {
                None => !differs,
                Some(told) => told.theirs == theirs && told.ours == here,
            };
            if !holds {
                wrong.push(format!("{name}: keepalived {theirs}, here {here}, meant: {told:?}"));
            }
        }
        require(wrong.is_empty(), || format!("{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n")))?;
        require(known.is_empty(), || format!("no such files: {:?}", known.keys().collect::<Vec<_>>()))
    });
}

#[test]
fn every_difference_has_its_reason_and_every_reason_a_file() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/differences.md");
    let page = fs::read_to_string(page).expect("docs/differences.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Verdicts")).unwrap_or("");
    let explained: BTreeSet<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let given: BTreeSet<&str> = known_differences().values().map(|told| told.why).collect();
    assert_eq!(given, explained);
}

/// keepalived(8), EXIT STATUS.
#[test]
fn exit_codes_of_a_test_are_those_of_the_manual() {
    sandboxed(30, |_| {
        let program = install_ours()?.join("keepalived");
        let code = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().ok().and_then(|status| status.code())
        };
        let write = |name: &str, text: &str| {
            let path = format!("/run/{name}.conf");
            fs::write(&path, text).map(|()| path).map_err(|cause| Failure::instrument(name, cause))
        };
        let good = write("good", "global_defs {\n router_id a\n}\n")?;
        let warned = write("warned", "global_defs {\n router_id a b\n}\n")?;
        let wrong = write("wrong", "global_defs {\n nonsense\n}\n")?;
        let strict = write("strict", "includem /run/nothing\n")?;
        let cases: [(&[&str], i32); 8] = [
            (&["-t", "-f", &good], 0),
            (&["-t", "-f", &warned], 0),
            (&["-t", "-f", &wrong], 5),
            (&["-t", "--compat", "-f", &wrong], 0),
            (&["-t", "-f", &strict], 5),
            (&["-t", "-f", "/run/no-such.conf"], 6),
            (&["-t", "-S", "9", "-f", &good], 5),
            (&["--no-such-option"], 1),
        ];
        for (arguments, expected) in cases {
            let found = code(arguments);
            require(found == Some(expected), || {
                format!("{arguments:?} ends with {found:?}, not {expected}")
            })?;
        }
        Ok(())
    });
}

/// One line of the list.
#[derive(Debug)]
struct Told {
    theirs: &'static str,
    ours: &'static str,
    why: &'static str,
}

fn known_differences() -> BTreeMap<&'static str, Told> {
    let lines = DIFFERENCES.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut fields = line.split('\t');
            let mut next = || fields.next().unwrap_or("");
            (next(), Told { theirs: next(), ours: next(), why: next() })
        })
        .collect()
}

/// Every configuration by the name that the list knows it by.
fn files() -> Result<BTreeMap<String, PathBuf>, Failure> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut out = BTreeMap::new();
    for folder in FOLDERS {
        for path in entries(&corpus.join(folder))? {
            if path.extension().is_some_and(|end| end == "conf") {
                let name = path.strip_prefix(&corpus).unwrap_or(&path).display().to_string();
                out.insert(name, path);
            }
        }
    }
    for path in entries(Path::new(SAMPLES))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("keepalived.conf") {
            out.insert(format!("debian/{name}"), unpacked(&path)?);
        }
    }
    Ok(out)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let doing = format!("listing {}", folder.display());
    let list = fs::read_dir(folder).map_err(|cause| Failure::instrument(&doing, cause))?;
    Ok(list.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

/// Debian packs long documents; what is packed is read from a copy.
fn unpacked(path: &Path) -> Result<PathBuf, Failure> {
    if path.extension().is_none_or(|end| end != "gz") {
        return Ok(path.to_owned());
    }
    let doing = format!("unpacking {}", path.display());
    let output = Command::new("gzip")
        .arg("-dc")
        .arg(path)
        .output()
        .map_err(|cause| Failure::instrument(&doing, cause))?;
    let copy = Path::new("/run/lab-samples").join(path.file_stem().unwrap_or_default());
    fs::create_dir_all("/run/lab-samples")
        .and_then(|()| fs::write(&copy, output.stdout))
        .map_err(|cause| Failure::instrument(&doing, cause))?;
    Ok(copy)
}

/// What a program says of a file. keepalived sometimes ends by a signal, or not at all, where it says yes or no a moment
/// later: it is asked again. Ours ends by itself, however slow the machine.
fn verdict(program: &Path, file: &Path, lab: &Lab) -> Result<&'static str, Failure> {
    let is_theirs = program.starts_with("/usr");
    let seconds = if is_theirs { "3" } else { "60" };
    let mut output = ask(program, file, lab, seconds)?;
    for _again in 0..2 {
        if is_theirs && output.status.code().is_none_or(|code| code > 123) {
            output = ask(program, file, lab, seconds)?;
        }
    }
    let killed = [101, 134, 137, 139].iter().any(|code| output.status.code() == Some(*code));
    require(!killed || is_theirs, || {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("{} -t {}: {}\n{said}", program.display(), file.display(), output.status)
    })?;
    Ok(if output.status.success() { "accepts" } else { "refuses" })
}

fn ask(program: &Path, file: &Path, lab: &Lab, seconds: &str) -> Result<Output, Failure> {
    let doing = format!("{} -t {}", program.display(), file.display());
    Command::new("timeout")
        .args(["--foreground", "--signal=KILL", seconds])
        .arg(program)
        .args(["-t", "-i", "node1", "-f"])
        .arg(file)
        .env("PATH", PATH)
        .current_dir(&lab.out)
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| Failure::instrument(&doing, cause))
}

/// Interfaces that keepalived wants to see before it accepts a file.
fn make_interfaces() -> Result<(), Failure> {
    for (one, other) in [("eth0", "eth1"), ("eth2", "eth3"), ("vxlan80", "vxlan81")] {
        ip(&["link", "add", one, "type", "veth", "peer", "name", other])?;
        ip(&["link", "set", one, "up"])?;
        ip(&["link", "set", other, "up"])?;
    }
    ip(&["link", "set", "lo", "up"])?;
    ip(&["address", "add", "192.168.200.1/24", "dev", "eth0"])?;
    ip(&["address", "add", "2001:db8::1/64", "dev", "eth0", "nodad"])
}

fn ip(arguments: &[&str]) -> Result<(), Failure> {
    let doing = format!("ip {}", arguments.join(" "));
    let status = Command::new("ip")
        .args(arguments)
        .env("PATH", PATH)
        .status()
        .map_err(|cause| Failure::instrument(&doing, cause))?;
    require(status.success(), || format!("{doing}: {status}"))
}
