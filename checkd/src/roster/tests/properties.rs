//! Whatever the results: changes add up, and what changes nothing says nothing.

use std::collections::HashMap;

use super::*;

/// What the table is after these changes.
fn apply(table: &mut HashMap<(ServiceId, ServerRef), Weight>, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Desire { service, server, presence } = effect {
            match presence {
                Some(weight) => table.insert((*service, *server), *weight),
                None => table.remove(&(*service, *server)),
            };
        }
    }
}

/// Two services, one with a sorry server that may be inhibited, three servers each, one or two checkers each.
fn farm(quorum: u32, hysteresis: u32, inhibit: bool) -> Vec<VirtualServer> {
    let servers = || {
        vec![
            server(1, vec![check(tcp(80)), check(tcp(81))]),
            RealServer { inhibit_on_failure: inhibit, ..server(2, vec![check(tcp(80))]) },
            server(3, vec![Check { alpha: true, ..check(tcp(80)) }]),
        ]
    };
    let sorry = VirtualServer {
        quorum,
        hysteresis,
        sorry_server: Some(server(9, vec![]).destination),
        sorry_server_inhibit: inhibit,
        ..service(80, servers())
    };
    vec![sorry, VirtualServer { quorum, hysteresis, ..service(81, servers()) }]
}

fn outcome(number: u8) -> Outcome {
    match number {
        0 | 1 => FAIL,
        2 => Outcome::Pass(DynamicWeight::Set(Weight::clamped(3))),
        3 => Outcome::Pass(DynamicWeight::Set(Weight::ZERO)),
        4 => Outcome::Pass(DynamicWeight::Configured),
        _ => PASS,
    }
}

proptest::proptest! {
    #[test]
    fn changes_told_one_by_one_add_up_to_the_whole_table(
        quorum in 1_u32..4, hysteresis in 0_u32..2, inhibit: bool,
        outcomes in proptest::collection::vec((0_usize..8, 0_u8..8), 0..60),
    ) {
        let mut roster = roster(1, farm(quorum, hysteresis, inhibit));
        let mut out = Vec::new();
        roster.start(&mut out);
        let mut told = HashMap::new();
        apply(&mut told, &out);
        for (position, number) in outcomes {
            let (_, out) = take(&mut roster, position, outcome(number));
            apply(&mut told, &out);
            let whole: HashMap<_, _> = roster
                .table()
                .map(|entry| ((entry.service, entry.server), entry.presence.unwrap()))
                .collect();
            proptest::prop_assert_eq!(&told, &whole);
        }
    }

    #[test]
    fn a_reload_and_a_succession_without_changes_keep_the_table_and_say_nothing(
        quorum in 1_u32..4, inhibit: bool,
        outcomes in proptest::collection::vec((0_usize..8, 0_u8..8), 0..60),
    ) {
        let mut old = started(farm(quorum, 0, inhibit));
        for (position, number) in outcomes {
            take(&mut old, position, outcome(number));
        }
        let before = table(&old);
        let verdicts: Vec<_> = (0..8).filter_map(|position| old.verdict(position)).collect();
        let silent = |out: &[Effect]| out.iter().all(|effect| matches!(effect, Effect::Desire { .. }));

        let mut successor = roster(1, farm(quorum, 0, inhibit));
        let mut out = Vec::new();
        successor.resume(&verdicts, &[], &mut out);
        proptest::prop_assert_eq!(table(&successor), before.clone());
        proptest::prop_assert!(silent(&out), "{:?}", out);

        let mut new = roster(2, farm(quorum, 0, inhibit));
        let (mut gone, mut after) = (Vec::new(), Vec::new());
        new.replace(old, &[], &mut gone, &mut after);
        proptest::prop_assert_eq!(table(&new), before);
        proptest::prop_assert!(gone.is_empty() && silent(&after), "{:?} {:?}", gone, after);
    }
}
