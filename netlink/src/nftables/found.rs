//! What the kernel says of a table that was written: enough to see whether somebody else has changed it.
//!
//! The kernel numbers every chain, rule and map when it is made, and changes no rule in place: the same numbers are
//! the same objects. Elements have none and are read. The number of a generation changes with every transaction of
//! anybody, so that an unchanged one spares reading the rest.

use std::net::IpAddr;

use crate::attribute::{Attribute, Attributes};
use crate::frame::{Flags, Message};

use super::{
    CHAIN, CHAIN_NAME, CHAIN_TABLE, DATA_VALUE, ELEMENT_DATA, ELEMENT_KEY, ELEMENT_KEY_END, Element, Family,
    HEADER, LIST_ELEMENTS, LIST_SET, LIST_TABLE, Map, MarkingTable, RULE_CHAIN, RULE_TABLE, TABLE_NAME,
    header, message, named,
};

/// A table as the kernel tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Of the table its number, its flags and how much is in it; of its chain its number, hook and policy.
    numbers: Vec<(u16, Vec<u8>)>,
    rules: Vec<Vec<u8>>,
    /// Of each map, in the order of the table; sorted.
    elements: Vec<Vec<Element>>,
}

impl Found {
    /// The elements of `table`, without any number of the kernel.
    #[must_use]
    pub fn of(table: &MarkingTable) -> Self {
        let sorted = |map: &Map| {
            let mut elements = map.elements.clone();
            elements.sort_unstable();
            elements
        };
        Self { elements: table.maps.iter().map(sorted).collect(), ..Self::default() }
    }

    /// True when the elements are those of `table`, with no regard to their order.
    #[must_use]
    pub fn holds(&self, table: &MarkingTable) -> bool {
        self.elements == Self::of(table).elements
    }

    /// Takes an answer about the table, or about its chain.
    pub fn take_numbers(&mut self, payload: &[u8]) {
        let kept = attributes(payload).filter(|attribute| NUMBERS.contains(&attribute.kind));
        self.numbers.extend(kept.map(|attribute| (attribute.kind, attribute.value.to_vec())));
    }

    /// Takes an answer about the rules.
    pub fn take_rule(&mut self, payload: &[u8]) {
        let number = attributes(payload).find(|attribute| attribute.kind == RULE_NUMBER);
        self.rules.extend(number.map(|attribute| attribute.value.to_vec()));
    }

    /// Begins the next map.
    pub fn begin_map(&mut self) {
        self.elements.push(Vec::new());
    }

    /// Takes an answer about the elements of the map begun last; keeps no more than `limit`.
    pub fn take_elements(&mut self, family: Family, limit: usize, payload: &[u8]) {
        let Some(elements) = self.elements.last_mut() else { return };
        let lists = attributes(payload).filter(|attribute| attribute.kind == LIST_ELEMENTS);
        let found = lists.flat_map(|list| list.nested()).filter_map(|one| element(family, one.nested()));
        elements.extend(found.take(limit.saturating_sub(elements.len())));
    }

    /// Ends the map begun last.
    pub fn end_map(&mut self) {
        if let Some(elements) = self.elements.last_mut() {
            elements.sort_unstable();
        }
    }
}

/// Asks for the number of the generation; [`generation`] reads the answer.
#[must_use]
pub fn ask_generation() -> Message {
    message(GET_GENERATION, Flags::Ack, header(0, 0))
}

/// The number of the generation of the whole rule set.
#[must_use]
pub fn generation(payload: &[u8]) -> Option<u32> {
    let mut numbers = attributes(payload).filter(|attribute| attribute.kind == GENERATION);
    numbers.next()?.value.try_into().ok().map(u32::from_be_bytes)
}

impl MarkingTable {
    /// Asks for the table itself.
    #[must_use]
    pub fn ask(&self) -> Message {
        named(self.family, GET_TABLE, Flags::Ack, TABLE_NAME, &self.name)
    }

    /// Asks for its chain.
    #[must_use]
    pub fn ask_chain(&self) -> Message {
        let mut chain = header(self.family.number(), 0);
        chain.put_text(CHAIN_TABLE, &self.name).put_text(CHAIN_NAME, CHAIN);
        message(GET_CHAIN, Flags::Ack, chain)
    }

    /// Asks for the rules of its chain.
    #[must_use]
    pub fn ask_rules(&self) -> Message {
        let mut rules = header(self.family.number(), 0);
        rules.put_text(RULE_TABLE, &self.name).put_text(RULE_CHAIN, CHAIN);
        message(GET_RULES, Flags::Dump, rules)
    }

    /// Asks for the elements of a map.
    #[must_use]
    pub fn ask_elements(&self, map: &Map) -> Message {
        let mut elements = header(self.family.number(), 0);
        elements.put_text(LIST_TABLE, &self.name).put_text(LIST_SET, &map.name);
        message(GET_ELEMENTS, Flags::Dump, elements)
    }
}

fn attributes(payload: &[u8]) -> Attributes<'_> {
    Attributes::new(payload.get(HEADER..).unwrap_or_default())
}

fn element(family: Family, attributes: Attributes<'_>) -> Option<Element> {
    let (mut first, mut last, mut mark) = (None, None, None);
    for attribute in attributes {
        match attribute.kind {
            ELEMENT_KEY => first = endpoint(family, attribute),
            ELEMENT_KEY_END => last = endpoint(family, attribute),
            ELEMENT_DATA => {
                mark = data(attribute).and_then(|value| value.try_into().ok()).map(u32::from_ne_bytes);
            }
            _ => {}
        }
    }
    let (first, first_port) = first?;
    let (last, last_port) = last.unwrap_or((first, first_port));
    Some(Element { first, last, first_port, last_port, mark: mark? })
}

fn data(attribute: Attribute<'_>) -> Option<&[u8]> {
    attribute.nested().find(|value| value.kind == DATA_VALUE).map(|value| value.value)
}

/// Address and port, each in whole registers of four bytes.
fn endpoint(family: Family, attribute: Attribute<'_>) -> Option<(IpAddr, u16)> {
    let value = data(attribute)?;
    match family {
        Family::V4 => {
            let (address, rest) = value.split_first_chunk::<4>()?;
            Some((IpAddr::from(*address), u16::from_be_bytes(*rest.first_chunk()?)))
        }
        Family::V6 => {
            let (address, rest) = value.split_first_chunk::<16>()?;
            Some((IpAddr::from(*address), u16::from_be_bytes(*rest.first_chunk()?)))
        }
    }
}

const GET_TABLE: u16 = 1;
const GET_CHAIN: u16 = 4;
const GET_RULES: u16 = 7;
const GET_ELEMENTS: u16 = 13;
const GET_GENERATION: u16 = 16;
const GENERATION: u16 = 1;
const RULE_NUMBER: u16 = 3;

/// Of a table: flags, uses, number. Of a chain: number, name, hook, policy. No packet changes any of them.
const NUMBERS: [u16; 4] = [2, 3, 4, 5];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Writer;
    use crate::nftables::{LIST_ELEMENT, key, value};

    fn one(mark: u32) -> Element {
        let address = "192.0.2.1".parse().unwrap();
        Element { first: address, last: address, first_port: 80, last_port: 80, mark }
    }

    fn table() -> MarkingTable {
        let maps = vec![Map { name: "tcp_map".into(), protocol: 6, elements: vec![one(1000)] }];
        MarkingTable { family: Family::V4, name: "marks".into(), priority: -1, counters: false, maps }
    }

    /// The kernel's answer about one element of `tcp_map`.
    fn answer(mark: u32) -> Vec<u8> {
        let mut element = Writer::default();
        let address = "192.0.2.1".parse().unwrap();
        element
            .put_nested(ELEMENT_KEY, &value(&key(address, 80)))
            .put_nested(ELEMENT_KEY_END, &value(&key(address, 80)))
            .put_nested(ELEMENT_DATA, &value(&mark.to_ne_bytes()));
        let mut list = Writer::default();
        list.put_nested(LIST_ELEMENT, &element);
        let mut out = header(2, 0);
        out.put_text(LIST_SET, "tcp_map").put_nested(LIST_ELEMENTS, &list);
        out.into_bytes()
    }

    #[test]
    fn an_element_with_another_mark_is_another_table() {
        for (mark, holds) in [(1000, true), (1001, false)] {
            let mut found = Found::default();
            found.begin_map();
            found.take_elements(Family::V4, 2, &answer(mark));
            found.end_map();
            assert_eq!(found.elements, [[one(mark)]]);
            assert_eq!(found.holds(&table()), holds);
        }
        assert!(!Found::default().holds(&table()));
    }

    #[test]
    fn no_more_elements_are_kept_than_asked_for() {
        let mut found = Found::default();
        found.begin_map();
        for _ in 0..5 {
            found.take_elements(Family::V4, 2, &answer(1000));
        }
        assert_eq!(found.elements[0].len(), 2);
    }

    #[test]
    fn a_rule_that_was_put_in_the_place_of_another_has_another_number() {
        let rule = |number: u64| {
            let mut out = header(2, 0);
            out.put(RULE_NUMBER, &number.to_be_bytes());
            out.into_bytes()
        };
        let [mut before, mut after] = [Found::default(), Found::default()];
        before.take_rule(&rule(3));
        after.take_rule(&rule(9));
        assert_ne!(before, after);
    }

    #[test]
    fn the_generation_is_read_and_nonsense_is_none() {
        let mut out = header(0, 0);
        out.put(GENERATION, &7_u32.to_be_bytes());
        assert_eq!(generation(&out.into_bytes()), Some(7));
        assert_eq!(generation(&[0]), None);
    }
}
