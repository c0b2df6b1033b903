//! Names of iproute2 for numbers of the kernel: scopes, tables, protocols, realms, types of service.
//!
//! Reads text, no file: `names` does that. A line is a number, decimal or hexadecimal, and a name.

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumberTable {
    /// `rt_scopes`.
    Scopes,
    /// `rt_tables`.
    Tables,
    /// `rt_protos`.
    Protocols,
    /// `rt_realms`.
    Realms,
    /// `rt_dsfield`.
    ServiceTypes,
}

/// Directory of the administrator's tables, unless `iproute_etc_dir` names another.
pub const ETC_DIRECTORY: &str = "/etc/iproute2";

/// Directory of the distribution's tables, unless `iproute_usr_dir` names another.
pub const USR_DIRECTORY: &str = "/usr/share/iproute2";

impl NumberTable {
    /// Name of the file in the directories of iproute2; `.d` behind it is a directory with more.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Scopes => "rt_scopes",
            Self::Tables => "rt_tables",
            Self::Protocols => "rt_protos",
            Self::Realms => "rt_realms",
            Self::ServiceTypes => "rt_dsfield",
        }
    }

    /// The greatest number that there can be.
    #[must_use]
    pub fn greatest(self) -> u32 {
        match self {
            Self::Scopes | Self::Protocols | Self::ServiceTypes => 255,
            Self::Realms => 65_535,
            Self::Tables => u32::MAX,
        }
    }

    /// What the kernel's own headers name, whatever files say.
    #[must_use]
    pub fn standard(self, name: &str) -> Option<u32> {
        let known: &[(&str, u32)] = match self {
            Self::Scopes => &[("global", 0), ("site", 200), ("link", 253), ("host", 254), ("nowhere", 255)],
            Self::Tables => &[("default", 253), ("main", 254), ("local", 255)],
            Self::Protocols => {
                &[("redirect", 1), ("kernel", 2), ("boot", 3), ("static", 4), ("ra", 9), ("keepalived", 18)]
            }
            Self::Realms | Self::ServiceTypes => &[],
        };
        known.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
    }

    /// Number of a name in the text of a file.
    #[must_use]
    pub fn find(self, text: &str, name: &str) -> Option<u32> {
        text.lines().find_map(|line| {
            let mut words = line.split('#').next().unwrap_or("").split_ascii_whitespace();
            let number = words.next().and_then(number)?;
            (words.next() == Some(name) && number <= self.greatest()).then_some(number)
        })
    }
}

/// A number as iproute2 writes it.
#[must_use]
pub fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# reserved\n255\tlocal\n 0x2a  blue # comment\n70000 large\nx y\n";

    #[test]
    fn names_are_found_beside_decimal_and_hexadecimal_numbers() {
        assert_eq!(NumberTable::Tables.find(FILE, "blue"), Some(42));
        assert_eq!(NumberTable::Tables.find(FILE, "large"), Some(70_000));
        assert_eq!(NumberTable::Tables.find(FILE, "comment"), None);
        assert_eq!(NumberTable::Tables.find(FILE, "y"), None);
    }

    #[test]
    fn a_number_that_the_kernel_has_no_room_for_is_none() {
        assert_eq!(NumberTable::Scopes.find("256 far\n255 nowhere\n", "far"), None);
    }
}
