//! Blocks that are known and do nothing yet: their keywords are checked like all others.

use super::*;

/// The keywords of a block that does nothing yet.
pub(crate) struct InertTable {
    /// Path of the block.
    pub(crate) block: &'static str,
    /// Its keywords.
    pub(crate) rows: &'static [Row<Inert>],
}

/// Reads such a block.
pub(super) fn block(lowering: &mut Lowering<'_>, line: &Line<'_>, table: &'static InertTable) {
    let name = table.block.rsplit('/').next().unwrap_or(table.block);
    let outer = std::mem::replace(&mut lowering.quiet, true);
    lowering.block(name, line, table.rows, &mut Inert);
    lowering.quiet = outer;
}

/// Keywords of `bfd_instance`.
pub(super) static BFD_INSTANCE: InertTable = InertTable {
    block: "bfd_instance",
    rows: &[
        inactive("source_ip", Shape::Address),
        inactive("neighbor_ip", Shape::Address),
        inactive("neighbour_ip", Shape::Address),
        inactive("min_rx", Shape::Milliseconds(1_000, 4_294_967_000)),
        inactive("min_tx", Shape::Milliseconds(1_000, 4_294_967_000)),
        inactive("idle_tx", Shape::Milliseconds(1_000_000, 4_294_967_000)),
        inactive("multiplier", Shape::Number(1, 255)),
        inactive("passive", Shape::Flag),
        inactive("ttl", Shape::Number(1, 255)),
        inactive("hoplimit", Shape::Number(1, 255)),
        inactive("max_hops", Shape::Number(-1, 255)),
        inactive("multihop", Shape::Bool),
        inactive("weight", Shape::Weight(-254, 254)),
        inactive("vrrp", Shape::Flag),
        inactive("checker", Shape::Flag),
    ],
};

/// Keywords of `virtual_server/real_server/BFD_CHECK`.
pub(super) static BFD_CHECK: InertTable = InertTable {
    block: "virtual_server/real_server/BFD_CHECK",
    rows: &[inactive("name", Shape::Words(1, 1)), inactive("alpha", Shape::Bool)],
};

/// Every table of this file.
pub(super) static TABLES: &[&InertTable] = &[&BFD_INSTANCE, &BFD_CHECK];
