//! The units that protocol and kernel speak: one type each, checked when made.
//!
//! Decides ranges, nothing else. Used by every process; values reach it from the schema, from the wire
//! and from frames, and none of them is trusted.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Value outside the range that its type allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {low}..={high}, got {got}")]
pub struct OutOfRange {
    /// What was being read, in the configuration's words.
    pub what: &'static str,
    /// Least allowed value.
    pub low: u64,
    /// Greatest allowed value.
    pub high: u64,
    /// Value found.
    pub got: u64,
}

fn within(what: &'static str, got: u64, low: u64, high: u64) -> Result<u64, OutOfRange> {
    if (low..=high).contains(&got) { Ok(got) } else { Err(OutOfRange { what, low, high, got }) }
}

/// Virtual router identifier, 1..=255 (RFC 9568 section 5.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vrid(u8);

impl Vrid {
    /// Checked constructor.
    ///
    /// # Errors
    /// 0 is no virtual router.
    pub fn new(value: u8) -> Result<Self, OutOfRange> {
        within("virtual_router_id", u64::from(value), 1, 255).map(|_| Self(value))
    }

    /// Value as it stands in the header.
    #[must_use]
    pub fn value(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Priority of a router in an election, 0..=255 (RFC 9568 section 5.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Priority(u8);

impl Priority {
    /// The Master gives up its role at once.
    pub const RESIGN: Self = Self(0);
    /// The router owns the addresses.
    pub const OWNER: Self = Self(255);

    /// Any value that fits the header.
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// Value as it stands in the header.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Interval of adverts in centiseconds: 1..=4095 on the wire of VRRPv3 (RFC 9568 section 5.2.7),
/// whole seconds 1..=255 in VRRPv2 (RFC 3768 section 5.3.7), so 1..=25500 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AdvertInterval(u16);

impl AdvertInterval {
    /// Longest interval that VRRPv3 can carry, in centiseconds.
    pub const V3_MAX: u16 = 4095;

    /// From centiseconds.
    ///
    /// # Errors
    /// 0, and more than 255 seconds.
    pub fn from_centiseconds(value: u16) -> Result<Self, OutOfRange> {
        within("advert_int in centiseconds", u64::from(value), 1, 25_500).map(|_| Self(value))
    }

    /// Centiseconds, the unit of the VRRPv3 header.
    #[must_use]
    pub fn centiseconds(self) -> u16 {
        self.0
    }

    /// Whole seconds, the unit of the VRRPv2 header; a fraction is dropped.
    #[must_use]
    pub fn whole_seconds(self) -> u8 {
        u8::try_from(self.0 / 100).unwrap_or(u8::MAX)
    }

    /// As a length of time.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0) * 10)
    }
}

/// Instant of CLOCK_MONOTONIC in nanoseconds. Made by the reactor alone; everything else gets it as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
pub struct MonoTime(u64);

impl MonoTime {
    /// Nanoseconds since the clock's own start.
    #[must_use]
    pub const fn from_nanos(value: u64) -> Self {
        Self(value)
    }

    /// Nanoseconds since the clock's own start.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for MonoTime {
    type Output = Self;

    /// Saturates at the end of the clock, 584 years away.
    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Sub<Duration> for MonoTime {
    type Output = Self;

    /// Saturates at the clock's start.
    fn sub(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name($inner);

        impl $name {
            /// Wraps a number received or counted.
            #[must_use]
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The bare number.
            #[must_use]
            pub const fn value(self) -> $inner {
                self.0
            }

            /// Position in the table that the identifier indexes.
            #[must_use]
            pub fn index(self) -> usize {
                usize::try_from(self.0).unwrap_or(usize::MAX)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

identifier!(
    /// Position of a `vrrp_instance` in the model of one generation.
    InstanceId, u32
);
identifier!(
    /// Position of a script in the script table of one generation. Names a command, never carries one.
    ScriptId, u32
);
identifier!(
    /// Position of a tracked file in the file table of one generation. Names a file, never carries its path.
    FileId, u32
);
identifier!(
    /// Position of a tracked process in the table of one generation; no process id.
    ProcessId, u32
);
identifier!(
    /// Position of a `virtual_server` in the model of one generation.
    ServiceId, u32
);
identifier!(
    /// Position of a `real_server` inside its virtual server.
    ServerId, u32
);
identifier!(
    /// Position of a checker in the model of one generation, counted over all virtual servers.
    CheckId, u32
);
identifier!(
    /// Number of a configuration: 1 at start, one more at each reload that is tried.
    Generation, u64
);
identifier!(
    /// Index of a network interface in its namespace.
    IfIndex, u32
);

/// Weight of a destination, 0..=2147483647; 0 takes no new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weight(u32);

impl Weight {
    /// No new connections.
    pub const ZERO: Self = Self(0);

    /// Checked constructor.
    ///
    /// # Errors
    /// More than 2147483647, which the kernel would read as negative.
    pub fn new(value: u32) -> Result<Self, OutOfRange> {
        within("weight", u64::from(value), 0, 2_147_483_647).map(|_| Self(value))
    }

    /// The nearest weight to a sum that may have left the range.
    #[must_use]
    pub fn clamped(value: i64) -> Self {
        Self(u32::try_from(value.clamp(0, 2_147_483_647)).unwrap_or(0))
    }

    /// The bare number.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vrid_zero_is_refused() {
        assert_eq!(Vrid::new(0), Err(OutOfRange { what: "virtual_router_id", low: 1, high: 255, got: 0 }));
    }

    #[test]
    fn an_interval_of_100_centiseconds_is_one_second() {
        assert_eq!(AdvertInterval::from_centiseconds(100).unwrap().duration(), Duration::from_secs(1));
    }

    #[test]
    fn weights_clamp_to_the_kernels_range() {
        assert_eq!(Weight::clamped(-5).value(), 0);
        assert_eq!(Weight::clamped(3_000_000_000).value(), 2_147_483_647);
    }

    #[test]
    fn time_never_runs_backwards_past_zero() {
        assert_eq!(MonoTime::from_nanos(5) - Duration::from_secs(1), MonoTime::from_nanos(0));
    }
}
