//! The limits of the configuration language, each named where it is checked.

/// Bytes of one line, before and after substitution.
pub const LINE_BYTES: usize = 8_191;
/// Bytes of all files together.
pub const TOTAL_BYTES: usize = 64 * 1024 * 1024;
/// Files of one configuration.
pub const FILES: usize = 4_096;
/// Files that include each other.
pub const INCLUDE_DEPTH: usize = 16;
/// Alternatives of `{a,b}` in one include.
pub const BRACE_ALTERNATIVES: usize = 256;
/// Bytes of one parameter.
pub const PARAMETER_BYTES: usize = 256 * 1024;
/// Parameters and repetitions inside each other.
pub const DEPTH: usize = 32;
/// References in one line.
pub const REFERENCES: usize = 1_000;
/// Lines made by substitution and repetition.
pub const EXPANDED_LINES: usize = 250_000;
/// Bytes of lines made by substitution and repetition.
pub const EXPANDED_BYTES: usize = 16 * 1024 * 1024;
/// Bytes moved while making them.
pub const WORK_BYTES: usize = 64 * 1024 * 1024;
/// What each step costs beside its bytes, so that empty steps end too.
pub const STEP_COST: usize = 64;
/// Blocks inside each other.
pub const NESTING: usize = 32;
