//! keepalived.conf: from text to a typed, valid model.
//!
//! `model` is what every process shares. The parser half (everything else) is used by the config worker,
//! keepalivectl and tests only.

pub mod model;
