//! The stable codes of diagnostics. A code keeps its meaning for ever; a number is never used twice.

use std::fmt;

use serde::Serialize;

/// A stable code such as `E0203`: severity is told by [`super::Severity`], the letter repeats it for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: Code = Code($code);)*

        /// Every code, for documentation and tests.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    /// A file could not be read.
    UNREADABLE = "E0001";
    /// An include directive with strictness flags found no usable file.
    INCLUDE_STRICT = "E0002";
    /// An include directive without strictness flags found no usable file.
    INCLUDE_EMPTY = "W0003";
    /// Files include each other too deeply, in a loop, or too many of them.
    INCLUDE_LIMIT = "E0004";
    /// A line is longer than the limit.
    LINE_TOO_LONG = "E0005";
    /// A line holds a NUL byte.
    NUL_BYTE = "E0006";
    /// Substitution and repetition produced more text than the limit.
    EXPANSION_LIMIT = "E0007";
    /// A `~SEQ` or `~LST` directive is malformed.
    BAD_REPEAT = "E0008";
    /// Parameters refer to each other too deeply.
    PARAMETER_LIMIT = "E0009";
    /// A built-in parameter was used wrongly.
    BAD_BUILT_IN = "E0010";
    /// A file is larger than the limit.
    FILE_TOO_LARGE = "E0011";
    /// A file is not UTF-8.
    NOT_UTF8 = "W0012";
    /// More than one file matches the main path.
    SEVERAL_MAIN_FILES = "W0013";
    /// A parameter is used that nothing defines.
    UNDEFINED_PARAMETER = "W0014";
    /// Problems beyond the number that is shown.
    NOT_SHOWN = "N0099";

    /// No such keyword.
    UNKNOWN_KEYWORD = "E0101";
    /// A block is never closed.
    UNCLOSED_BLOCK = "E0102";
    /// A `}` closes nothing.
    UNEXPECTED_CLOSE = "E0103";
    /// A `{` follows something that opens no block.
    UNEXPECTED_OPEN = "E0104";
    /// A quote is never closed.
    UNTERMINATED_QUOTE = "E0105";
    /// A keyword that opens a block has none.
    MISSING_OPEN = "E0106";
    /// A keyword stands in a block where it doesn't belong.
    MISPLACED_KEYWORD = "E0107";
    /// Blocks are nested too deeply.
    NESTING_LIMIT = "E0108";

    /// A keyword lacks its value.
    MISSING_VALUE = "E0201";
    /// A value is no number.
    NOT_A_NUMBER = "E0202";
    /// A number is out of range.
    OUT_OF_RANGE = "E0203";
    /// A value is no address.
    BAD_ADDRESS = "E0204";
    /// A value is none of the allowed words.
    UNKNOWN_WORD = "E0205";
    /// Words follow that nothing reads.
    SURPLUS_WORDS = "W0206";
    /// An address has the wrong family.
    WRONG_FAMILY = "E0207";
    /// A text is too long or has characters that are not allowed.
    BAD_TEXT = "E0208";
    /// A keyword is given twice and the last one counts.
    GIVEN_TWICE = "W0209";

    /// A name is used that nothing defines.
    UNDEFINED_NAME = "E0301";
    /// A name or identity is used twice.
    DUPLICATE = "E0302";
    /// A required keyword is missing.
    MISSING_KEYWORD = "E0303";
    /// Two settings exclude each other.
    CONFLICT = "E0304";
    /// Something defined is never used.
    UNUSED = "W0305";
    /// An interface is named that this machine doesn't have now.
    INTERFACE_ABSENT = "W0306";

    /// No such user or group.
    UNKNOWN_USER = "E0401";
    /// A program doesn't exist.
    SCRIPT_MISSING = "E0402";
    /// A program may not be executed by the user that would run it.
    SCRIPT_NOT_EXECUTABLE = "E0403";
    /// Somebody else than root could replace a program that runs as root.
    SCRIPT_UNSAFE = "E0404";
    /// A program runs as root because nothing says otherwise.
    SCRIPT_AS_ROOT = "W0405";
    /// A program without a full path was looked for.
    SCRIPT_IN_PATH = "W0406";
    /// A signal test can't work as the user that would run it.
    SIGNAL_TEST = "W0407";
    /// A command can't be split into words.
    BAD_COMMAND = "E0408";
    /// A command uses the syntax of a shell, which no shell reads.
    SHELL_SYNTAX = "W0409";
    /// A program that only tells of changes doesn't exist or isn't executable yet.
    SCRIPT_ABSENT = "W0410";

    /// A keyword is known but does nothing yet.
    NOT_ACTIVE = "W0501";
    /// A keyword is known, does nothing yet, and the service would be wrong without it.
    NOT_ACTIVE_REFUSED = "E0502";
    /// A checker does nothing yet: its server counts as up.
    CHECKER_NOT_ACTIVE = "W0503";
    /// An old spelling.
    DEPRECATED = "W0504";

    /// A value was rounded or brought into its range.
    ADJUSTED = "W0601";
    /// A key file can be read by others than its owner.
    EXPOSED_KEY = "W0604";
    /// The first IPv6 address isn't link-local.
    NOT_LINK_LOCAL = "W0605";
    /// A setting has no effect beside another one.
    NO_EFFECT = "W0602";
    /// A default was taken that is worth knowing.
    DEFAULTED = "W0603";
}

/// Errors that refuse a configuration in compatible reading too: what a daemon can't start from, what would
/// be unsafe, and what ends no other way.
pub(super) const FATAL: &[Code] = &[
    UNREADABLE,
    INCLUDE_STRICT,
    INCLUDE_LIMIT,
    EXPANSION_LIMIT,
    PARAMETER_LIMIT,
    FILE_TOO_LARGE,
    NESTING_LIMIT,
    NOT_ACTIVE_REFUSED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_used_twice() {
        let mut numbers: Vec<&str> = ALL.iter().filter_map(|code| code.0.get(1..)).collect();
        numbers.sort_unstable();
        let before = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), before);
    }
}
