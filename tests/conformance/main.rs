//! The ledgers of the standards: every rule has tests that exist, or a reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LEDGERS: [(&str, &str, usize); 2] =
    [("rfc9568.toml", include_str!("rfc9568.toml"), 93), ("rfc3768.toml", include_str!("rfc3768.toml"), 50)];

/// One `[[rule]]`.
#[derive(Debug, Default)]
struct Rule {
    section: String,
    level: String,
    text: String,
    kept: Vec<String>,
    why: String,
}

/// The part of TOML that the ledgers use: one value a line, strings and lists of strings.
fn rules(ledger: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in ledger.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line == "[[rule]]" {
            rules.push(Rule::default());
            continue;
        }
        let rule = rules.last_mut().expect("a ledger begins with a rule");
        let (key, value) = line.split_once(" = ").expect("key = value");
        let words: Vec<String> = value.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        match key {
            "section" => rule.section = words.concat(),
            "level" => rule.level = words.concat(),
            "rule" => rule.text = words.concat(),
            "why" => rule.why = words.concat(),
            "kept" => rule.kept = words,
            other => panic!("unknown key {other}"),
        }
    }
    rules
}

/// Names of all functions in the sources of the workspace.
fn functions() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crates = ["config", "ipc", "netlink", "vrrpd", "parent", "tests"];
    let mut folders: Vec<PathBuf> = crates.iter().map(|name| root.join(name)).collect();
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace").filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source is text");
                found.extend(text.lines().filter_map(name_of_test));
            }
        }
    }
    found
}

/// `fn name()`, or a line `name: ...;` in a table of tests.
fn name_of_test(line: &str) -> Option<String> {
    let line = line.trim();
    let name = match line.strip_prefix("fn ") {
        Some(rest) => rest.split_once('(')?.0,
        None => line.split_once(": ")?.0,
    };
    let plain =
        name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    (plain && !name.is_empty()).then(|| name.to_owned())
}

#[test]
fn every_rule_has_tests_that_exist_or_a_reason() {
    let known = functions();
    let mut problems = Vec::new();
    for (file, ledger, least) in LEDGERS {
        let rules = rules(ledger);
        assert!(rules.len() >= least, "{file} has lost rules: {}", rules.len());
        for rule in &rules {
            let place = format!("{file} section {}: {}", rule.section, rule.text);
            if rule.section.is_empty() || rule.level.is_empty() || rule.text.is_empty() {
                problems.push(format!("{place}: incomplete"));
            }
            if rule.kept.is_empty() && rule.why.is_empty() {
                problems.push(format!("{place}: neither test nor reason"));
            }
            problems.extend(
                rule.kept
                    .iter()
                    .filter(|name| !known.contains(*name))
                    .map(|name| format!("{place}: no test {name}")),
            );
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
