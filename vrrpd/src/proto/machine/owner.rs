//! Two routers that both believe to own the addresses (priority 255).
//!
//! RFC 9568 knows no such case: of two that listen, the one with the lower address yields as between any equals. If the
//! other one hears nobody, the one that listens gives way in the end, at priority 254, until the other is gone.

use std::net::IpAddr;

use config::model::units::{MonoTime, Priority};

use super::{Action, Machine, Note};
use crate::proto::accept::Heard;

/// How far the matter has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rivalry {
    /// Nobody else claims to be the owner.
    None,
    /// Another one does.
    Met {
        /// Who.
        rival: IpAddr,
        /// When it was heard last.
        heard_at: MonoTime,
        /// When we give way.
        until: MonoTime,
    },
    /// We have given way.
    Lowered,
}

/// Priority of an owner that has given way.
const LOWERED: Priority = Priority::new(254);

impl Machine {
    /// A Master hears an equal priority from a lower address. An owner that has told the other one by two adverts of
    /// its own, and has waited 1.2 intervals more, gives way: its priority is lower from now on.
    pub(super) fn meet_rival(&mut self, heard: Heard, now: MonoTime, out: &mut Vec<Action>) {
        if heard.priority != Priority::OWNER || self.settings.priority != Priority::OWNER {
            return;
        }
        let own = self.settings.interval.duration();
        let longest = own.max(heard.interval.duration());
        match self.rivalry {
            Rivalry::Met { rival, heard_at, until }
                if rival == heard.source && now < heard_at + longest * 3 =>
            {
                if now < until {
                    self.rivalry = Rivalry::Met { rival, heard_at: now, until };
                    return;
                }
                self.rivalry = Rivalry::Lowered;
                out.push(Action::Note(Note::PriorityChanged { from: self.effective, to: LOWERED }));
                self.effective = LOWERED;
            }
            Rivalry::None | Rivalry::Met { .. } | Rivalry::Lowered => {
                let until = now + own * 2 + longest * 6 / 5;
                self.rivalry = Rivalry::Met { rival: heard.source, heard_at: now, until };
                out.push(Action::Note(Note::RivalOwner(heard)));
            }
        }
    }

    /// True for an owner that has given way.
    pub(super) fn is_lowered(&self) -> bool {
        self.rivalry == Rivalry::Lowered
    }

    /// The other owner is gone, or we are.
    pub(super) fn end_rivalry(&mut self, out: &mut Vec<Action>) {
        if self.is_lowered() {
            out.push(Action::Note(Note::PriorityChanged {
                from: self.effective,
                to: self.settings.priority,
            }));
            self.effective = self.settings.priority;
        }
        self.rivalry = Rivalry::None;
    }
}
