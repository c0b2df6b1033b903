//! Wiring of the VRRP daemon.
fn main() {}
