//! The part of `keepalived.data` about scripts, files and processes that instances track.
//!
//! Pure, like all of [`super`]: from a [`Snapshot`], in keepalived's words. Called by [`super::text`].

use std::fmt::Write as _;
use std::time::Duration;

use config::model::process::{Identity, Script};
use config::model::track::{ProcessPattern, TrackedProcess, WatchedFile};
use config::model::units::{FileId, ProcessId};
use config::model::vrrp::{Instance, TrackedScript};

use super::instance::weighted;
use super::text::line;
use super::{Snapshot, quoted};

/// All of them, each kind behind a title if there is any.
pub(super) fn trackers(page: &mut String, snapshot: &Snapshot) {
    let title = |page: &mut String, kind: &str| line!(page, "------< VRRP {kind} >------");
    if !snapshot.head.tracked_scripts.is_empty() {
        title(page, "Scripts");
    }
    for (index, known) in (0_u32..).zip(&snapshot.head.tracked_scripts) {
        script(page, known, snapshot.commands.get(&known.script));
        tracking(page, snapshot, |instance| {
            let found = instance.track_scripts.iter().find(|track| track.tracked == index);
            found.map(|track| (track.weight, track.reverse))
        });
    }
    let files =
        || (0_u32..).map(FileId::new).zip(&snapshot.files).filter(|(_, (file, _))| file.audience.vrrpd);
    if files().next().is_some() {
        title(page, "Track files");
    }
    for (id, (known, value)) in files() {
        file(page, known, *value);
        tracking(page, snapshot, |instance| {
            let found = instance.track_files.iter().find(|track| track.file == id);
            found.map(|track| (track.weight, track.reverse))
        });
    }
    if !snapshot.processes.is_empty() {
        title(page, "Track processes");
    }
    let processes = snapshot.processes.iter().zip(&snapshot.head.tracked_processes);
    for (id, ((pattern, count), config)) in (0_u32..).map(ProcessId::new).zip(processes) {
        process(page, pattern, count.unwrap_or(0), config);
        tracking(page, snapshot, |instance| {
            let found = instance.track_processes.iter().find(|track| track.process == id);
            found.map(|track| (track.weight, track.reverse))
        });
    }
}

/// The instances that track it, by the weight that it has for each.
fn tracking(page: &mut String, snapshot: &Snapshot, weight: impl Fn(&Instance) -> Option<(i16, bool)>) {
    line!(page, "   Tracking instances :");
    for (instance, _) in &snapshot.instances {
        if let Some((weight, reverse)) = weight(instance) {
            line!(page, "     {}, {}", instance.name, weighted(weight, reverse));
        }
    }
}

fn script(page: &mut String, script: &TrackedScript, command: Option<&Script>) {
    line!(page, " VRRP Script = {}", script.name);
    if let Some(command) = command {
        line!(page, "   Command = {}", quoted(command));
    }
    line!(page, "   Interval = {} sec", thousandths(script.interval));
    line!(page, "   Timeout = {} sec", thousandths(script.timeout));
    line!(page, "   Weight = {}", factor(script.weight, script.reverse));
    line!(page, "   Rise = {}", script.rise);
    line!(page, "   Fall = {}", script.fall);
    line!(page, "   Init state = {}", if script.init_fail { "failed" } else { "unknown" });
    if let Some(Identity { uid, gid, .. }) = command.map(|command| &command.identity) {
        line!(page, "   Script uid:gid = {uid}:{gid}");
    }
}

fn file(page: &mut String, file: &WatchedFile, value: i64) {
    line!(page, " Track file = {}", file.name);
    line!(page, "   File = {}", file.path);
    line!(page, "   Status = {value}");
    line!(page, "   Weight = {}", factor(file.weight, file.reverse));
}

fn process(page: &mut String, pattern: &ProcessPattern, count: u32, config: &TrackedProcess) {
    line!(page, " VRRP Track process = {}", pattern.name);
    line!(page, "   Process = {}", pattern.program);
    line!(page, "   Min processes = {}", config.quorum);
    if let Some(max) = config.quorum_max {
        line!(page, "   Max processes = {max}");
    }
    line!(page, "   Current processes = {count}");
    let enough = (config.quorum..=config.quorum_max.unwrap_or(u32::MAX)).contains(&count);
    line!(page, "   Have quorum = {enough}");
    line!(page, "   Weight = {}", config.weight);
    line!(page, "   Terminate delay = {:.6}s", config.terminate_delay.as_secs_f64());
    line!(page, "   Fork delay = {:.6}s", config.fork_delay.as_secs_f64());
}

/// Whole seconds, or with three digits behind the point.
fn thousandths(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => duration.as_secs().to_string(),
        rest => format!("{}.{rest:03}", duration.as_secs()),
    }
}

fn factor(weight: i16, reverse: bool) -> String {
    format!("{weight}{}", if reverse { " reverse" } else { "" })
}
