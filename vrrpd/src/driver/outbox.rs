//! What the parent is told at the end of a turn: nobody waits for a log line while an address has no owner.
//!
//! Keeps the order of lines and messages. Called by the driver; bounded by what one turn does.

use ipc::daemon::Link;
use ipc::messages::Level;
use ipc::messages::vrrpd::{ParentToVrrpd, VrrpdToParent};

/// Lines and messages of one turn.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    letters: Vec<Letter>,
    detailed: bool,
}

#[derive(Debug)]
enum Letter {
    Line(Level, String),
    Message(VrrpdToParent),
}

impl Outbox {
    /// Details are wanted (`-D`).
    pub(super) fn detail(&mut self) {
        self.detailed = true;
    }

    /// True when details are wanted: nobody else's text need be made.
    pub(super) fn is_detailed(&self) -> bool {
        self.detailed
    }

    /// Adds a log line, unless it is a detail that nobody wants.
    pub(super) fn log(&mut self, level: Level, text: impl Into<String>) {
        if self.detailed || level != Level::Debug {
            self.letters.push(Letter::Line(level, text.into()));
        }
    }

    /// Adds a message.
    pub(super) fn send(&mut self, message: VrrpdToParent) {
        self.letters.push(Letter::Message(message));
    }

    /// Hands everything to the link. Messages that find its queue full are counted and named there.
    pub(super) fn flush(&mut self, link: &mut Link<VrrpdToParent, ParentToVrrpd>) {
        if self.letters.is_empty() {
            return;
        }
        link.cork();
        for letter in self.letters.drain(..) {
            match letter {
                Letter::Line(level, text) => link.log(level, text),
                Letter::Message(message) => {
                    if let Err(error) = link.send(&message, &[]) {
                        link.log(Level::Error, format!("the parent could not be told: {error}"));
                    }
                }
            }
        }
        // A parent that is gone is noticed when its end of file is read.
        let _ = link.uncork();
    }
}
