//! State machine of one virtual router (RFC 9568 section 6.4; RFC 3768 section 6.4 differs only in timers).
//!
//! Decides state, deadlines and what follows from them. Sends, programs and logs nothing: it returns [`Action`]s for
//! the driver, in the order in which they are to be done. Adverts reach it through `accept` and are believed as far
//! as VRRP can: what is refused there never gets here, so it changes no timer.
//!
//! Contract: call [`Machine::handle`] with every input and, at [`Machine::poll_deadline`], with [`Input::Tick`]
//! after the receive queue has been drained.

mod action;
mod hear;
mod input;
mod owner;
mod settings;

use std::net::IpAddr;

use config::model::units::{AdvertInterval, MonoTime, Priority};
use config::model::vrrp::Version;

pub use action::{Action, Entered, Note, Notify};
pub use input::{Input, Memory};
pub use settings::Settings;

use owner::Rivalry;

use super::faults::Faults;
use super::timers::{self, Punctuality};
/// State with its deadlines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not started, or ended.
    Init,
    /// Waits for the Master to fall silent.
    Backup(Backup),
    /// Holds the addresses.
    Master {
        /// When the next advert is due.
        advert_at: MonoTime,
    },
    /// Can't take part, for these reasons.
    Fault(Faults),
}

/// What a Backup knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// When the Master counts as gone.
    pub down_at: MonoTime,
    /// Interval of the Master (RFC 9568 section 6.1, `Active_Adver_Interval`).
    pub learned: AdvertInterval,
    /// Sender of the last accepted advert.
    pub master: Option<IpAddr>,
    /// `preempt_delay` runs until then.
    pub preempt_at: Option<MonoTime>,
    /// No advert has held it back since its wait ran out: it becomes Master as soon as its sync group may.
    pub ready: bool,
}

/// State machine of one virtual router.
#[derive(Debug, Clone)]
pub struct Machine {
    settings: Settings,
    effective: Priority,
    state: State,
    answered_at: Option<MonoTime>,
    rivalry: Rivalry,
}

impl Machine {
    /// A machine that waits for [`Input::Startup`] or [`Input::Resume`].
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            effective: settings.priority,
            settings,
            state: State::Init,
            answered_at: None,
            rivalry: Rivalry::None,
        }
    }

    /// Present state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Present settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Effective priority.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.effective
    }

    /// Sender of the last accepted advert, while Backup.
    #[must_use]
    pub fn master(&self) -> Option<IpAddr> {
        match &self.state {
            State::Backup(backup) => backup.master,
            State::Init | State::Master { .. } | State::Fault(_) => None,
        }
    }

    /// True while the addresses are ours.
    #[must_use]
    pub fn is_master(&self) -> bool {
        matches!(self.state, State::Master { .. })
    }

    /// True for a Backup whose Master has been silent for long enough.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(&self.state, State::Backup(backup) if backup.ready)
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<MonoTime> {
        match &self.state {
            State::Backup(backup) => Some(backup.down_at),
            State::Master { advert_at } => Some(*advert_at),
            State::Init | State::Fault(_) => None,
        }
    }

    /// Takes one input; what follows from it is appended to `out`.
    pub fn handle(&mut self, input: Input, now: MonoTime, out: &mut Vec<Action>) {
        match input {
            Input::Startup { delay, faults } => self.start(now, delay, faults, out),
            Input::Resume(memory) => self.resume(memory, now, out),
            Input::Shutdown => self.shut_down(out),
            Input::Advert(heard) => self.hear(heard, now, out),
            Input::Tick => self.tick(now, out),
            Input::Faults(faults) => self.judge(faults, now, out),
            Input::Priority(priority) => self.change_priority(priority, out),
            Input::Configure(settings) => self.configure(settings, now),
            Input::Promote => {
                if matches!(self.state, State::Backup(_)) {
                    self.become_master(now, out);
                }
            }
            Input::Demote => self.demote(now, out),
            Input::StepDown => self.step_down(now, out),
        }
    }

    /// Section 6.4.1, Init.
    fn start(&mut self, now: MonoTime, delay: std::time::Duration, faults: Faults, out: &mut Vec<Action>) {
        if !faults.is_empty() {
            self.state = State::Fault(faults);
            out.push(entered(Entered::Fault, Notify::News));
        } else if self.is_eager_owner() && delay.is_zero() && !self.settings.grouped {
            out.push(Action::Note(Note::AdvertTimeout));
            self.become_master(now, out);
        } else {
            let wait =
                if self.is_eager_owner() { std::time::Duration::ZERO } else { self.own_down_interval() };
            self.state = State::Backup(self.fresh_backup(now + delay + wait));
            out.push(entered(Entered::BackupAtStart, Notify::News));
        }
    }

    /// A Master's successor is Master while no peer can have given up on it, and starts afresh after that.
    fn resume(&mut self, memory: Memory, now: MonoTime, out: &mut Vec<Action>) {
        match memory {
            Memory::Master { last_advert, interval } => {
                let patience = interval.duration() * u32::from(self.settings.down_timer_adverts);
                if now < last_advert + patience {
                    self.state = State::Master { advert_at: last_advert + interval.duration() };
                    out.push(entered(Entered::Master, Notify::Repetition));
                    out.push(Action::VerifyAddresses);
                } else {
                    out.push(Action::ReleaseAddresses);
                    self.become_backup(now, self.settings.interval, None, Notify::News, out);
                }
            }
            Memory::Backup => {
                self.become_backup(now, self.settings.interval, None, Notify::Repetition, out);
            }
        }
    }

    /// Sections 6.4.2 and 6.4.3, "If a Shutdown event is received".
    fn shut_down(&mut self, out: &mut Vec<Action>) {
        if self.is_master() {
            out.push(Action::SendAdvert(Priority::RESIGN));
            out.push(Action::ReleaseAddresses);
        }
        self.rivalry = Rivalry::None;
        self.state = State::Init;
    }

    fn tick(&mut self, now: MonoTime, out: &mut Vec<Action>) {
        match &self.state {
            // The members of a sync group wait for the last one; meanwhile each keeps listening.
            State::Backup(backup) if now >= backup.down_at && self.settings.grouped => {
                let first = !backup.ready;
                let wait = self.own_down_interval();
                if let State::Backup(backup) = &mut self.state {
                    backup.ready = true;
                    backup.down_at = now + wait;
                }
                if first {
                    out.push(Action::Note(Note::AdvertTimeout));
                }
            }
            // Section 6.4.2, "If the Active_Down_Timer fires".
            State::Backup(backup) if now >= backup.down_at => {
                out.push(Action::Note(Note::AdvertTimeout));
                self.become_master(now, out);
            }
            // keepalived.conf(5) timer_expired_backup: somebody has won and announced meanwhile.
            State::Master { advert_at } if self.has_been_replaced(*advert_at, now) => {
                out.push(Action::Note(Note::TimerExpired));
                out.push(Action::ReleaseAddresses);
                self.become_backup(now, self.settings.interval, None, Notify::News, out);
            }
            // Section 6.4.3, "If the Adver_Timer fires".
            State::Master { advert_at } if now >= *advert_at => {
                let (due, interval) = (*advert_at, self.settings.interval);
                out.push(Action::SendAdvert(self.effective));
                if timers::punctuality(due, interval, now) == Punctuality::Late {
                    out.push(Action::AnnounceLate);
                }
                self.state = State::Master { advert_at: timers::next_advert(due, interval, now) };
            }
            State::Init | State::Backup(_) | State::Master { .. } | State::Fault(_) => {}
        }
    }

    /// True when a Backup of the configured priority has missed enough adverts to be Master by now.
    fn has_been_replaced(&self, advert_at: MonoTime, now: MonoTime) -> bool {
        let Settings { timer_expired_backup, version, interval, .. } = self.settings;
        timer_expired_backup.is_some_and(|priority| {
            // Two more intervals than the one that was due, RFC 9568 section 6.1.
            now >= advert_at + interval.duration() * 2 + timers::skew_time(version, priority, interval)
        })
    }

    fn judge(&mut self, faults: Faults, now: MonoTime, out: &mut Vec<Action>) {
        match &mut self.state {
            State::Init => {}
            State::Fault(_) if faults.is_empty() => {
                if self.is_eager_owner() && !self.settings.grouped {
                    self.become_master(now, out);
                } else {
                    self.become_backup(now, self.settings.interval, None, Notify::News, out);
                    self.hurry(now);
                }
            }
            State::Fault(known) => *known = faults,
            State::Backup(_) | State::Master { .. } if faults.is_empty() => {}
            State::Backup(_) | State::Master { .. } => {
                if self.is_master() {
                    out.push(Action::SendAdvert(Priority::RESIGN));
                    out.push(Action::ReleaseAddresses);
                }
                self.end_rivalry(out);
                self.state = State::Fault(faults);
                out.push(entered(Entered::Fault, Notify::News));
            }
        }
    }

    /// Its sync group falls: priority 0, so that the peers that have won elsewhere take this address at once, too.
    fn demote(&mut self, now: MonoTime, out: &mut Vec<Action>) {
        if self.is_master() {
            out.push(Action::SendAdvert(Priority::RESIGN));
            out.push(Action::ReleaseAddresses);
            self.become_backup(now, self.settings.interval, None, Notify::News, out);
        }
    }

    /// Resigns as if somebody else had: the election takes a skew time (`vip_restore upstream`).
    fn step_down(&mut self, now: MonoTime, out: &mut Vec<Action>) {
        if !self.is_master() {
            return;
        }
        self.demote(now, out);
        let skew = timers::skew_time(self.settings.version, self.timer_priority(), self.settings.interval);
        if let State::Backup(backup) = &mut self.state {
            backup.down_at = backup.down_at.min(now + skew);
        }
    }

    /// Members of a group of owners don't wait for adverts.
    fn hurry(&mut self, now: MonoTime) {
        let eager = self.is_eager_owner();
        if let State::Backup(backup) = &mut self.state
            && eager
        {
            backup.down_at = now;
        }
    }

    fn change_priority(&mut self, priority: Priority, out: &mut Vec<Action>) {
        if priority == self.effective || self.is_lowered() {
            return;
        }
        out.push(Action::Note(Note::PriorityChanged { from: self.effective, to: priority }));
        let before = self.timer_priority();
        self.effective = priority;
        self.shift_down_timer(before);
    }

    /// A running wait keeps its start and changes its length by the difference of the skews.
    fn shift_down_timer(&mut self, before: Priority) {
        let (after, version) = (self.timer_priority(), self.settings.version);
        if let State::Backup(backup) = &mut self.state {
            let (old, new) = (
                timers::skew_time(version, before, backup.learned),
                timers::skew_time(version, after, backup.learned),
            );
            backup.down_at = backup.down_at + new - old;
        }
    }

    fn configure(&mut self, settings: Settings, now: MonoTime) {
        let interval_changed = settings.interval != self.settings.interval;
        let wait_changed = settings.down_timer_adverts != self.settings.down_timer_adverts
            || settings.version != self.settings.version;
        let before = self.timer_priority();
        self.settings = settings;
        if self.settings.priority != Priority::OWNER {
            self.rivalry = Rivalry::None;
        }
        self.shift_down_timer(before);
        let own = self.own_down_interval();
        let (interval, version) = (self.settings.interval, self.settings.version);
        match &mut self.state {
            State::Master { advert_at } if interval_changed => {
                *advert_at = (*advert_at).min(now + interval.duration());
            }
            State::Backup(backup) if wait_changed || (interval_changed && version == Version::V2) => {
                backup.learned = interval;
                backup.down_at = now + own;
            }
            State::Init | State::Backup(_) | State::Master { .. } | State::Fault(_) => {}
        }
    }

    /// Section 6.4.2: "Send an ADVERTISEMENT. [..] Set the Adver_Timer to Advertisement_Interval. Transition to the
    /// Active state." The advert precedes the addresses, the addresses their announcement.
    fn become_master(&mut self, now: MonoTime, out: &mut Vec<Action>) {
        self.end_rivalry(out);
        out.push(Action::SendAdvert(self.effective));
        out.push(Action::ClaimAddresses);
        self.answered_at = None;
        let to = self.settings.interval;
        let from = match &self.state {
            State::Backup(backup) => backup.learned,
            State::Init | State::Master { .. } | State::Fault(_) => to,
        };
        self.state = State::Master { advert_at: now + to.duration() };
        out.push(entered(Entered::Master, Notify::News));
        if from != to {
            out.push(Action::Note(Note::IntervalRestored { from, to }));
        }
    }

    fn become_backup(
        &mut self,
        now: MonoTime,
        learned: AdvertInterval,
        master: Option<IpAddr>,
        notify: Notify,
        out: &mut Vec<Action>,
    ) {
        let Settings { version, down_timer_adverts, .. } = self.settings;
        let wait = timers::master_down_interval(version, self.timer_priority(), learned, down_timer_adverts);
        self.state =
            State::Backup(Backup { down_at: now + wait, learned, master, preempt_at: None, ready: false });
        out.push(entered(Entered::Backup, notify));
    }

    fn fresh_backup(&self, down_at: MonoTime) -> Backup {
        let learned = self.settings.interval;
        Backup { down_at, learned, master: None, preempt_at: None, ready: false }
    }

    fn own_down_interval(&self) -> std::time::Duration {
        let Settings { version, interval, down_timer_adverts, .. } = self.settings;
        timers::master_down_interval(version, self.timer_priority(), interval, down_timer_adverts)
    }

    /// Only an owner that is configured as Master takes over without waiting.
    fn is_eager_owner(&self) -> bool {
        self.settings.priority == Priority::OWNER && self.settings.wants_master
    }

    /// Timers of an owner run with 255 whatever its present priority.
    fn timer_priority(&self) -> Priority {
        if self.settings.priority == Priority::OWNER { Priority::OWNER } else { self.effective }
    }
}

fn entered(state: Entered, notify: Notify) -> Action {
    Action::Entered { state, notify }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
