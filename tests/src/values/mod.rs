//! What keepalived makes of a configuration, as its own dump (`-d`) tells it, beside what our model says: two lists of
//! facts with the words of the dump. [`dump`] reads the one, [`vrrp`] writes the other.
//!
//! A fact is compared when we write it: what the dump tells of the moment (sockets, states, counters) has no word here.

pub mod dump;
pub mod route;
pub mod vrrp;

use std::collections::BTreeMap;

/// Values by object (`VRRP Instance VI_1`) and label (`Priority`), in the order of the dump.
#[derive(Debug, Default)]
pub struct Facts(BTreeMap<(String, String), Vec<String>>);

impl Facts {
    /// Adds a value; a label without values is there, too, when it has been [`Facts::mention`]ed.
    pub fn tell(&mut self, object: &str, label: &str, value: impl Into<String>) {
        self.0.entry((object.to_owned(), label.to_owned())).or_default().push(value.into());
    }

    /// A label whose absence means something.
    pub fn mention(&mut self, object: &str, label: &str) {
        self.0.entry((object.to_owned(), label.to_owned())).or_default();
    }

    /// Facts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of our facts that the other side tells otherwise, or not at all.
    #[must_use]
    pub fn differences(&self, theirs: &Self) -> Vec<String> {
        let nothing = Vec::new();
        let differs = |((object, label), ours): (&(String, String), &Vec<String>)| {
            let told = theirs.0.get(&(object.clone(), label.clone())).unwrap_or(&nothing);
            (told != ours).then(|| format!("{object}: {label}: keepalived {told:?}, here {ours:?}"))
        };
        self.0.iter().filter_map(differs).collect()
    }
}
