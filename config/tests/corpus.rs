//! Every file of the corpus is read: what is accepted, what is refused, and why.

use std::path::{Path, PathBuf};

use config::diagnostic::{Severity, Tolerance, human};
use config::names::OfflineNames;
use config::source::Files;
use config::{LoadOptions, Loaded, load};

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(name)
}

fn read(name: &str) -> Loaded {
    read_with(name, Tolerance::Nothing)
}

fn read_with(name: &str, tolerance: Tolerance) -> Loaded {
    let (config_id, host_name) = ("node1".into(), "node1".into());
    let options = LoadOptions { config_id, host_name, tolerance, ..LoadOptions::default() };
    load(&Files, &OfflineNames, &corpus(name).display().to_string(), &options)
}

/// Codes of all diagnostics, with their lines.
fn codes(loaded: &Loaded) -> Vec<(&'static str, u32)> {
    let line = |diagnostic: &config::diagnostic::Diagnostic| diagnostic.place.as_ref().map_or(0, |p| p.line);
    loaded.diagnostics.iter().map(|diagnostic| (diagnostic.code.0, line(diagnostic))).collect()
}

#[test]
fn every_file_but_the_broken_one_is_accepted() {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(corpus(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let sequences = names("reloads").into_iter().map(|name| format!("reloads/{name}/"));
    for folder in ["".to_owned(), "ipvs/".to_owned()].into_iter().chain(sequences) {
        for name in names(&folder) {
            accepted_unless_broken(&format!("{folder}{name}"));
        }
    }
}

fn accepted_unless_broken(name: &str) {
    if name.ends_with(".conf") {
        let loaded = read(name);
        let started_all_the_same = name == "ipvs/values-of-no-kind.conf";
        let refused = name == "unclosed-block.conf" || started_all_the_same;
        assert_eq!(loaded.model.is_none(), refused, "{name}\n{}", human(&loaded.diagnostics));
        let starts = read_with(name, Tolerance::Values).model.is_some();
        assert_eq!(starts, !refused || started_all_the_same, "{name}");
    }
}

#[test]
fn the_unclosed_block_is_named_with_its_line_and_the_misplaced_keyword() {
    let loaded = read("unclosed-block.conf");
    let text = human(&loaded.diagnostics);
    assert_eq!(loaded.count(Severity::Error), 2, "{text}");
    assert!(text.contains("virtual_server can't stand inside vrrp_instance"), "{text}");
    assert!(text.contains(":4:1: error[E0102]: block 'vrrp_instance VI_1' is never closed"), "{text}");
}

#[test]
fn a_missing_file_is_told_and_marked() {
    let loaded = read("no-such-file.conf");
    assert!(loaded.missing);
    assert_eq!(codes(&loaded), [("E0001", 0)]);
}
