//! `make bench`: figures of ours beside those of Debian's keepalived, taken in one run on one machine.
//!
//! [`measure`], [`load`], [`hostile`], [`reload`] and [`checks`] take them in a sandbox on the host's kernel, [`memory`]
//! also inside a user-mode kernel, where the reference can check servers too, and [`ipvs`] there alone. [`table`] prints and writes them.

pub mod checks;
pub mod hostile;
pub mod ipvs;
pub mod load;
pub mod measure;
pub mod memory;
pub mod reload;
pub mod table;

use serde_json::{Value, json};

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What was measured, with its unit.
    pub what: String,
    /// What it may be at most; a figure without target is told for comparison.
    pub target: Option<f64>,
    /// Ours.
    pub ours: f64,
    /// Debian's keepalived, where it can be asked.
    pub c: Option<f64>,
}

impl Figure {
    /// Whether ours meets the target.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.target.is_none_or(|target| self.ours <= target)
    }

    /// For the program that started the measurement.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "what": self.what, "target": self.target, "ours": self.ours, "c": self.c })
    }

    /// What [`Self::to_json`] made.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            what: value["what"].as_str()?.to_owned(),
            target: value["target"].as_f64(),
            ours: value["ours"].as_f64()?,
            c: value["c"].as_f64(),
        })
    }
}

/// The middle value; 0 of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
