//! `make demo`: a site in operation, told as a timeline with figures, and a table of what was promised and seen.
//!
//! Two parts: [`stage`] runs where IPVS is (a user-mode kernel, or the host's), [`confinement`] on the host's own
//! kernel. Each leaves its lines in a file; the program `lab-demo` puts them together.

pub mod confinement;
pub mod report;
pub mod stage;

pub use report::{Line, Report};
