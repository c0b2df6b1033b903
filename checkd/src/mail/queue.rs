//! Which letter goes when: at once, then again after growing pauses, for an hour at most.
//!
//! Pure. Letters come from the parent, which keeps its own copy and the same bound.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::mail::Mailbox;
use config::model::units::MonoTime;
use ipc::messages::checkd::{Letter, MAX_LETTERS};

use super::delivery::End;

/// Longest that a letter is tried.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Pause before the second attempt; it doubles from one to the next.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Letters that wait or are on their way.
#[derive(Debug, Default)]
pub struct Queue {
    letters: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    letter: Letter,
    /// Recipients that are left; empty before the first delivery: all.
    left: Vec<Mailbox>,
    attempts: u32,
    due: MonoTime,
    since: MonoTime,
    sending: bool,
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Everybody has it, or will never get it.
    Delivered,
    /// Nobody will get it.
    Lost,
    /// It will be tried again; true at its first failure.
    Waits(bool),
}

impl Queue {
    /// Takes a letter; a known one is the same. Returns the oldest when there is no room for both.
    pub fn add(&mut self, letter: Letter, now: MonoTime) -> Option<u64> {
        let number = letter.number;
        if self.letters.contains_key(&number) {
            return None;
        }
        let fresh = Waiting { letter, left: Vec::new(), attempts: 0, due: now, since: now, sending: false };
        self.letters.insert(number, fresh);
        if self.letters.len() <= MAX_LETTERS {
            return None;
        }
        self.letters.pop_first().map(|(number, _)| number)
    }

    /// The oldest letter that is due, now on its way; with the recipients that are left, empty for all.
    pub fn next(&mut self, now: MonoTime) -> Option<(u64, Vec<Mailbox>)> {
        let mut waiting = self.letters.iter_mut();
        let (&number, next) = waiting.find(|(_, waiting)| !waiting.sending && waiting.due <= now)?;
        next.sending = true;
        Some((number, next.left.clone()))
    }

    /// A letter's text.
    #[must_use]
    pub fn letter(&self, number: u64) -> Option<&Letter> {
        self.letters.get(&number).map(|waiting| &waiting.letter)
    }

    /// When [`Self::next`] has something.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.letters.values().filter(|waiting| !waiting.sending).map(|waiting| waiting.due).min()
    }

    /// An attempt ended. `None` for a letter that is not known any more.
    pub fn settle(&mut self, number: u64, end: &End, now: MonoTime) -> Option<Fate> {
        let waiting = self.letters.get_mut(&number)?;
        waiting.sending = false;
        let first = waiting.attempts == 0;
        waiting.attempts = waiting.attempts.saturating_add(1);
        let pause = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(waiting.attempts.saturating_sub(1)))
            .min(LONGEST_PAUSE);
        waiting.due = now + pause;
        let too_old = waiting.due > waiting.since + PATIENCE;
        let fate = match end {
            End::Delivered { later, .. } if later.is_empty() || too_old => Fate::Delivered,
            End::Delivered { later, .. } => {
                waiting.left.clone_from(later);
                Fate::Waits(first)
            }
            End::Never(_) => Fate::Lost,
            End::Later(_) if too_old && !waiting.left.is_empty() => Fate::Delivered,
            End::Later(_) if too_old => Fate::Lost,
            End::Later(_) => Fate::Waits(first),
        };
        if !matches!(fate, Fate::Waits(_)) {
            self.letters.remove(&number);
        }
        Some(fate)
    }

    /// A letter that was on its way is not any more, through no fault of the server.
    pub fn put_back(&mut self, number: u64) {
        if let Some(waiting) = self.letters.get_mut(&number) {
            waiting.sending = false;
        }
    }

    /// Another server: no letter need wait for its turn.
    pub fn hurry(&mut self, now: MonoTime) {
        for waiting in self.letters.values_mut() {
            waiting.due = now;
        }
    }

    /// Something waits that is due or on its way: not a letter between two attempts.
    #[must_use]
    pub fn is_busy(&self, now: MonoTime) -> bool {
        self.letters.values().any(|waiting| waiting.sending || waiting.due <= now)
    }

    /// Takes everything out.
    pub fn take_all(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.letters).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::delivery::Trouble;

    const LATER: End = End::Later(Trouble::Closed);
    const TAKEN: End = End::Delivered { later: Vec::new(), refused: 0, code: 0 };

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_nanos(seconds * 1_000_000_000)
    }

    fn letter(number: u64) -> Letter {
        Letter { number, sent: 0, offset: 0, subject: String::new(), body: String::new() }
    }

    #[test]
    fn letters_go_in_their_order_each_once() {
        let mut queue = Queue::default();
        queue.add(letter(2), at(0));
        queue.add(letter(1), at(0));
        queue.add(letter(1), at(9));
        assert_eq!(queue.next(at(0)), Some((1, vec![])));
        assert_eq!(queue.next(at(0)), Some((2, vec![])));
        assert_eq!(queue.next(at(99)), None);
        assert_eq!(queue.settle(1, &TAKEN, at(1)), Some(Fate::Delivered));
        assert_eq!(queue.settle(1, &TAKEN, at(1)), None);
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_end_after_an_hour() {
        let mut queue = Queue::default();
        queue.add(letter(1), at(0));
        let (mut now, mut pauses) = (at(0), Vec::new());
        loop {
            queue.next(now).unwrap();
            let fate = queue.settle(1, &LATER, now).unwrap();
            let Some(due) = queue.deadline() else {
                assert_eq!(fate, Fate::Lost);
                break;
            };
            assert_eq!(fate, Fate::Waits(pauses.is_empty()));
            pauses.push(due.since(now).as_secs());
            now = due;
        }
        assert_eq!(pauses[..8], [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(pauses.iter().sum::<u64>(), 3315);
    }

    #[test]
    fn only_the_recipients_that_are_left_are_tried_again() {
        let mut queue = Queue::default();
        queue.add(letter(1), at(0));
        queue.next(at(0)).unwrap();
        let left = Mailbox { name: String::new(), address: "a@x".to_owned() };
        let end = End::Delivered { later: vec![left.clone()], refused: 0, code: 450 };
        assert_eq!(queue.settle(1, &end, at(0)), Some(Fate::Waits(true)));
        assert_eq!(queue.next(at(5)), Some((1, vec![left])));
    }

    #[test]
    fn the_oldest_letter_makes_room() {
        let mut queue = Queue::default();
        let dropped: Vec<_> = (0..300).filter_map(|number| queue.add(letter(number), at(0))).collect();
        assert_eq!(dropped, (0..44).collect::<Vec<_>>());
    }
}
