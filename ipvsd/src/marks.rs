//! Decides which tables of nftables mark packets for the services of the list, and when they are written.
//!
//! Pure. A table is written as a whole, whenever it is another than the one that was written last, and when a look at
//! the kernel, every second, finds it changed: an element, a rule or the chain. As long as nobody has written to
//! nftables a look is one number. Called by [`crate::keeper`]; what is wanted comes from the list.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::ipvs::{Marked, Protocol};
use config::model::units::MonoTime;
use netlink::nftables::{Element, Family, Found, Map, MarkingTable};
use netlink::socket::Outcome;

use crate::list::List;

/// Tables that are wanted, and those that are believed to be there.
#[derive(Debug, Default)]
pub struct Marks {
    wanted: Vec<MarkingTable>,
    believed: Vec<MarkingTable>,
    /// Tables that may be there and are not wanted.
    leftovers: Vec<(Family, String)>,
    /// Something may be due: large tables are not compared at every turn.
    unsettled: bool,
    /// Not before this instant: the kernel has refused.
    retry_at: Option<MonoTime>,
    look_at: MonoTime,
    /// What the kernel says of the believed tables.
    seen: BTreeMap<(Family, String), Found>,
    /// While nftables has this number, nobody has written since the last look.
    generation: Option<u32>,
}

/// What is done to the kernel's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marking {
    /// This one takes the place of any of its name.
    Replace(MarkingTable),
    /// There is none of this name.
    Remove(Family, String),
}

impl Marks {
    /// From now on the tables are those of this list.
    pub fn configure(&mut self, list: &List) {
        self.wanted = tables(list);
        self.unsettled = true;
        self.retry_at = None;
        let name = list.settings().marks.as_ref().filter(|_| list.marks_packets()).map(|marks| &marks.name);
        // Those of the list before, and what a predecessor may have left under the same name.
        let before = self.believed.iter().map(|table| (table.family, table.name.clone()));
        let same_name = name.iter().flat_map(|name| FAMILIES.map(|family| (family, (*name).clone())));
        self.leftovers = before.chain(same_name).collect();
        self.leftovers.sort_unstable();
        self.leftovers.dedup();
        let wanted = &self.wanted;
        self.leftovers.retain(|(family, name)| !is_among(wanted, *family, name));
    }

    /// What is to be done now.
    #[must_use]
    pub fn due(&mut self, now: MonoTime) -> Vec<Marking> {
        if !self.unsettled || self.retry_at.is_some_and(|at| at > now) {
            return Vec::new();
        }
        let leftovers = self.leftovers.iter().map(|(family, name)| Marking::Remove(*family, name.clone()));
        let missing = self.wanted.iter().filter(|table| !self.believed.contains(table));
        let due: Vec<Marking> = missing.cloned().map(Marking::Replace).chain(leftovers).collect();
        self.unsettled = !due.is_empty();
        due
    }

    /// When something is to be done or looked at; nothing ever without tables.
    #[must_use]
    pub fn next(&self) -> Option<MonoTime> {
        let look = (!self.believed.is_empty()).then_some(self.look_at);
        look.into_iter().chain(self.retry_at).min()
    }

    /// Learns what became of it; returns what should be logged.
    pub fn learn(&mut self, marking: &Marking, outcome: &Outcome, now: MonoTime) -> Option<String> {
        let (family, name) = match marking {
            Marking::Replace(table) => (table.family, &table.name),
            Marking::Remove(family, name) => (*family, name),
        };
        let error = match outcome {
            Outcome::Done => {
                self.retry_at = None;
                self.look_at = now + LOOK;
                self.believed.retain(|table| (table.family, &table.name) != (family, name));
                self.seen.remove(&(family, name.clone()));
                self.generation = None;
                match marking {
                    Marking::Replace(table) => self.believed.push(table.clone()),
                    Marking::Remove(..) => {
                        self.leftovers.retain(|(other, known)| (*other, known) != (family, name));
                    }
                }
                return None;
            }
            Outcome::Refused(error) => error.to_string(),
            Outcome::Unanswered => "no answer in time".to_owned(),
        };
        let first = self.retry_at.is_none();
        self.retry_at = Some(now + RETRY);
        first.then(|| format!("nftables: table {name} can't be written: {error}"))
    }

    /// True when a look is due. Read the number of nftables and tell it to [`Self::unread`]; after that call
    /// [`Self::looked`].
    #[must_use]
    pub fn is_look_due(&self, now: MonoTime) -> bool {
        !self.believed.is_empty() && self.look_at <= now
    }

    /// Tables that must be read, because the number of nftables is another than at the last look.
    pub fn unread(&mut self, generation: u32) -> Vec<MarkingTable> {
        if self.generation.replace(generation) == Some(generation) {
            return Vec::new();
        }
        self.believed.clone()
    }

    /// Learns what the kernel says of a table; true when somebody else has changed it, and then it is written again.
    pub fn found(&mut self, table: &MarkingTable, found: Option<Found>) -> bool {
        let place = (table.family, table.name.clone());
        let intact = found.as_ref().is_some_and(|found| {
            found.holds(table) && self.seen.get(&place).is_none_or(|seen| seen == found)
        });
        match found {
            Some(found) if intact => {
                self.seen.insert(place, found);
            }
            Some(_) | None => self.doubt(table),
        }
        !intact
    }

    /// A look has ended, after so much processor time.
    pub fn looked(&mut self, now: MonoTime, cost: Duration) {
        self.look_at = now + LOOK.max(cost * SPARSENESS);
    }

    /// A table could not be read: the next look reads it.
    pub fn forget_generation(&mut self) {
        self.generation = None;
    }

    fn doubt(&mut self, table: &MarkingTable) {
        self.believed.retain(|known| known != table);
        self.seen.remove(&(table.family, table.name.clone()));
        self.unsettled = true;
    }

    /// What removes all of them.
    #[must_use]
    pub fn withdrawal(&self) -> Vec<Marking> {
        let all = self.believed.iter().map(|table| Marking::Remove(table.family, table.name.clone()));
        all.collect()
    }
}

fn is_among(tables: &[MarkingTable], family: Family, name: &str) -> bool {
    tables.iter().any(|table| table.family == family && table.name == name)
}

/// One table for each family that has addresses to mark.
fn tables(list: &List) -> Vec<MarkingTable> {
    let Some(settings) = &list.settings().marks else { return Vec::new() };
    let table = |family| {
        let counters = settings.counters;
        let maps = PROTOCOLS.map(|protocol| map(list, family, protocol));
        let maps: Vec<Map> = maps.into_iter().filter(|map| !map.elements.is_empty()).collect();
        let (name, priority) = (settings.name.clone(), settings.priority);
        (!maps.is_empty()).then_some(MarkingTable { family, name, priority, counters, maps })
    };
    FAMILIES.into_iter().filter_map(table).collect()
}

fn map(list: &List, family: Family, protocol: Protocol) -> Map {
    let of_protocol = list.marked().filter(|marked| marked.protocol == protocol);
    let elements = of_protocol.flat_map(elements).filter(|element| Family::of(&element.first) == family);
    Map {
        name: format!("{}_map", protocol.name()),
        protocol: u8::try_from(protocol.number()).unwrap_or_default(),
        elements: elements.collect(),
    }
}

/// Port 0 of a service means any port; to nftables it would mean none.
fn elements(marked: &Marked) -> impl Iterator<Item = Element> + '_ {
    marked.ranges.iter().map(|range| Element {
        first: range.first,
        last: range.last,
        first_port: range.port,
        last_port: if range.port == 0 { u16::MAX } else { range.port },
        mark: marked.mark,
    })
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// From one look at the kernel's tables to the next.
const LOOK: Duration = Duration::from_secs(1);

/// At most one per cent of a processor is spent on looks.
const SPARSENESS: u32 = 100;

/// From one try to write them to the next.
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use config::model::units::Generation;
    use netlink::frame::KernelError;
    use nix::errno::Errno;

    use super::*;
    use crate::samples::marked_list;

    const NOW: MonoTime = MonoTime::from_nanos(5_000_000_000);

    #[test]
    fn a_group_of_both_families_has_two_tables_and_any_port_is_every_port() {
        let tables = tables(&marked_list(1, &[("web", &[("192.0.2.1", 0), ("2001:db8::1", 80)])]));
        let ports = |table: &MarkingTable| {
            let element = table.maps[0].elements[0];
            (table.family, element.first_port, element.last_port, element.mark)
        };
        assert_eq!(
            tables.iter().map(ports).collect::<Vec<_>>(),
            [(Family::V4, 0, 65_535, 1000), (Family::V6, 80, 80, 1000)]
        );
        assert_eq!(tables[0].maps[0].name, "tcp_map");
    }

    #[test]
    fn what_a_predecessor_left_goes_and_what_was_written_is_not_written_again() {
        let mut marks = Marks::default();
        marks.configure(&marked_list(1, &[("web", &[("192.0.2.1", 80)])]));
        let due = marks.due(NOW);
        assert!(matches!(&due[0], Marking::Replace(table) if table.family == Family::V4));
        assert_eq!(due[1..], [Marking::Remove(Family::V6, "keepalived_ipvs".into())]);
        for marking in &due {
            assert_eq!(marks.learn(marking, &Outcome::Done, NOW), None);
        }
        assert_eq!(marks.due(NOW), []);
        marks.configure(&List::new(Generation::new(2)));
        assert_eq!(marks.due(NOW), [Marking::Remove(Family::V4, "keepalived_ipvs".into())]);
    }

    #[test]
    fn a_refusal_is_told_once_and_tried_again_after_five_seconds() {
        let mut marks = Marks::default();
        marks.configure(&marked_list(1, &[("web", &[("192.0.2.1", 80)])]));
        let marking = &marks.due(NOW)[0];
        let refused = Outcome::Refused(KernelError::bare(Errno::EOPNOTSUPP));
        assert!(marks.learn(marking, &refused, NOW).is_some());
        assert_eq!(marks.due(NOW + Duration::from_millis(4_999)), []);
        let later = NOW + Duration::from_secs(5);
        assert_eq!(marks.due(later).len(), 2);
        assert_eq!(marks.learn(marking, &refused, later), None);
    }

    #[test]
    fn a_table_is_read_only_when_somebody_has_written_and_written_again_when_it_changed() {
        let mut marks = Marks::default();
        marks.configure(&marked_list(1, &[("web", &[("192.0.2.1", 80)])]));
        for marking in marks.due(NOW) {
            marks.learn(&marking, &Outcome::Done, NOW);
        }
        assert!(!marks.is_look_due(NOW));
        let later = NOW + Duration::from_secs(1);
        assert!(marks.is_look_due(later));
        let table = marks.unread(7).remove(0);
        marks.looked(later, Duration::from_millis(20));
        assert_eq!(marks.next(), Some(later + Duration::from_secs(2)));
        assert_eq!(marks.unread(7), []);
        assert_eq!(marks.unread(8), std::slice::from_ref(&table));
        assert!(marks.found(&table, None));
        assert_eq!(marks.due(later), [Marking::Replace(table)]);
    }
}
