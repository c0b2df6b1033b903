//! What is checked, and how: the cases of each act.

mod checks;
mod pools;
mod settings;

pub(super) use checks::CHECKS;
pub(super) use pools::POOLS;
pub(super) use settings::SETTINGS;

/// One virtual server.
pub(in crate::kernel::checks) struct Case {
    pub(in crate::kernel::checks) name: &'static str,
    pub(in crate::kernel::checks) kind: Kind,
    /// What stands in its block. `%A` to `%C` are addresses of servers, `%P` one of IPv6, `%S` and `%T` those of sorry
    /// servers, `%NOTE` a program that writes its arguments down, `%STATUS` one that exits with its first, second or third
    /// argument by phase.
    pub(in crate::kernel::checks) block: &'static str,
    /// Words of `docs/differences.md` where the outcomes differ.
    pub(in crate::kernel::checks) differs: Option<&'static str>,
}

/// How a virtual server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel::checks) enum Kind {
    Tcp,
    Tcp6,
    Udp,
    Mark,
    Group,
}

const fn same(name: &'static str, block: &'static str) -> Case {
    Case { name, kind: Kind::Tcp, block, differs: None }
}

const fn of(kind: Kind, name: &'static str, block: &'static str) -> Case {
    Case { name, kind, block, differs: None }
}

const fn differs(name: &'static str, block: &'static str, words: &'static str) -> Case {
    Case { name, kind: Kind::Tcp, block, differs: Some(words) }
}
