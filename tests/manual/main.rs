//! The manual pages and the programs say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use config::{KeywordUse, keywords};
use tests::lab::sandbox::build_directory;

fn page(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man").join(name);
    fs::read_to_string(&file).expect("the page can be read")
}

/// Long options of a page: words that follow `Fl -`.
fn documented_options(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| line.contains("Fl ") && !line.starts_with(".Bl"));
    let words = lines.flat_map(str::split_whitespace);
    words.filter_map(|word| word.strip_prefix('-')).filter_map(long_option).collect()
}

fn help_options(program: &str, arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(build_directory().join(program))
        .args(arguments)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().filter_map(|word| word.strip_prefix("--")).filter_map(long_option).collect()
}

/// The option's name up to the first character that no name has.
fn long_option(word: &str) -> Option<String> {
    let end = word.find(|letter: char| !letter.is_ascii_lowercase() && letter != '-' && letter != '_');
    let name = word.get(..end.unwrap_or(word.len()))?;
    (name.len() > 1 && name.starts_with(|first: char| first.is_ascii_lowercase())).then(|| name.to_owned())
}

#[test]
fn keepalived_8_describes_every_option_and_no_other() {
    let documented = documented_options(&page("keepalived.8"));
    let known = help_options("keepalived", &[]);
    let undocumented: Vec<_> = known.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&known).collect();
    assert!(
        undocumented.is_empty() && unknown.is_empty(),
        "not on the page: {undocumented:?}; not in --help: {unknown:?}"
    );
}

#[test]
fn keepalivectl_1_names_every_command() {
    let output = Command::new(build_directory().join("keepalivectl"))
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let commands = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| line.starts_with("  "));
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    let page = page("keepalivectl.1");
    let missing: Vec<_> =
        names.iter().filter(|name| **name != "help" && !page.contains(&format!(".It Cm {name}"))).collect();
    assert!(names.len() > 3 && missing.is_empty(), "of {names:?} the page lacks {missing:?}");
}

#[test]
fn keepalived_conf_5_names_every_active_keyword() {
    let page = page("keepalived.conf.5");
    let words: BTreeSet<&str> =
        page.lines().filter(|line| line.starts_with('.')).flat_map(str::split_whitespace).collect();
    let missing: Vec<String> = keywords()
        .iter()
        .filter(|keyword| keyword.usage == KeywordUse::Active)
        .filter(|keyword| keyword.name.starts_with(|first: char| first.is_ascii_alphabetic()))
        .filter(|keyword| !keyword.block.contains(':') && !words.contains(keyword.name))
        .map(|keyword| format!("{}/{}", keyword.block, keyword.name))
        .collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}
