//! Keywords outside every block.

use std::time::Duration;

use super::*;

/// A whole configuration as written.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) globals: GlobalDraft,
    pub(crate) child_wait_time: Option<Duration>,
    pub(crate) scripts: Vec<ScriptBlockDraft>,
    pub(crate) instances: Vec<InstanceDraft>,
    pub(crate) groups: Vec<GroupDraft>,
    pub(crate) services: Vec<ServiceDraft>,
}

/// Reads the whole tree.
pub(crate) fn lower(lowering: &mut Lowering<'_>) -> Draft {
    let mut draft = Draft::default();
    for node in lowering.tree.roots() {
        lowering.statement("the top level", node, TABLE, &mut draft);
    }
    lowering.unclosed();
    draft
}

/// Where a keyword belongs that stands in the innermost of `open` and is unknown there: the words for it.
pub(super) fn home_of(keyword: &str, open: &[(&'static str, Span)]) -> Option<String> {
    if keyword == "real_server" && open.iter().any(|(name, _)| *name == "virtual_server") {
        return Some("in virtual_server".to_owned());
    }
    let is_checker = keyword.ends_with("_CHECK") || keyword.ends_with("_GET");
    if is_checker && open.iter().any(|(name, _)| *name == "real_server") {
        return Some("in real_server".to_owned());
    }
    let here = TABLE.iter().any(|row| row.name == keyword);
    here.then(|| "at the top level".to_owned())
}

fn global_defs(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    super::global_defs::read(&mut draft.globals, lowering, line);
}

fn child_wait_time(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.child_wait_time = lowering.unsigned(line, 1, 0, 4294).map(Duration::from_secs);
    lowering.end(line, 2);
}

/// Keywords of `root`.
pub(super) static TABLE: &[Row<Draft>] = &[
    active("child_wait_time", child_wait_time),
    active("global_defs", global_defs),
    active("vrrp_instance", super::vrrp_instance::read),
    active("vrrp_script", super::vrrp_script::read),
    active("virtual_server_group", super::virtual_server_group::read),
    active("virtual_server", super::virtual_server::read),
    inactive("linkbeat_use_polling", Shape::Flag),
    refused("net_namespace", Shape::Words(1, 1), "the daemons would run in the wrong network namespace"),
    refused(
        "net_namespace_ipvs",
        Shape::Words(0, 1),
        "the table of another network namespace would be changed",
    ),
    inactive("namespace_with_ipsets", Shape::Flag),
    inactive("use_pid_dir", Shape::Flag),
    inactive("instance", Shape::Words(1, 1)),
    inactive("track_group", Shape::Block(inert::TRACK_GROUP)),
    inactive("static_ipaddress", Shape::Lines(&vocabulary::STATIC_ADDRESS)),
    inactive("static_routes", Shape::Lines(&vocabulary::STATIC_ROUTE)),
    inactive("static_rules", Shape::Lines(&vocabulary::STATIC_RULE)),
    refused(
        "vrrp_sync_group",
        Shape::Block(inert::VRRP_SYNC_GROUP),
        "its instances would change state one by one",
    ),
    inactive("garp_group", Shape::Block(inert::GARP_GROUP)),
    inactive("linkbeat_interfaces", Shape::Lines(&vocabulary::LINKBEAT)),
    inactive("vrrp_track_process", Shape::Block(inert::VRRP_TRACK_PROCESS)),
    inactive("interface_up_down_delays", Shape::Lines(&vocabulary::DELAYS)),
    inactive("SSL", Shape::Block(inert::SSL)),
    inactive("bfd_instance", Shape::Block(inert::BFD_INSTANCE)),
    inactive("track_file", Shape::Block(inert::TRACK_FILE)),
    inactive("vrrp_track_file", Shape::Block(inert::VRRP_TRACK_FILE)).old_for("track_file"),
];
