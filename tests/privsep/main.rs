//! What each confined daemon holds and what it is refused, on processes that the real parent started. On the host's
//! kernel: it has what the daemons ask of it, landlock included.

mod calls;
mod impostor;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tests::demo::confinement::{EXPECTED, SETS, daemon_status, holds_exactly, uid};
use tests::lab::failure::require;
use tests::lab::sandbox::build_directory;
use tests::lab::site::{Site, VIP};
use tests::lab::subject::install_ours;
use tests::lab::{Director, Failure, Lab, Lan, Subject, process, sandboxed, wait_for, wait_until};

const START: Duration = Duration::from_secs(30);

fn network() -> Result<Lan, Failure> {
    let mut lan = Lan::new(&[("d1", 1)])?;
    lan.add_back_network(&[("d1", 1)])?;
    Ok(lan)
}

fn config() -> String {
    Site::config("d1", 200, "0.5")
}

fn running(lab: &Lab, lan: &Lan) -> Result<Director, Failure> {
    let host = lan.host("d1")?;
    let director = Director::start(lab, host, Subject::Ours, &config(), &[])?;
    wait_until("d1 holds the address", START, || host.has(VIP))?;
    for (name, ..) in EXPECTED {
        wait_until(&format!("{name} is confined"), START, || {
            daemon_status(&director, name).is_some_and(|status| status["confined"]["seccomp"] == true)
        })?;
    }
    Ok(director)
}

fn each_daemon(
    director: &Director,
    mut assert: impl FnMut(&str, i32, u64) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for (name, capabilities, _) in EXPECTED {
        assert(name, director.wait_daemon(name)?, capabilities)?;
    }
    Ok(())
}

#[test]
fn each_daemon_holds_exactly_its_capabilities_in_every_set() {
    sandboxed(60, |lab| {
        let lan = network()?;
        each_daemon(&running(lab, &lan)?, |name, pid, capabilities| {
            require(holds_exactly(pid, capabilities), || {
                let sets = SETS.map(|set| process::status_field(pid, set).unwrap_or_default());
                format!("{name} should hold {capabilities:#x}, {SETS:?} are {sets:?}")
            })
        })
    });
}

#[test]
fn each_daemon_runs_as_a_user_of_its_own() {
    sandboxed(60, |lab| {
        let lan = network()?;
        let mut users = BTreeMap::new();
        each_daemon(&running(lab, &lan)?, |name, pid, _| {
            for field in ["Uid", "Gid"] {
                let ids = process::status_field(pid, field).unwrap_or_default();
                let mut ids = ids.split_whitespace();
                let real = ids.next().unwrap_or_default().to_owned();
                require(ids.all(|id| id == real), || format!("{name}: the four {field}s differ"))?;
                require(real != "0" && real != "65534", || format!("{name} has {field} {real}"))?;
            }
            let groups = process::status_field(pid, "Groups").unwrap_or_default();
            require(groups.is_empty(), || format!("{name} is in groups {groups}"))?;
            users.insert(uid(pid).unwrap_or_default(), name.to_owned());
            Ok(())
        })?;
        require(users.len() == 3, || format!("three daemons share users: {users:?}"))
    });
}

#[test]
fn each_daemon_is_locked_by_seccomp_landlock_and_no_new_privileges() {
    sandboxed(60, |lab| {
        let lan = network()?;
        let director = running(lab, &lan)?;
        each_daemon(&director, |name, pid, _| {
            for (field, value) in [("Seccomp", "2"), ("NoNewPrivs", "1")] {
                let found = process::status_field(pid, field).unwrap_or_default();
                require(found == value, || format!("{name} has {field} {found}"))?;
            }
            let status = daemon_status(&director, name).unwrap_or_default();
            let confined = &status["confined"];
            require(confined["landlock_abi"].as_u64() >= Some(1) && confined["file_system"] == true, || {
                format!("{name} is not under landlock: {confined}")
            })
        })
    });
}

/// Copies of the probe stand where the daemons stood; the real parent starts them by its real path, and each tries
/// every forbidden act.
#[test]
fn a_probe_in_each_daemons_place_is_refused_every_forbidden_act() {
    sandboxed(60, |lab| {
        let lan = network()?;
        let suite = install_ours()?;
        let results = suite.join("probe-results");
        let doing = "the probe's place";
        fs::create_dir_all(&results)
            .and_then(|()| fs::set_permissions(&results, fs::Permissions::from_mode(0o777)))
            .map_err(|cause| Failure::instrument(doing, cause))?;
        for (name, ..) in EXPECTED {
            fs::copy(build_directory().join("confinement-probe"), suite.join(name))
                .map_err(|cause| Failure::instrument(doing, cause))?;
        }
        let _director = Director::start(lab, lan.host("d1")?, Subject::Ours, &config(), &[])?;
        for (name, ..) in EXPECTED {
            let (text, _) = wait_for(&format!("the probe in the place of {name} is done"), START, || {
                complete(&results, name)
            })?;
            judge(name, &text)?;
        }
        Ok(())
    });
}

/// The results of the probe in one place, when it has finished.
fn complete(results: &Path, name: &str) -> Option<String> {
    fs::read_dir(results).ok()?.filter_map(|entry| Some(entry.ok()?.path())).find_map(|path| {
        let file = path.file_name()?.to_str()?;
        let text = fs::read_to_string(&path).ok()?;
        (file.starts_with(name) && text.lines().any(|line| line == "done")).then_some(text)
    })
}

/// Lines of three words: act, expected, got.
fn judge(name: &str, text: &str) -> Result<(), Failure> {
    let mut acts = 0;
    for line in text.lines() {
        let [act, expected, got] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
        if matches!(act, "landlock" | "refused") {
            continue;
        }
        // What an act gives may differ between kernels; then it is only tried.
        require(expected == got || expected == "any", || {
            format!("{name}: {act} should give {expected}, gave {got}")
        })?;
        acts += 1;
    }
    require(acts >= 40, || format!("{name}: only {acts} acts were tried:\n{text}"))
}
