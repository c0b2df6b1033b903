//! The vocabulary of the pages: one system call, the arguments it may have, and why.
//!
//! Pure data; `seccomp` compiles it.

use libc::c_long;

/// One system call.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its number.
    pub call: c_long,
    /// Alternatives: the call matches if every test of one of them holds. Empty: whatever its arguments are.
    pub alternatives: &'static [&'static [Test]],
    /// Which code needs it, or why it is refused.
    pub why: &'static str,
}

/// A condition on the low 32 bits of one argument: the kernel takes all arguments tested here as 32-bit numbers, so
/// the upper half must not decide.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// Argument number from 0.
    pub argument: u8,
    /// What it must be.
    pub compare: Compare,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Is(u32),
    /// Different.
    IsNot(u32),
    /// Below.
    Below(u32),
    /// Equal in the bits of the mask.
    Masked {
        /// Bits that are compared.
        mask: u32,
        /// Their value.
        value: u32,
    },
    /// Equal to the process id of the confined process.
    OwnPid,
}

/// A call allowed (or refused) whatever its arguments are.
pub(super) const fn call(call: c_long, why: &'static str) -> Rule {
    Rule { call, alternatives: &[], why }
}

/// A call allowed (or refused) for the given alternatives only.
pub(super) const fn when(call: c_long, alternatives: &'static [&'static [Test]], why: &'static str) -> Rule {
    Rule { call, alternatives, why }
}

/// Argument `argument` equals `value`.
pub(super) const fn is(argument: u8, value: i32) -> Test {
    Test { argument, compare: Compare::Is(value.cast_unsigned()) }
}

/// Argument `argument` differs from `value`.
pub(super) const fn is_not(argument: u8, value: i32) -> Test {
    Test { argument, compare: Compare::IsNot(value.cast_unsigned()) }
}

/// Argument `argument` is below `value`.
pub(super) const fn below(argument: u8, value: i32) -> Test {
    Test { argument, compare: Compare::Below(value.cast_unsigned()) }
}

/// Argument `argument` has none of the bits of `mask`.
pub(super) const fn lacks(argument: u8, mask: i32) -> Test {
    Test { argument, compare: Compare::Masked { mask: mask.cast_unsigned(), value: 0 } }
}

/// Argument `argument` has all of the bits of `mask`.
pub(super) const fn has(argument: u8, mask: i32) -> Test {
    Test { argument, compare: Compare::Masked { mask: mask.cast_unsigned(), value: mask.cast_unsigned() } }
}

/// The type argument of socket(2) is `kind`, whatever its close-on-exec and non-blocking flags.
pub(super) const fn socket_type(kind: i32) -> Test {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    Test {
        argument: 1,
        compare: Compare::Masked { mask: !flags.cast_unsigned(), value: kind.cast_unsigned() },
    }
}
