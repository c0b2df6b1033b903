//! The expressions of a rule: what the kernel does with a packet, step by step, over its registers.

use super::{Family, Map, value};
use crate::attribute::Writer;

/// `meta mark set ip daddr . tcp dport map @NAME [counter] return`: packets that the map lacks go on to the next rule.
pub(super) fn mark_by(family: Family, map: &Map, counts: bool) -> Writer {
    // An address of IPv4 fills one register of four bytes, one of IPv6 four of them.
    let (offset, port_register) = match family {
        Family::V4 => (16, 9),
        Family::V6 => (24, 2),
    };
    let mut list = Writer::default();
    add(&mut list, "meta", &numbers(&[(META_KEY, META_PROTOCOL), (META_TO, FIRST)]));
    let mut compare = numbers(&[(COMPARE_FROM, FIRST), (COMPARE_HOW, EQUAL)]);
    compare.put_nested(COMPARE_WITH, &value(&[map.protocol]));
    add(&mut list, "cmp", &compare);
    add(&mut list, "payload", &load(FIRST, NETWORK_HEADER, offset, family.address_length()));
    add(&mut list, "payload", &load(port_register, TRANSPORT_HEADER, 2, 2));
    let mut lookup = Writer::default();
    lookup.put_text(LOOKUP_SET, &map.name);
    lookup.put(LOOKUP_FROM, &FIRST.to_be_bytes()).put(LOOKUP_TO, &FIRST.to_be_bytes());
    add(&mut list, "lookup", &lookup);
    add(&mut list, "meta", &numbers(&[(META_KEY, META_MARK), (META_FROM, FIRST)]));
    if counts {
        list.put_nested(LIST_ELEMENT, &counter());
    }
    let mut code = Writer::default();
    code.put(VERDICT_CODE, &RETURN.to_be_bytes());
    let mut verdict = Writer::default();
    verdict.put_nested(DATA_VERDICT, &code);
    let mut immediate = numbers(&[(IMMEDIATE_TO, VERDICT)]);
    immediate.put_nested(IMMEDIATE_DATA, &verdict);
    add(&mut list, "immediate", &immediate);
    list
}

fn load(register: u32, base: u32, offset: u32, length: u32) -> Writer {
    numbers(&[(LOAD_TO, register), (LOAD_BASE, base), (LOAD_OFFSET, offset), (LOAD_LENGTH, length)])
}

fn numbers(attributes: &[(u16, u32)]) -> Writer {
    let mut out = Writer::default();
    for (kind, number) in attributes {
        out.put(*kind, &number.to_be_bytes());
    }
    out
}

/// Counts packets and bytes, from 0.
pub(super) fn counter() -> Writer {
    named("counter", &Writer::default())
}

fn add(list: &mut Writer, name: &str, data: &Writer) {
    list.put_nested(LIST_ELEMENT, &named(name, data));
}

fn named(name: &str, data: &Writer) -> Writer {
    let mut expression = Writer::default();
    expression.put_text(EXPRESSION_NAME, name).put_nested(EXPRESSION_DATA, data);
    expression
}

const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const META_TO: u16 = 1;
const META_KEY: u16 = 2;
const META_FROM: u16 = 3;
const META_MARK: u32 = 3;
const META_PROTOCOL: u32 = 16;
const COMPARE_FROM: u16 = 1;
const COMPARE_HOW: u16 = 2;
const COMPARE_WITH: u16 = 3;
const EQUAL: u32 = 0;
const LOAD_TO: u16 = 1;
const LOAD_BASE: u16 = 2;
const LOAD_OFFSET: u16 = 3;
const LOAD_LENGTH: u16 = 4;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const LOOKUP_SET: u16 = 1;
const LOOKUP_FROM: u16 = 2;
const LOOKUP_TO: u16 = 3;
const IMMEDIATE_TO: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const RETURN: i32 = -5;
