//! Checkers of files: what they say at the start, over a reload and when the number changes.

use super::*;

#[test]
fn a_server_starts_with_what_its_file_says_without_a_word() {
    let file = |weight: i32, alpha: bool| vec![Check { alpha, ..check(number(weight)) }];
    for (value, entries) in [(0, vec![(0, 0, 1), (0, 1, 1)]), (4, vec![(0, 1, 9)])] {
        let servers = vec![server(1, file(0, true)), server(2, file(2, false))];
        let mut roster = roster(1, vec![service(80, servers)]);
        roster.assume_number(FileId::new(0), value);
        let mut out = Vec::new();
        roster.start(&mut out);
        assert_eq!(table(&roster), entries);
        assert_eq!(logs(&out).len(), 1, "{out:?}");
        assert!(roster.take_number(FileId::new(0), value, &mut Vec::new()).is_empty());
    }
}

#[test]
fn what_a_file_says_counts_at_once_whatever_retries_its_server_has() {
    let patient = vec![Check { retry: 3, ..check(number(0)) }];
    let mut roster = roster(1, vec![service(80, vec![server(1, patient)])]);
    roster.assume_number(FileId::new(0), 0);
    roster.start(&mut Vec::new());
    let mut out = Vec::new();
    assert_eq!(roster.take_number(FileId::new(0), 1, &mut out), [0]);
    assert_eq!(
        logs(&out),
        [
            "([192.0.2.1]:tcp:80): tracked file load now FAULT state",
            "Removing service [192.0.2.1]:tcp:80 from VS [198.51.100.1]:tcp:80",
            "Lost quorum 1-0=1 > 0 for VS [198.51.100.1]:tcp:80",
        ]
    );
    assert_eq!(table(&roster), []);
}

#[test]
fn over_a_reload_a_server_goes_from_one_weight_of_its_file_to_the_other() {
    let with = |weight: i32| vec![server(1, vec![check(number(weight))]), server(2, vec![])];
    let mut old = roster(1, vec![service(80, with(2))]);
    old.assume_number(FileId::new(0), 3);
    old.start(&mut Vec::new());
    assert_eq!(table(&old), [(0, 0, 7), (0, 1, 1)]);
    let numbers = [(FileId::new(0), 3)];
    let mut new = roster(2, vec![service(80, with(5))]);
    let mut after = Vec::new();
    new.replace(old, &numbers, &mut Vec::new(), &mut after);
    assert!(new.take_number(FileId::new(0), 3, &mut after).is_empty());
    assert_eq!(
        logs(&after),
        ["Changing weight from 7 to 16 for active service [192.0.2.1]:tcp:80 of VS [198.51.100.1]:tcp:80"]
    );
    assert_eq!(table(&new), [(0, 0, 16), (0, 1, 1)]);
}

#[test]
fn over_a_reload_a_file_that_takes_its_server_down_does_so_before_its_weight_goes() {
    let with = |weight: i32| vec![server(1, vec![check(number(weight))]), server(2, vec![])];
    let mut old = roster(1, vec![service(80, with(2))]);
    old.assume_number(FileId::new(0), 3);
    old.start(&mut Vec::new());
    let mut new = roster(2, vec![service(80, with(0))]);
    let mut after = Vec::new();
    new.replace(old, &[(FileId::new(0), 3)], &mut Vec::new(), &mut after);
    assert!(new.take_number(FileId::new(0), 3, &mut after).is_empty());
    assert_eq!(
        logs(&after),
        [
            "([192.0.2.1]:tcp:80): tracked file load now FAULT state",
            "Removing service [192.0.2.1]:tcp:80 from VS [198.51.100.1]:tcp:80",
            "Changing weight from 7 to 1 for inactive service [192.0.2.1]:tcp:80 of VS [198.51.100.1]:tcp:80",
        ]
    );
    assert_eq!(notified(&after), [11]);
    assert_eq!(table(&new), [(0, 1, 1)]);
}
