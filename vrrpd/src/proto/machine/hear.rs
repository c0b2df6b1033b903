//! Accepted adverts (RFC 9568 sections 6.4.2 and 6.4.3, "If an ADVERTISEMENT is received").

use config::model::units::{MonoTime, Priority};
use config::model::vrrp::Preempt;

use super::{Action, Machine, Note, Notify, State};
use crate::proto::accept::Heard;
use crate::proto::timers::{self, Punctuality};

impl Machine {
    pub(super) fn hear(&mut self, heard: Heard, now: MonoTime, out: &mut Vec<Action>) {
        match &self.state {
            State::Backup(_) => self.hear_as_backup(heard, now, out),
            State::Master { advert_at } => {
                let advert_at = *advert_at;
                self.hear_as_master(heard, advert_at, now, out);
            }
            State::Init | State::Fault(_) => {}
        }
    }

    /// Section 6.4.2, "If an ADVERTISEMENT is received".
    fn hear_as_backup(&mut self, heard: Heard, now: MonoTime, out: &mut Vec<Action>) {
        if self.is_lowered() && !matches!(heard.priority, Priority::OWNER | Priority::RESIGN) {
            self.end_rivalry(out);
        }
        let (own, preempt, version) = (self.effective, self.settings.preempt, self.settings.version);
        let skewed = self.timer_priority();
        let adverts = self.settings.down_timer_adverts;
        let State::Backup(backup) = &mut self.state else { return };
        if heard.priority == Priority::RESIGN {
            // "If the Priority in the ADVERTISEMENT is 0, set the Active_Down_Timer to Skew_Time."
            out.push(Action::Note(Note::Resigned(heard)));
            backup.down_at = now + timers::skew_time(version, skewed, backup.learned);
            return;
        }
        if heard.priority >= own {
            backup.preempt_at = None;
        } else if let Preempt::After(delay) = preempt {
            if backup.preempt_at.is_none() && !delay.is_zero() {
                out.push(Action::Note(Note::PreemptDelay(delay)));
            }
            let due = *backup.preempt_at.get_or_insert(now + delay);
            if now >= due {
                // "Else: discard the ADVERTISEMENT": the timer runs out and we take over.
                out.push(Action::Note(Note::LowerDiscarded(heard)));
                return;
            }
        }
        backup.ready = false;
        // "Set Active_Adver_Interval to Adver Interval contained in the ADVERTISEMENT. Recompute the
        // Skew_Time and the Active_Down_Interval. Reset the Active_Down_Timer to Active_Down_Interval."
        if backup.learned != heard.interval {
            out.push(Action::Note(Note::IntervalLearned { from: backup.learned, to: heard.interval }));
        }
        backup.learned = heard.interval;
        backup.master = Some(heard.source);
        backup.down_at = now + timers::master_down_interval(version, skewed, heard.interval, adverts);
    }

    /// Section 6.4.3, "If an ADVERTISEMENT is received".
    fn hear_as_master(&mut self, heard: Heard, advert_at: MonoTime, now: MonoTime, out: &mut Vec<Action>) {
        if heard.priority == Priority::RESIGN {
            // "If the Priority in the ADVERTISEMENT is 0, send an ADVERTISEMENT. Reset the Adver_Timer."
            out.push(Action::Note(Note::RivalResigned));
            out.push(Action::SendAdvert(self.effective));
            self.state = State::Master { advert_at: now + self.settings.interval.duration() };
            return;
        }
        if Some(heard.source) == self.settings.address {
            out.push(Action::Note(Note::OwnAddressHeard(heard)));
            return;
        }
        if self.settings.address.is_some_and(|own| heard.source < own) {
            self.meet_rival(heard, now, out);
        }
        let higher = heard.priority > self.effective;
        let equal = heard.priority == self.effective;
        if higher || (equal && self.settings.address.is_none_or(|own| heard.source > own)) {
            let note = if higher { Note::HigherHeard(heard) } else { Note::HigherAddressHeard(heard) };
            out.push(Action::Note(note));
            self.yield_to(heard, advert_at, now, out);
        } else {
            self.answer(heard, now, out);
        }
    }

    /// "If the Priority in the ADVERTISEMENT is greater [..]: cancel Adver_Timer, [..] transition to Backup." One
    /// advert first, so that the winner learns of the conflict; after a stall the winner has announced long ago.
    fn yield_to(&mut self, heard: Heard, advert_at: MonoTime, now: MonoTime, out: &mut Vec<Action>) {
        let punctual = timers::punctuality(advert_at, self.settings.interval, now) == Punctuality::OnTime;
        if self.settings.higher_priority_send_advert && punctual {
            out.push(Action::SendAdvert(self.effective));
        }
        if heard.interval != self.settings.interval {
            let from = self.settings.interval;
            out.push(Action::Note(Note::IntervalLearned { from, to: heard.interval }));
        }
        out.push(Action::ReleaseAddresses);
        self.become_backup(now, heard.interval, Some(heard.source), Notify::News, out);
    }

    /// "Else: discard the ADVERTISEMENT and immediately send an ADVERTISEMENT", at most one per interval. The regular
    /// schedule goes on.
    fn answer(&mut self, heard: Heard, now: MonoTime, out: &mut Vec<Action>) {
        let answered = !self.settings.lower_priority_no_advert;
        out.push(Action::Note(Note::LowerAnswered { heard, answered }));
        let pause = self.settings.interval.duration();
        if self.answered_at.is_some_and(|last| now < last + pause) {
            return;
        }
        self.answered_at = Some(now);
        if answered {
            out.push(Action::SendAdvert(self.effective));
        }
        out.push(Action::AnnounceConflict);
    }
}
