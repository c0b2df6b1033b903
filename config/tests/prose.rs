//! Configurations in prose: each fenced `keepalived.conf` of `tests/conf/*.md` says in comments on its lines
//! which diagnostics it draws (`# error[E0203]`), and a fenced `print` behind it which canonical lines it
//! must hold. What is accepted must read back from its canonical text as the same model.

use std::collections::BTreeSet;
use std::path::Path;

use config::diagnostic::{Diagnostic, human};
use config::names::OfflineNames;
use config::source::Memory;
use config::{LoadOptions, Loaded, load, print};

/// One fenced configuration.
struct Case {
    title: String,
    text: String,
    printed: Vec<String>,
}

fn cases(markdown: &str) -> Vec<Case> {
    let mut out: Vec<Case> = Vec::new();
    let mut title = String::new();
    let mut fence: Option<(String, String)> = None;
    for line in markdown.lines() {
        match (&mut fence, line.strip_prefix("```")) {
            (None, Some(kind)) => fence = Some((kind.to_owned(), String::new())),
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    title = heading.to_owned();
                }
            }
            (Some((kind, text)), Some(_)) => {
                if kind == "keepalived.conf" {
                    out.push(Case { title: title.clone(), text: text.clone(), printed: Vec::new() });
                } else if let Some(case) = out.last_mut() {
                    case.printed = text.lines().map(|line| line.trim().to_owned()).collect();
                }
                fence = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    out
}

/// Expected diagnostics: line and `severity[code]` from the comments.
fn expected(text: &str) -> BTreeSet<(u32, String)> {
    let mut out = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.split_once("# ").map_or("", |(_, comment)| comment);
        for word in comment.split_whitespace() {
            if word.starts_with("error[") || word.starts_with("warning[") {
                out.insert((number, word.to_owned()));
            }
        }
    }
    out
}

fn found(diagnostics: &[Diagnostic]) -> BTreeSet<(u32, String)> {
    diagnostics
        .iter()
        .map(|diagnostic| {
            let line = diagnostic.place.as_ref().map_or(0, |place| place.line);
            let severity =
                if diagnostic.severity == config::diagnostic::Severity::Error { "error" } else { "warning" };
            (line, format!("{severity}[{}]", diagnostic.code))
        })
        .collect()
}

fn read(text: &str) -> Loaded {
    let source = Memory::new().with("/etc/keepalived.conf", text);
    let options =
        LoadOptions { config_id: "node1".into(), host_name: "node1".into(), ..LoadOptions::default() };
    load(&source, &OfflineNames, "/etc/keepalived.conf", &options)
}

fn judge(file: &str, case: &Case) -> Option<String> {
    let at = format!("{file}: {}", case.title);
    let loaded = read(&case.text);
    let (expected, found) = (expected(&case.text), found(&loaded.diagnostics));
    if expected != found {
        return Some(format!("{at}\nexpected {expected:?}\nfound {found:?}\n{}", human(&loaded.diagnostics)));
    }
    let model = loaded.model?;
    let text = print(&model);
    let mut rest = text.lines().map(str::trim);
    for line in &case.printed {
        if !rest.by_ref().any(|printed| printed == line) {
            return Some(format!("{at}\nthis line is missing from the canonical text: {line}\n{text}"));
        }
    }
    let again = read(&text);
    if again.model.as_ref() == Some(&model) {
        return None;
    }
    Some(format!(
        "{at}\nreads back as another model\n{text}\n{}\n{:#?}\n{model:#?}",
        human(&again.diagnostics),
        again.model
    ))
}

#[test]
fn every_case_draws_the_diagnostics_that_it_names_and_reads_back() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conf");
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        for case in cases(&std::fs::read_to_string(&path).unwrap()) {
            count += 1;
            failures.extend(judge(&file, &case));
        }
    }
    assert!(count > 20, "only {count} cases were found");
    assert!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n\n"));
}
