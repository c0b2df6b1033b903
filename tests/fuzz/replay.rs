//! The stored inputs of `fuzz/`, and bounded mutations of them, through the functions that the fuzzer drives.

use std::fs;
use std::path::{Path, PathBuf};

use tests::fuzz::TARGETS;
use tests::fuzz::mutation::{Numbers, mutate};

/// Mutations of each target; a configuration takes a hundred times as long as a datagram.
const ROUNDS: &[(&str, usize)] = &[
    ("config", 200),
    ("adverts", 60_000),
    ("http", 6_000),
    ("smtp", 30_000),
    ("dns", 60_000),
    ("datagrams", 60_000),
    ("netlink", 60_000),
    ("frames", 60_000),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below a folder, in order.
fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

fn stored(target: &str) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    files(&root().join("fuzz/corpus").join(target), &mut paths);
    if target == "config" {
        files(&root().join("tests/corpus"), &mut paths);
    }
    paths.iter().map(|path| fs::read(path).expect("a file of the corpus")).collect()
}

fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    let inputs = stored(name);
    assert!(inputs.len() > 3, "the corpus of {name} holds {} files", inputs.len());
    inputs.iter().for_each(|input| target(input));
    target(&[]);
    let rounds = ROUNDS.iter().find(|(known, _)| *known == name).map_or(0, |(_, rounds)| *rounds);
    let mut numbers = Numbers::new(0x5eed);
    for round in 0..rounds {
        let mut input = inputs[numbers.below(inputs.len())].clone();
        let other = &inputs[numbers.below(inputs.len())];
        mutate(&mut input, other, &mut numbers);
        let survived = std::panic::catch_unwind(|| target(&input)).is_ok();
        assert!(survived, "round {round} of {name}: {:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn configurations_of_any_bytes_give_diagnostics() {
    replay("config");
}

#[test]
fn adverts_of_any_bytes_are_judged() {
    replay("adverts");
}

#[test]
fn answers_of_web_servers_of_any_bytes_are_judged() {
    replay("http");
}

#[test]
fn answers_of_mail_servers_of_any_bytes_are_judged() {
    replay("smtp");
}

#[test]
fn answers_of_name_servers_of_any_bytes_are_judged() {
    replay("dns");
}

#[test]
fn datagrams_of_any_bytes_are_judged() {
    replay("datagrams");
}

#[test]
fn netlink_messages_of_any_bytes_are_read() {
    replay("netlink");
}

#[test]
fn frames_of_any_bytes_are_read() {
    replay("frames");
}
