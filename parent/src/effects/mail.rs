//! Mail: what is written of a change of state, and the letters that checkd has not yet brought on their way.
//!
//! Pure. Every letter lies here until checkd says that it is delivered or lost, so that it survives checkd. What checkd
//! itself writes is a line of text that goes back to checkd alone; it names no recipient.

use std::collections::BTreeMap;

use config::model::process::InstanceNotify;
use ipc::messages::checkd::{Letter, MAX_LETTER_TEXT, MAX_LETTERS};
use ipc::messages::vrrpd::VrrpState;

use super::notify::{News, Told};
use crate::broker::Whose;

/// Letters that are not yet delivered.
#[derive(Debug, Default)]
pub struct Postbox {
    waiting: BTreeMap<u64, Letter>,
    last: u64,
    lost: u64,
    untold: u64,
    /// State that was mailed last, by kind and name.
    mailed: BTreeMap<(&'static str, String), &'static str>,
}

impl Postbox {
    /// A letter about an instance or group; `None` when none is wanted or the last one said the same. Subject and line.
    pub fn news(
        &mut self,
        news: &News<'_>,
        notify: &InstanceNotify,
        no_faults: bool,
    ) -> Option<(String, &'static str)> {
        let is_fault = news.told == Told::State(VrrpState::Fault);
        if !notify.mail || (no_faults && is_fault) {
            return None;
        }
        let (title, body) = words(news)?;
        let key = (news.whose.word(), news.name.to_owned());
        let before = self.mailed.insert(key, news.told.word());
        if before == Some(news.told.word()) {
            return None;
        }
        let kind = match news.whose {
            Whose::Instance => "Instance",
            Whose::Group => "Group",
        };
        Some((format!("VRRP {kind} {} - {title}", news.name), body))
    }

    /// Takes a letter in: the oldest makes room. Returns it for checkd.
    pub fn post(&mut self, router: &str, when: (i64, i32), subject: &str, body: &str) -> Letter {
        self.last = self.last.saturating_add(1);
        let (sent, offset) = when;
        let subject = bounded(format!("[{router}] {subject}"));
        let letter = Letter { number: self.last, sent, offset, subject, body: bounded(body.to_owned()) };
        self.waiting.insert(self.last, letter.clone());
        if self.waiting.len() > MAX_LETTERS {
            self.waiting.pop_first();
            self.lose();
        }
        letter
    }

    /// checkd is done with a letter. One that is not known any more is no matter.
    pub fn gone(&mut self, number: u64, delivered: bool) {
        if self.waiting.remove(&number).is_some() && !delivered {
            self.lose();
        }
    }

    /// Letters for a successor of checkd.
    pub fn waiting(&self) -> impl Iterator<Item = &Letter> {
        self.waiting.values()
    }

    /// Letters that nobody will ever get, since start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The same since the last call.
    pub fn take_untold(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }

    fn lose(&mut self) {
        self.lost = self.lost.saturating_add(1);
        self.untold = self.untold.saturating_add(1);
    }
}

fn words(news: &News<'_>) -> Option<(&'static str, &'static str)> {
    let owning = match news.told {
        Told::State(VrrpState::Master) => "=> VRRP Instance is now owning VRRP VIPs <=",
        Told::State(VrrpState::Backup | VrrpState::Fault) => {
            "=> VRRP Instance is no longer owning VRRP VIPs <="
        }
        Told::State(VrrpState::Init) | Told::LowerPriority => return None,
        Told::Stop => "=> VRRP Instance stopping <=",
        Told::Deleted => "=> VRRP Deleted at reload <=",
    };
    let (title, together) = match news.told {
        Told::State(VrrpState::Master) => {
            ("Entering MASTER state", "=> All VRRP group instances are now in MASTER state <=")
        }
        Told::State(VrrpState::Backup) => {
            ("Entering BACKUP state", "=> All VRRP group instances are now in BACKUP state <=")
        }
        Told::State(VrrpState::Fault) => {
            ("Entering FAULT state", "=> All VRRP group instances are now in FAULT state <=")
        }
        Told::State(VrrpState::Init) | Told::LowerPriority => return None,
        Told::Stop => ("Stopping", "=> All VRRP group instances are now stopping <="),
        Told::Deleted => ("Deleted", "=> VRRP Deleted at reload <="),
    };
    Some((title, if news.whose == Whose::Instance { owning } else { together }))
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_LETTER_TEXT {
        let end = (0..=MAX_LETTER_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use config::model::units::Priority;

    use super::*;

    const WHEN: (i64, i32) = (0, 0);

    fn mailed() -> InstanceNotify {
        InstanceNotify { mail: true, ..InstanceNotify::default() }
    }

    fn news(whose: Whose, told: Told) -> News<'static> {
        News { whose, name: "V1", told, priority: Priority::new(100) }
    }

    fn state(state: VrrpState) -> News<'static> {
        news(Whose::Instance, Told::State(state))
    }

    #[test]
    fn subjects_and_lines_are_those_of_keepalived() {
        let mut postbox = Postbox::default();
        let mut words = |news: News<'_>| postbox.news(&news, &mailed(), false).unwrap();
        let (subject, body) = words(state(VrrpState::Master));
        assert_eq!(subject, "VRRP Instance V1 - Entering MASTER state");
        assert_eq!(body, "=> VRRP Instance is now owning VRRP VIPs <=");
        let (subject, body) = words(news(Whose::Group, Told::State(VrrpState::Fault)));
        assert_eq!(subject, "VRRP Group V1 - Entering FAULT state");
        assert_eq!(body, "=> All VRRP group instances are now in FAULT state <=");
        assert_eq!(words(news(Whose::Instance, Told::Stop)).0, "VRRP Instance V1 - Stopping");
    }

    #[test]
    fn a_state_is_mailed_once_until_another_was() {
        let mut postbox = Postbox::default();
        let mut count = |what| postbox.news(&state(what), &mailed(), false).iter().count();
        let states = [VrrpState::Backup, VrrpState::Backup, VrrpState::Master, VrrpState::Backup];
        assert_eq!(states.map(&mut count), [1, 0, 1, 1]);
    }

    #[test]
    fn who_wants_no_mail_gets_none() {
        let mut postbox = Postbox::default();
        assert_eq!(postbox.news(&state(VrrpState::Master), &InstanceNotify::default(), false), None);
        assert_eq!(postbox.news(&state(VrrpState::Fault), &mailed(), true), None);
        assert!(postbox.news(&state(VrrpState::Backup), &mailed(), true).is_some());
    }

    #[test]
    fn letters_wait_for_checkd_and_the_oldest_makes_room() {
        let mut postbox = Postbox::default();
        for _ in 0..300 {
            postbox.post("lb1", WHEN, "S", "B");
        }
        assert_eq!((postbox.waiting().count(), postbox.lost()), (256, 44));
        let first = postbox.waiting().next().unwrap().clone();
        assert_eq!((first.number, first.subject.as_str()), (45, "[lb1] S"));
        postbox.gone(45, true);
        postbox.gone(46, false);
        postbox.gone(46, false);
        assert_eq!((postbox.waiting().count(), postbox.lost(), postbox.take_untold()), (254, 45, 45));
        assert_eq!(postbox.take_untold(), 0);
    }
}
