//! Confines itself like a daemon.

fn main() {}
