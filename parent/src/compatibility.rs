//! `docs/compatibility.md`: the keywords of the configuration, then the options of the command line beside those of
//! keepalived 2.4.3.
//!
//! Pure: made from the tables that the program itself reads, for documentation and the test that holds it.

use clap::CommandFactory;

use crate::args::Args;

/// Options of keepalived 2.4.3, by their long names, and their letters.
const UPSTREAM: [(&str, Option<char>); 35] = [
    ("use-file", Some('f')),
    ("vrrp", Some('P')),
    ("check", Some('C')),
    ("no_bfd", Some('B')),
    ("all", None),
    ("log-console", Some('l')),
    ("log-detail", Some('D')),
    ("log-facility", Some('S')),
    ("log-file", Some('g')),
    ("flush-log-file", None),
    ("no-syslog", Some('G')),
    ("umask", Some('u')),
    ("release-vips", Some('X')),
    ("dont-release-vrrp", Some('V')),
    ("dont-release-ipvs", Some('I')),
    ("dont-respawn", Some('R')),
    ("dont-fork", Some('n')),
    ("dump-conf", Some('d')),
    ("pid", Some('p')),
    ("vrrp_pid", Some('r')),
    ("checkers_pid", Some('c')),
    ("bfd_pid", Some('b')),
    ("genhash", Some('T')),
    ("address-monitoring", Some('a')),
    ("snmp", Some('x')),
    ("snmp-agent-socket", Some('A')),
    ("namespace", Some('s')),
    ("core-dump", Some('m')),
    ("core-dump-pattern", Some('M')),
    ("all-config", Some('e')),
    ("config-id", Some('i')),
    ("ignore-sigint", None),
    ("signum", None),
    ("config-test", Some('t')),
    ("version", Some('v')),
];

/// Those of them that change nothing here.
const ACCEPTED: [&str; 5] = ["no_bfd", "flush-log-file", "bfd_pid", "snmp", "snmp-agent-socket"];

/// The page.
#[must_use]
pub fn page() -> String {
    let mut out = config::compatibility_page();
    out.push_str("\n## Options of the command line\n\n| option | | |\n|---|---|---|\n");
    for option in Args::command().get_arguments() {
        let Some(long) = option.get_long() else { continue };
        let letter = option.get_short().map(|letter| format!("`-{letter}`, ")).unwrap_or_default();
        let usage = match UPSTREAM.iter().any(|(name, _)| *name == long) {
            true if ACCEPTED.contains(&long) => "accepted, changes nothing",
            true => "active",
            false => "here only",
        };
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        out.push_str(&format!("| {letter}`--{long}` | {usage} | {help} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_compatibility_is_that_of_the_tables() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/compatibility.md");
        let written = std::fs::read_to_string(file).unwrap();
        assert!(
            written == page(),
            "docs/compatibility.md is out of date: cargo run -p parent --example compatibility > docs/compatibility.md"
        );
    }

    #[test]
    fn every_option_of_keepalived_is_known_by_its_name_and_letter() {
        let command = Args::command();
        for (long, letter) in UPSTREAM {
            let option = command.get_arguments().find(|option| option.get_long() == Some(long));
            assert_eq!(option.map(clap::Arg::get_short), Some(letter), "{long}");
        }
    }
}
