//! Scenarios inside user-mode Linux.
fn main() {}
