//! Watch over the daemons that act: pings, and the hang rule of [`crate::hang`] with what /proc says of a suspect.

use std::fs;
use std::time::Duration;

use config::model::units::MonoTime;
use ipc::messages::ToDaemon;
use ipc::messages::ctl::Daemon;
use ipc::reactor;

use super::Suite;
use super::processes::PING;
use crate::hang::{self, HangWatch, Scheduled};
use crate::supervisor::Fault;

impl Suite {
    /// Hang rule and pings.
    pub(super) fn watch_over(&mut self, now: MonoTime) {
        let shortest = self.vault.shortest_patience();
        let heartbeat = self.vault.heartbeat();
        let mut hung = Vec::new();
        for (&serial, process) in &mut self.processes {
            let Some(supervisor) = self.supervisors.get(&process.daemon) else { continue };
            if supervisor.acting() != Some(serial) || !supervisor.is_running() {
                process.watch = None;
                process.next_ping = now + PING;
                continue;
            }
            let watch = process.watch.get_or_insert_with(|| HangWatch::new(now));
            let mut limit = hang::OTHERS;
            if let (Daemon::Vrrpd, Some(beat)) = (process.daemon, heartbeat) {
                // A beat that lies in the future would be taken for progress for ever.
                if beat.at <= reactor::now() {
                    watch.progress(beat.at);
                }
                limit = hang::limit(shortest);
            }
            watch.tighten(limit, now);
            if watch.doubts(limit, now) {
                match state(process.pid) {
                    // That is certain, and the patience of the peers runs.
                    Some('T') if limit < hang::OTHERS => {
                        hung.push((process.daemon, serial, Fault::Stopped));
                    }
                    // See `blame`: it may wait for the same lock again and again, and be seen between two of them.
                    Some('D') => watch.begin_anew(now),
                    _ => {
                        watch.note(scheduled(process.pid), now);
                        process.next_ping = now;
                    }
                }
            }
            if now >= process.next_ping {
                process.next_ping = now + PING;
                process.pings = process.pings.saturating_add(1);
                let _full_queue_is_a_hang = process.link.tell(ToDaemon::Ping(process.pings), &[]);
            }
            if now >= watch.deadline()
                && watch.check(limit, now)
                && let Some(fault) = blame(process.pid, watch, now)
            {
                hung.push((process.daemon, serial, fault));
            }
        }
        for (daemon, serial, fault) in hung {
            self.with_supervisor(daemon, |supervisor, out| supervisor.faulty(serial, fault, out));
        }
    }

    /// True when a daemon's start is late because it waits inside the kernel, as for the lock on the links of all
    /// namespaces, which somebody else may hold for seconds.
    pub(super) fn is_late_inside_the_kernel(&self, daemon: Daemon, now: MonoTime) -> bool {
        let late = self.supervisors.get(&daemon).and_then(|supervisor| supervisor.late(now));
        let process = late.and_then(|serial| self.processes.get(&serial));
        process.is_some_and(|process| state(process.pid) == Some('D'))
    }
}

/// What a process that made no progress is guilty of; `None` when it can do nothing about it.
fn blame(pid: i32, watch: &mut HangWatch, now: MonoTime) -> Option<Fault> {
    match state(pid) {
        Some('T' | 't') => Some(Fault::Stopped),
        // It waits inside the kernel, where no signal ends it and a successor would wait, too.
        Some('D') => {
            watch.begin_anew(now);
            None
        }
        _ => (!watch.was_starved(scheduled(pid), now)).then_some(Fault::Hung),
    }
}

/// State letter of a process (proc(5)).
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// Nothing where the kernel keeps no such account: then nobody is found to be starved.
fn scheduled(pid: i32) -> Scheduled {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let mut fields =
        text.split_whitespace().map(|field| field.parse().map_or(Duration::ZERO, Duration::from_nanos));
    let mut next = || fields.next().unwrap_or_default();
    let (ran, waited) = (next(), next());
    let processor = processor(pid).unwrap_or_default();
    let ready = state(pid) == Some('R');
    Scheduled { ran, waited, ready, processor, stolen: stolen(processor).unwrap_or_default() }
}

/// The processor that a process is on: field 39 of its line (proc(5)), 37th behind the name.
fn processor(pid: i32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(36)?.parse().ok()
}

/// What a hypervisor has taken from a processor since the machine was started: eighth number of its line, in
/// hundredths of a second.
fn stolen(processor: u32) -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let name = format!("cpu{processor}");
    let mut lines = stat.lines().map(str::split_whitespace);
    let mut fields = lines.find_map(|mut fields| (fields.next()? == name).then_some(fields))?;
    let ticks: u64 = fields.nth(7)?.parse().ok()?;
    Some(Duration::from_millis(ticks.saturating_mul(10)))
}
