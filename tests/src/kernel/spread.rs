//! Connections are spread as the scheduler says, for every scheduler that the kernel has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::traffic::{Place, VIP};
use crate::lab::answers::Flow;
use crate::lab::failure::require;
use crate::lab::{Failure, Host, Lab, Subject, ipvs, wait_until};

/// A service, what is asked of it, and how many of the connections each server gets.
struct Case {
    /// Scheduler and flags.
    lines: &'static str,
    /// Of `w1` and `w2`.
    weights: [u32; 2],
    connections: usize,
    /// Each connection stays while the others are opened.
    stay: bool,
    expected: Share,
}

/// Connections of `w1` and `w2`.
#[derive(Debug, Clone, Copy)]
enum Share {
    Exactly(usize, usize),
    /// One of them gets all.
    One,
    /// Each gets some.
    Both,
}

impl Share {
    fn fits(self, seen: [usize; 2]) -> bool {
        match self {
            Self::Exactly(first, second) => seen == [first, second],
            Self::One => seen.contains(&0),
            Self::Both => !seen.contains(&0),
        }
    }
}

const fn in_turn(lines: &'static str, weights: [u32; 2], connections: usize, expected: Share) -> Case {
    Case { lines, weights, connections, stay: false, expected }
}

const fn staying(lines: &'static str, weights: [u32; 2], connections: usize, expected: Share) -> Case {
    Case { lines, weights, connections, stay: true, expected }
}

const CASES: &[Case] = &[
    in_turn("rr", [1, 2], 6, Share::Exactly(3, 3)),
    in_turn("wrr", [1, 2], 6, Share::Exactly(2, 4)),
    staying("lc", [1, 2], 6, Share::Exactly(3, 3)),
    staying("wlc", [1, 2], 6, Share::Exactly(2, 4)),
    staying("sed", [1, 2], 6, Share::Exactly(2, 4)),
    // Two connections are too few for a first one to the weak server, unless nobody shall wait in a queue.
    staying("sed", [1, 9], 2, Share::Exactly(0, 2)),
    staying("nq", [1, 9], 2, Share::Exactly(1, 1)),
    // The strongest gets all, or as many as it has weight and one that is too many.
    staying("fo", [1, 2], 6, Share::Exactly(0, 6)),
    staying("ovf", [1, 2], 4, Share::Exactly(1, 3)),
    in_turn("sh", [1, 1], 6, Share::One),
    in_turn("sh\n    sh-port", [1, 1], 24, Share::Both),
    in_turn("sh\n    sh-port\n    sh-fallback", [0, 1], 12, Share::Exactly(0, 12)),
    in_turn("mh", [1, 1], 6, Share::One),
    in_turn("mh\n    mh-port", [1, 1], 24, Share::Both),
    in_turn("mh\n    mh-port\n    mh-fallback", [0, 1], 12, Share::Exactly(0, 12)),
    in_turn("dh", [1, 1], 6, Share::One),
    in_turn("lblc", [1, 1], 6, Share::One),
    in_turn("lblcr", [1, 1], 6, Share::One),
];

const TWOS: &[Case] = &[in_turn("twos", [1, 1], 40, Share::Both), staying("twos", [1, 1], 40, Share::Both)];

pub(super) fn schedulers(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    compare(lab, subject, CASES)
}

/// The scheduler that kernels have from 5.15 on if they are built with it: Debian's from 6.12 on.
pub(super) fn twos(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    compare(lab, subject, TWOS)
}

fn port(case: usize) -> u16 {
    u16::try_from(4000 + case).unwrap_or(u16::MAX)
}

fn config(cases: &[Case]) -> String {
    let mut text = String::new();
    for (number, case) in cases.iter().enumerate() {
        write!(
            text,
            "virtual_server {VIP} {} {{\n    lb_algo {}\n    lb_kind NAT\n    protocol TCP\n",
            port(number),
            case.lines
        )
        .ok();
        for (byte, weight) in [11, 12].into_iter().zip(case.weights) {
            writeln!(text, "    real_server 10.78.0.{byte} 3000 {{\n        weight {weight}\n    }}").ok();
        }
        text.push_str("}\n");
    }
    text
}

fn compare(lab: &Lab, subject: Subject, cases: &[Case]) -> Result<(), Failure> {
    let place = Place::behind()?;
    let _director = place.start(lab, subject, &config(cases))?;
    let host = place.host()?;
    wait_until("the table is full", START, || {
        let full = |service: &ipvs::Service| service.destinations.len() == 2;
        ipvs::table(host).is_ok_and(|table| table.len() == cases.len() && table.iter().all(full))
    })?;
    let mut complaints = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let name = case.lines.split_whitespace().next().unwrap_or_default();
        let key = format!("TCP {VIP}:{}", port(number));
        let has = ipvs::table(host)?.into_iter().any(|one| one.name == key && one.scheduler == name);
        let seen = ask(place.client()?, port(number), case)?;
        if !has || !case.expected.fits(seen) {
            complaints.push(format!("{}: {seen:?} instead of {:?}", case.lines, case.expected));
        }
    }
    require(complaints.is_empty(), || complaints.join("\n"))
}

fn ask(client: &Host, port: u16, case: &Case) -> Result<[usize; 2], Failure> {
    let (mut counts, mut flows) = (BTreeMap::<String, usize>::new(), Vec::new());
    for _ in 0..case.connections {
        let mut flow = Flow::open(client, (VIP, port).into())?;
        *counts.entry(flow.ask()?).or_default() += 1;
        if case.stay {
            flows.push(flow);
        }
    }
    Ok(["w1", "w2"].map(|name| counts.get(name).copied().unwrap_or(0)))
}

const START: Duration = Duration::from_secs(30);
