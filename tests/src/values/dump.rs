//! keepalived's dump of a configuration, line by line.

use super::{Facts, route};

/// Lines that open an object: the label in front of its name.
const OBJECTS: [&str; 5] =
    ["VRRP Instance", "VRRP Sync Group", "VRRP Script", "Track file", "VRRP Track process"];

/// Bytes of the time in front of each line.
const STAMP: usize = "Sun Nov 22 09:06:50 2026: ".len();

/// The line behind which nothing is of the configuration.
pub const END: &str = "------< Interfaces >------";

/// Facts of a dump; the list of a label stands deeper than the label.
#[must_use]
pub fn facts(text: &str) -> Facts {
    let mut out = Facts::default();
    let (mut object, mut list) = (String::new(), String::new());
    for line in text.lines().filter_map(|line| line.get(STAMP..)) {
        let depth = line.len() - line.trim_start().len();
        let words = line.trim();
        if words == END {
            break;
        }
        if let Some(section) = words.strip_prefix("------< ").and_then(|rest| rest.strip_suffix(" >------")) {
            object = section.to_owned();
            continue;
        }
        let pair = words.split_once(" = ").or_else(|| Some((words.strip_suffix(" =")?, "")));
        match (depth, pair) {
            (0, _) => {}
            (1, Some((label, name))) if OBJECTS.contains(&label) => {
                let name = name.split(", ").next().unwrap_or(name);
                object = format!("{label} {name}");
            }
            (5.., _) if list == "Virtual Routes" => {
                if words.contains(['.', '/']) {
                    out.tell(&object, &list, route::theirs(words));
                }
            }
            (5.., _) => {
                let lifetimes = [" preferred_lft forever", " deprecated"];
                let words = lifetimes.iter().fold(words, |words, end| words.trim_end_matches(end));
                out.tell(&object, &list, words);
            }
            (3, None) if object == "Global definitions" => out.tell(&object, &list, words),
            (_, Some((label, value))) => out.tell(&object, label, value),
            (_, None) => match words.strip_suffix(':') {
                Some(label) => {
                    list = label.split(" (").next().unwrap_or(label).trim().to_owned();
                }
                None => said(&mut out, &object, words),
            },
        }
    }
    out
}

/// Lines without an equals sign: `Multicast address 224.0.0.18`, `Check unicast src : yes`, and words alone.
fn said(out: &mut Facts, object: &str, words: &str) {
    if let Some(group) = words.strip_prefix("Multicast address ") {
        out.tell(object, "Multicast address", group.split(',').next().unwrap_or(group));
    } else if let Some((label, value)) = words.split_once(" : ") {
        out.tell(object, label, value);
    } else {
        out.tell(object, words, "yes");
    }
}
