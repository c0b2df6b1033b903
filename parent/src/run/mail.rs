//! Letters: taken in, handed to checkd, handed again to its successor.

use std::time::Duration;

use config::model::process::InstanceNotify;
use config::model::units::MonoTime;
use ipc::channel::{Channel, MAX_QUEUE};
use ipc::messages::Level;
use ipc::messages::checkd::{CheckdToParent, MAX_LETTER_TEXT, ParentToCheckd};
use ipc::messages::ctl::Daemon;
use ipc::reactor;
use sandbox::system::process::local_offset;

use super::Suite;
use super::link::Link;
use crate::effects::notify::News;
use crate::supervisor::Serial;

/// Least time between two lines about lost letters.
const QUIET: Duration = Duration::from_secs(60);
/// Bytes that wait for checkd while letters are still sent to it: nobody's flood of news makes it look hung.
const BEHIND: usize = MAX_QUEUE / 4;

impl Suite {
    /// A change of an instance or a group.
    pub(super) fn mail_news(&mut self, news: &News<'_>, notify: &InstanceNotify) {
        let no_faults = self.broker.part().process.no_email_faults;
        if let Some((subject, body)) = self.postbox.news(news, notify, no_faults) {
            self.mail(&subject, body);
        }
    }

    /// checkd wants a mail to be sent; false when it may not.
    pub(super) fn mail_of_checkd(&mut self, subject: &str, body: &str) -> bool {
        let fits = subject.len() <= MAX_LETTER_TEXT && body.len() <= MAX_LETTER_TEXT;
        if fits && self.parts.has_mail {
            self.mail(subject, body);
        }
        fits
    }

    fn mail(&mut self, subject: &str, body: &str) {
        let now = reactor::wall_clock().as_secs();
        let offset = i32::try_from(local_offset(now)).unwrap_or(0);
        let when = (i64::try_from(now).unwrap_or(0), offset);
        let router = self.broker.part().process.router_id.clone();
        let letter = self.postbox.post(&router, when, subject, body);
        let Some((serial, channel)) = self.checkd() else { return };
        if channel.queued() > BEHIND {
            return self.postbox.gone(letter.number, false);
        }
        let sent = channel.send(&ParentToCheckd::Deliver(letter), &[]);
        self.check_sent(serial, sent);
    }

    /// Letters that a new checkd should know.
    pub(super) fn hand_letters(&mut self, serial: Serial) {
        let letters: Vec<_> = self.postbox.waiting().cloned().collect();
        let Some(process) = self.processes.get_mut(&serial) else { return };
        let Link::Checkd(channel) = &mut process.link else { return };
        let mut letters = letters.into_iter();
        let sent = letters.try_for_each(|letter| channel.send(&ParentToCheckd::Deliver(letter), &[]));
        self.check_sent(serial, sent);
    }

    /// Says now and then how many letters were lost.
    pub(super) fn tick_mail(&mut self, now: MonoTime) {
        if now < self.mail_quiet_until {
            return;
        }
        let lost = self.postbox.take_untold();
        if lost > 0 {
            self.mail_quiet_until = now + QUIET;
            self.say(Level::Warning, &format!("{lost} mails were lost, {} since start", self.postbox.lost()));
        }
    }

    /// The suite ends: what is not delivered never will be.
    pub(super) fn count_undelivered(&mut self) {
        let waiting = self.postbox.waiting().count();
        if waiting > 0 {
            self.say(Level::Warning, &format!("{waiting} mails were not delivered"));
        }
    }

    /// The checkd that acts. One that comes later gets all letters with its `Commit`.
    fn checkd(&mut self) -> Option<(Serial, &mut Channel<ParentToCheckd, CheckdToParent>)> {
        let serial = self.supervisors.get(&Daemon::Checkd)?.acting()?;
        match &mut self.processes.get_mut(&serial)?.link {
            Link::Checkd(channel) => Some((serial, channel)),
            Link::Vrrpd(_) | Link::Ipvsd(_) => None,
        }
    }
}
