//! `vip_lease`, a keyword of our own: how long the kernel keeps an address that nobody renews.

use super::*;

/// A lease as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// None.
    Off,
    /// As long as suits the instance.
    Usual,
    /// So many seconds.
    Seconds(u32),
}

/// Reads the value.
pub(super) fn read(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<Lease> {
    let word = lowering.required(line, 1, "on, off or seconds")?;
    lowering.end(line, 2);
    match word.text {
        "on" | "true" | "yes" => Some(Lease::Usual),
        "off" | "false" | "no" => Some(Lease::Off),
        _ => lowering.unsigned(line, 1, 2, 86_400).map(Lease::Seconds),
    }
}
