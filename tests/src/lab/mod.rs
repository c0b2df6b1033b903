//! Building blocks of every suite. Nothing here decides what is right: scenarios do.

pub mod answers;
pub mod capture;
pub mod clients;
pub mod clock;
pub mod config_text;
pub mod failure;
pub mod forged;
pub mod frr;
pub mod guest;
pub mod host;
pub mod ipvs;
pub mod lan;
pub mod lateness;
pub mod machine;
pub mod mail;
pub mod memory;
pub mod probe;
pub mod process;
pub mod sandbox;
pub mod silent;
pub mod site;
pub mod subject;
pub mod web;

pub use capture::{Advert, Capture};
pub use clock::{pause, wait_for, wait_until};
pub use failure::Failure;
pub use host::Host;
pub use lan::Lan;
pub use lateness::{Lateness, on_a_steady_machine};
pub use machine::{Group, Machine};
pub use memory::Scarcity;
pub use probe::{Echo, Probe, ProbeReport};
pub use sandbox::{Lab, sandboxed};
pub use silent::Silent;
pub use subject::{Director, Subject};
