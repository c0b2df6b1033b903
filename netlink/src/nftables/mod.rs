//! nftables: a table whose one chain gives packets the mark of a map, in one transaction.
//!
//! Pure: builds requests and reads what answers them. What the kernel makes of a transaction of them, it makes as a whole or not at all.
//! Called by ipvsd; what goes in is configuration.
//!
//! ```text
//! table ip NAME {
//!     map tcp_map { type ipv4_addr . inet_service : mark; flags interval; elements = { .. } }
//!     chain in {
//!         type filter hook input priority P; policy accept;
//!         meta mark set ip daddr . tcp dport map @tcp_map return
//!     }
//! }
//! ```

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod expression;
mod found;

use std::net::IpAddr;

use crate::attribute::Writer;
use crate::frame::{Flags, Message};

pub use found::{Found, ask_generation, generation};

/// Family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// `ip`
    V4,
    /// `ip6`
    V6,
}

impl Family {
    /// Family of an address.
    #[must_use]
    pub fn of(address: &IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    fn address_length(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

/// Packets to these addresses and ports get a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// First address.
    pub first: IpAddr,
    /// Last address, of the same family.
    pub last: IpAddr,
    /// First port in host order.
    pub first_port: u16,
    /// Last port.
    pub last_port: u16,
    /// The mark.
    pub mark: u32,
}

/// The map of one transport protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Its name.
    pub name: String,
    /// Protocol number of the packets.
    pub protocol: u8,
    /// Its elements, which don't overlap.
    pub elements: Vec<Element>,
}

/// A table of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkingTable {
    /// Family.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// Priority of its chain in the input hook.
    pub priority: i32,
    /// Its rules and elements count packets.
    pub counters: bool,
    /// Its maps; the chain has a rule for each.
    pub maps: Vec<Map>,
}

impl MarkingTable {
    /// Requests of a transaction that puts the table in the place of any of its name.
    #[must_use]
    pub fn replace(&self) -> Vec<Message> {
        let mut out = Self::remove(self.family, &self.name);
        out.push(named(self.family, NEW_TABLE, Flags::Ensure, TABLE_NAME, &self.name));
        out.push(self.chain());
        for (map, id) in self.maps.iter().zip(1_u32..) {
            out.push(self.map(map, id));
            for elements in map.elements.chunks(ELEMENTS) {
                out.push(self.elements(map, elements));
            }
            out.push(self.rule(map));
        }
        out
    }

    /// Requests of a transaction after which there is no such table, whether there was one or not.
    #[must_use]
    pub fn remove(family: Family, name: &str) -> Vec<Message> {
        // What is made where it was missing can be removed in any case.
        let make = named(family, NEW_TABLE, Flags::Ensure, TABLE_NAME, name);
        vec![make, named(family, DELETE_TABLE, Flags::Ack, TABLE_NAME, name)]
    }

    fn chain(&self) -> Message {
        let mut hook = Writer::default();
        hook.put(HOOK_NUMBER, &LOCAL_IN.to_be_bytes()).put(HOOK_PRIORITY, &self.priority.to_be_bytes());
        let mut chain = header(self.family.number(), 0);
        chain
            .put_text(CHAIN_TABLE, &self.name)
            .put_text(CHAIN_NAME, CHAIN)
            .put_nested(CHAIN_HOOK, &hook)
            .put(CHAIN_POLICY, &ACCEPT.to_be_bytes())
            .put_text(CHAIN_TYPE, "filter");
        message(NEW_CHAIN, Flags::Ensure, chain)
    }

    fn map(&self, map: &Map, id: u32) -> Message {
        let address = self.family.address_length();
        let mut fields = Writer::default();
        for length in [address, PORT_LENGTH] {
            let mut field = Writer::default();
            field.put(FIELD_LENGTH, &length.to_be_bytes());
            fields.put_nested(LIST_ELEMENT, &field);
        }
        let mut description = Writer::default();
        description.put_nested(DESCRIPTION_CONCATENATION, &fields);
        let key_type = match self.family {
            Family::V4 => TYPE_IPV4 << TYPE_BITS | TYPE_SERVICE,
            Family::V6 => TYPE_IPV6 << TYPE_BITS | TYPE_SERVICE,
        };
        let mut set = header(self.family.number(), 0);
        set.put_text(SET_TABLE, &self.name)
            .put_text(SET_NAME, &map.name)
            .put(SET_FLAGS, &(INTERVAL | MAP | CONCATENATION).to_be_bytes())
            .put(SET_KEY_TYPE, &key_type.to_be_bytes())
            .put(SET_KEY_LENGTH, &address.saturating_add(4).to_be_bytes())
            .put(SET_DATA_TYPE, &TYPE_MARK.to_be_bytes())
            .put(SET_DATA_LENGTH, &4_u32.to_be_bytes())
            .put_nested(SET_DESCRIPTION, &description)
            .put(SET_ID, &id.to_be_bytes())
            .put(SET_USER_DATA, &user_data());
        if self.counters {
            set.put_nested(SET_EXPRESSION, &expression::counter());
        }
        message(NEW_SET, Flags::Ensure, set)
    }

    fn elements(&self, map: &Map, elements: &[Element]) -> Message {
        let mut list = Writer::default();
        for element in elements {
            let mut one = Writer::default();
            one.put_nested(ELEMENT_KEY, &value(&key(element.first, element.first_port)))
                .put_nested(ELEMENT_DATA, &value(&element.mark.to_ne_bytes()))
                .put_nested(ELEMENT_KEY_END, &value(&key(element.last, element.last_port)));
            list.put_nested(LIST_ELEMENT, &one);
        }
        let mut set = header(self.family.number(), 0);
        set.put_text(LIST_TABLE, &self.name).put_text(LIST_SET, &map.name).put_nested(LIST_ELEMENTS, &list);
        message(NEW_ELEMENTS, Flags::Ensure, set)
    }

    fn rule(&self, map: &Map) -> Message {
        let mut rule = header(self.family.number(), 0);
        rule.put_text(RULE_TABLE, &self.name)
            .put_text(RULE_CHAIN, CHAIN)
            .put_nested(RULE_EXPRESSIONS, &expression::mark_by(self.family, map, self.counters));
        message(NEW_RULE, Flags::Append, rule)
    }
}

/// What nft(8) reads to show marks as they are meant: a note of its own kind, its length, and the order of the host.
fn user_data() -> [u8; 6] {
    let [a, b, c, d] = HOST_ORDER.to_ne_bytes();
    [NOTE_DATA_ORDER, 4, a, b, c, d]
}

/// What begins and ends a transaction.
#[must_use]
pub(crate) fn frame_of_transaction() -> (Message, Message) {
    let mark = |kind| Message { kind, flags: Flags::Ack, payload: header(0, SUBSYSTEM).into_bytes() };
    (mark(BATCH_BEGIN), mark(BATCH_END))
}

fn named(family: Family, kind: u16, flags: Flags, attribute: u16, name: &str) -> Message {
    let mut payload = header(family.number(), 0);
    payload.put_text(attribute, name);
    message(kind, flags, payload)
}

fn message(kind: u16, flags: Flags, payload: Writer) -> Message {
    Message { kind: SUBSYSTEM << 8 | kind, flags, payload: payload.into_bytes() }
}

/// Family, version, resource.
fn header(family: u8, resource: u16) -> Writer {
    let [high, low] = resource.to_be_bytes();
    Writer::after(&[family, 0, high, low])
}

/// Bytes as data of a register.
fn value(bytes: &[u8]) -> Writer {
    let mut data = Writer::default();
    data.put(DATA_VALUE, bytes);
    data
}

/// Address and port, each filling whole registers of four bytes.
fn key(address: IpAddr, port: u16) -> Vec<u8> {
    let mut bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes
}

const CHAIN: &str = "in";
/// Elements of one request: together shorter than an attribute can be.
const ELEMENTS: usize = 512;
const HEADER: usize = 4;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const LOCAL_IN: u32 = 1;
const ACCEPT: u32 = 1;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LENGTH: u16 = 7;
const SET_DESCRIPTION: u16 = 9;
const SET_ID: u16 = 10;
const SET_USER_DATA: u16 = 13;
const SET_EXPRESSION: u16 = 17;
const NOTE_DATA_ORDER: u8 = 1;
const HOST_ORDER: u32 = 1;
const INTERVAL: u32 = 0x4;
const MAP: u32 = 0x8;
const CONCATENATION: u32 = 0x80;
const DESCRIPTION_CONCATENATION: u16 = 2;
const FIELD_LENGTH: u16 = 1;
const PORT_LENGTH: u32 = 2;
/// Types as nft(8) shows them; those of a concatenation stand beside each other.
const TYPE_BITS: u32 = 6;
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_SERVICE: u32 = 13;
const TYPE_MARK: u32 = 19;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_KEY_END: u16 = 10;
const DATA_VALUE: u16 = 1;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(elements: Vec<Element>) -> MarkingTable {
        let maps = vec![Map { name: "tcp_map".into(), protocol: 6, elements }];
        MarkingTable {
            family: Family::V4,
            name: "keepalived_ipvs".into(),
            priority: -1,
            counters: false,
            maps,
        }
    }

    fn kinds(messages: &[Message]) -> Vec<u16> {
        messages.iter().map(|message| message.kind & 0xff).collect()
    }

    #[test]
    fn a_table_is_made_anew_in_the_place_of_the_old_one() {
        let element = Element {
            first: "192.0.2.1".parse().unwrap(),
            last: "192.0.2.9".parse().unwrap(),
            first_port: 80,
            last_port: 80,
            mark: 1000,
        };
        let messages = table(vec![element]).replace();
        assert_eq!(kinds(&messages), [0, 2, 0, 3, 9, 12, 6]);
        assert!(messages.iter().all(|message| message.kind >> 8 == 10));
        let elements = &messages[5].payload;
        let holds = |bytes: &[u8]| elements.windows(bytes.len()).any(|window| window == bytes);
        assert!(holds(&[192, 0, 2, 1, 0, 80, 0, 0]) && holds(&[192, 0, 2, 9, 0, 80, 0, 0]));
        assert!(holds(&1000_u32.to_ne_bytes()));
    }

    #[test]
    fn with_counters_a_map_and_its_rule_count() {
        let mut table = table(Vec::new());
        let counting = |table: &MarkingTable| {
            let counts = |message: &Message| message.payload.windows(8).any(|bytes| bytes == b"counter\0");
            table.replace().iter().map(counts).collect::<Vec<_>>()
        };
        assert_eq!(counting(&table), [false; 6]);
        table.counters = true;
        assert_eq!(counting(&table), [false, false, false, false, true, true]);
    }

    #[test]
    fn many_elements_travel_in_several_requests() {
        let element = |low: u16| Element {
            first: "192.0.2.1".parse().unwrap(),
            last: "192.0.2.1".parse().unwrap(),
            first_port: low,
            last_port: low,
            mark: 1000,
        };
        let messages = table((1..=1100).map(element).collect()).replace();
        assert_eq!(kinds(&messages), [0, 2, 0, 3, 9, 12, 12, 12, 6]);
        assert!(messages.iter().all(|message| message.payload.len() < 65_535));
    }
}
