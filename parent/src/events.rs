//! What has happened lately: a ring of bounded length, from which operators read and which watchers follow.
//!
//! Pure. Decides what is kept and what a follower has missed; `run` enters events, `control` hands them out.

use std::collections::VecDeque;

use ipc::messages::ctl::events::{Event, EventKind, Events};

/// Events that are kept.
const KEPT: usize = 1024;
/// Most events in one answer to a follower.
const BATCH: usize = 64;
/// Longest reason in bytes.
const LONGEST: usize = 512;

/// The ring.
#[derive(Debug)]
pub struct Ring {
    kept: VecDeque<Event>,
    next: u64,
}

impl Default for Ring {
    fn default() -> Self {
        Self { kept: VecDeque::new(), next: 1 }
    }
}

impl Ring {
    /// Enters an event; the oldest makes room.
    pub fn enter(&mut self, time_ms: u64, kind: EventKind, name: &str, what: &str, reason: &str) {
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        let event = Event {
            number: self.next,
            time_ms,
            kind,
            name: name.to_owned(),
            what: what.to_owned(),
            reason: bounded(reason),
        };
        self.next = self.next.saturating_add(1);
        self.kept.push_back(event);
    }

    /// Number of the last event, 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The last `count` events, all when it is absent.
    #[must_use]
    pub fn latest(&self, count: Option<u32>) -> Events {
        let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(KEPT);
        let first = self.kept.len().saturating_sub(count);
        let lost = if count > self.kept.len() { self.first().saturating_sub(1) } else { 0 };
        Events { events: self.kept.iter().skip(first).cloned().collect(), lost }
    }

    /// What comes behind event `known`, at most one batch; `None` when nothing does.
    #[must_use]
    pub fn after(&self, known: u64) -> Option<Events> {
        if known >= self.last() {
            return None;
        }
        let lost = self.first().saturating_sub(known.saturating_add(1));
        let skipped = usize::try_from(known.saturating_add(1).saturating_sub(self.first())).unwrap_or(KEPT);
        Some(Events { events: self.kept.iter().skip(skipped).take(BATCH).cloned().collect(), lost })
    }

    /// The last `count` events of these things.
    #[must_use]
    pub fn of(&self, concerns: impl Fn(&Event) -> bool, count: usize) -> Vec<Event> {
        let mut found: Vec<Event> =
            self.kept.iter().rev().filter(|event| concerns(event)).take(count).cloned().collect();
        found.reverse();
        found
    }

    /// Number of the oldest that is kept, or of the next one.
    fn first(&self) -> u64 {
        self.kept.front().map_or(self.next, |event| event.number)
    }
}

fn bounded(text: &str) -> String {
    let end = (0..=LONGEST.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(events: u64) -> Ring {
        let mut ring = Ring::default();
        for number in 1..=events {
            ring.enter(number * 1_000, EventKind::Instance, "VI_1", "MASTER", "");
        }
        ring
    }

    fn numbers(events: &Events) -> (u64, u64) {
        (events.events.first().unwrap().number, events.events.last().unwrap().number)
    }

    #[test]
    fn the_oldest_makes_room_and_is_said_to_be_lost() {
        let ring = ring(1_030);
        let all = ring.latest(None);
        assert_eq!((numbers(&all), all.events.len(), all.lost), ((7, 1_030), 1_024, 0));
        assert_eq!(numbers(&ring.latest(Some(3))), (1_028, 1_030));
        assert_eq!(ring.latest(Some(2_000)).lost, 6);
    }

    #[test]
    fn a_follower_hears_everything_in_batches_and_what_it_has_missed() {
        let ring = ring(1_030);
        let first = ring.after(2).unwrap();
        assert_eq!((numbers(&first), first.lost), ((7, 70), 4));
        let next = ring.after(70).unwrap();
        assert_eq!((numbers(&next), next.lost), ((71, 134), 0));
        assert_eq!(ring.after(1_030), None);
        assert_eq!(ring.after(u64::MAX), None);
    }

    #[test]
    fn nothing_has_happened_at_first() {
        let ring = Ring::default();
        assert_eq!((ring.last(), ring.latest(None), ring.after(0)), (0, Events::default(), None));
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let mut ring = Ring::default();
        ring.enter(0, EventKind::Suite, "", "", &"é".repeat(400));
        assert_eq!(ring.latest(None).events[0].reason.len(), 512);
    }
}
