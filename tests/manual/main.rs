//! The manual pages, README.md and the programs say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use config::names::OfflineNames;
use config::source::Memory;
use config::{KeywordUse, LoadOptions, keywords, load};
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

/// What a program says of itself, on whichever of its outputs.
fn help(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(build_directory().join(program))
        .args(arguments)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn help_options(program: &str, arguments: &[&str]) -> BTreeSet<String> {
    let text = help(program, arguments);
    text.split_whitespace().filter_map(|word| word.strip_prefix("--")).filter_map(long_option).collect()
}

/// The option's name up to the first character that no name has.
fn long_option(word: &str) -> Option<String> {
    let end = word.find(|letter: char| !letter.is_ascii_lowercase() && letter != '-' && letter != '_');
    let name = word.get(..end.unwrap_or(word.len()))?;
    (name.len() > 1 && name.starts_with(|first: char| first.is_ascii_lowercase())).then(|| name.to_owned())
}

/// Both ways: an option of the program that the page leaves out, and one of the page that the program doesn't have.
fn assert_same_options(page_name: &str, known: &BTreeSet<String>) {
    let documented = documented_options(&page(page_name));
    let undocumented: Vec<_> = known.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(known).collect();
    assert!(
        undocumented.is_empty() && unknown.is_empty() && known.len() > 5,
        "not in {page_name}: {undocumented:?}; not in --help: {unknown:?}"
    );
}

/// Commands of keepalivectl, or of one of its commands.
fn commands(arguments: &[&str]) -> Vec<String> {
    let text = help("keepalivectl", arguments);
    let commands = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names =
        commands.take_while(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn keepalived_8_describes_every_option_and_no_other() {
    assert_same_options("keepalived.8", &help_options("keepalived", &[]));
}

#[test]
fn genhash_1_describes_every_option_and_no_other() {
    assert_same_options("genhash.1", &help_options("genhash", &[]));
}

#[test]
fn keepalivectl_1_names_every_command() {
    let page = page("keepalivectl.1");
    let config = commands(&["config"]).into_iter().map(|name| format!("config {name}"));
    let names: Vec<String> =
        commands(&[]).into_iter().filter(|name| name != "config").chain(config).collect();
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!(".It Cm {name}"))).collect();
    assert!(names.len() > 15 && missing.is_empty(), "of {names:?} the page lacks {missing:?}");
}

#[test]
fn keepalivectl_1_describes_every_option_and_no_other() {
    let mut known = help_options("keepalivectl", &[]);
    for name in commands(&[]) {
        known.extend(help_options("keepalivectl", &[&name]));
    }
    for name in commands(&["config"]) {
        known.extend(help_options("keepalivectl", &["config", &name]));
    }
    assert_same_options("keepalivectl.1", &known);
}

#[test]
fn the_pair_of_directors_in_readme_is_accepted_on_both_machines_without_a_remark() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(file).expect("README.md can be read");
    let blocks = text.split("```\n").filter(|block| block.contains("vrrp_instance VI_1 {"));
    let blocks: Vec<&str> = blocks.collect();
    let [config] = blocks[..] else { panic!("one configuration, not {}", blocks.len()) };
    let source = Memory::new().with("/keepalived.conf", config);
    for (node, priority) in [("lb1", 150), ("lb2", 100)] {
        let options = LoadOptions { config_id: node.to_owned(), ..LoadOptions::default() };
        let loaded = load(&source, &OfflineNames, "/keepalived.conf", &options);
        let told = config::diagnostic::human(&loaded.diagnostics);
        let model = loaded.model.unwrap_or_else(|| panic!("{told}"));
        assert_eq!(told, "");
        assert_eq!(model.instances[0].priority.value(), priority);
        assert_eq!(model.virtual_servers[0].real_servers.len(), 2);
    }
}

/// Words of `Ic` macros on the lines that name what is described: keywords of the language.
fn described(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| line.starts_with(".It ") || line.starts_with(".Ic "));
    let mut out = BTreeSet::new();
    for line in lines {
        let mut is_keyword = line.starts_with(".Ic ");
        for word in line.split_whitespace().skip(1) {
            match word {
                "Ic" => is_keyword = true,
                "Ar" | "Op" | "Oo" | "Oc" | "Cm" | "Brq" | "No" | "Ns" | "Xo" | "Xc" | "Fl" | "Pq" => {
                    is_keyword = false;
                }
                word if is_keyword && word.starts_with(|first: char| first.is_ascii_alphabetic()) => {
                    out.insert(word.to_owned());
                }
                _ => {}
            }
        }
    }
    out
}

#[test]
fn keepalived_conf_5_describes_no_keyword_that_is_not_known() {
    let known: BTreeSet<&str> = keywords().iter().map(|keyword| keyword.name).collect();
    let described = described(&page("keepalived.conf.5"));
    assert!(described.len() > 300, "only {} words", described.len());
    let unknown: Vec<_> = described.iter().filter(|word| !known.contains(word.as_str())).collect();
    assert!(unknown.is_empty(), "on the page, but not known: {unknown:?}");
}

#[test]
fn every_example_of_keepalived_conf_5_is_accepted_without_a_warning() {
    let page = page("keepalived.conf.5");
    let mut blocks: BTreeSet<String> = BTreeSet::new();
    let mut examples = 0;
    for part in page.split(".Bd -literal").skip(1) {
        let (_, text) = part.split_once('\n').expect("a line ends the macro");
        let (text, _) = text.split_once(".Ed").expect("the display ends");
        let text = text.replace("\\e", "\\");
        let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let source = Memory::new()
            .with("/keepalived.conf", text.clone())
            .with("/etc/keepalived/client.pem", pem("CERTIFICATE"))
            .with("/etc/keepalived/client.key", pem("PRIVATE KEY"))
            .with("/etc/ssl/certs/ca-certificates.crt", pem("CERTIFICATE"));
        let loaded = load(&source, &OfflineNames, "/keepalived.conf", &LoadOptions::default());
        let told = config::diagnostic::human(&loaded.diagnostics);
        assert!(loaded.model.is_some() && told.is_empty(), "{text}\n{told}");
        let starts = text.lines().filter(|line| line.ends_with('{') && !line.starts_with('$'));
        blocks.extend(starts.filter_map(|line| line.split_whitespace().next()).map(str::to_owned));
        examples += 1;
    }
    assert!(examples > 20, "only {examples} examples");
    let without: Vec<_> = BLOCKS.iter().filter(|block| !blocks.contains(**block)).collect();
    assert!(without.is_empty(), "no example has {without:?}");
}

/// Blocks that work here: each has an example.
const BLOCKS: [&str; 29] = [
    "DNS_CHECK",
    "HTTP_GET",
    "MISC_CHECK",
    "SMTP_CHECK",
    "SSL",
    "SSL_GET",
    "UDP_CHECK",
    "auth_hmac",
    "authentication",
    "garp_group",
    "global_defs",
    "interface_up_down_delays",
    "notification_email",
    "real_server",
    "static_ipaddress",
    "static_routes",
    "track_file",
    "track_group",
    "unicast_peer",
    "url",
    "virtual_ipaddress",
    "virtual_ipaddress_excluded",
    "virtual_routes",
    "virtual_server",
    "virtual_server_group",
    "vrrp_instance",
    "vrrp_sync_group",
    "vrrp_script",
    "vrrp_track_process",
];

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
