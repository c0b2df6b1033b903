//! Keywords outside every block.

use std::time::Duration;

use super::*;
use crate::model::process::IpvsNamespace;

/// A whole configuration as written.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) globals: GlobalDraft,
    pub(crate) child_wait_time: Option<Duration>,
    pub(crate) namespace: Option<Named>,
    pub(crate) ipvs_namespace: Option<IpvsNamespace>,
    pub(crate) instance: Option<String>,
    pub(crate) use_pid_dir: bool,
    pub(crate) scripts: Vec<ScriptBlockDraft>,
    pub(crate) files: Vec<FileDraft>,
    pub(crate) processes: Vec<CountedDraft>,
    pub(crate) instances: Vec<InstanceDraft>,
    pub(crate) sync_groups: Vec<SyncGroupDraft>,
    pub(crate) groups: Vec<GroupDraft>,
    pub(crate) services: Vec<ServiceDraft>,
    pub(crate) statics: StaticsDraft,
    pub(crate) garp_groups: Vec<GarpGroupDraft>,
    pub(crate) link_delays: Vec<LinkDelayDraft>,
    pub(crate) ssl: Option<SslDraft>,
}

/// What the place outside every block is called.
const TOP: &str = "the top level";

const BFD_INSTANCE: &str = "bfd_instance";

/// Reads the whole tree. What stands in the wrong block is read where it belongs, to find its problems too.
pub(crate) fn lower(lowering: &mut Lowering<'_>) -> Draft {
    let mut draft = Draft::default();
    for node in lowering.tree.roots() {
        lowering.statement(TOP, node, TABLE, &mut draft);
    }
    let mut next = 0;
    while let Some((node, home)) = lowering.strays.get(next).copied() {
        next += 1;
        match home {
            Home::Root => lowering.statement(TOP, node, TABLE, &mut draft),
            Home::VirtualServer => {
                let mut service = ServiceDraft::new(ServiceTarget::Mark(0), Span::default());
                lowering.statement("virtual_server", node, super::virtual_server::TABLE, &mut service);
            }
            Home::RealServer => {
                let mut server = ServerDraft::new(([0, 0, 0, 0], 0).into(), Span::default(), None);
                lowering.statement("real_server", node, real_server::TABLE, &mut server);
            }
        }
    }
    if lowering.told.contains(&(TOP, BFD_INSTANCE)) {
        super::global_process::tell_no_bfd(&draft.globals, lowering);
    }
    lowering.unclosed();
    draft
}

/// Where a misplaced keyword belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Outside every block.
    Root,
    /// In a `virtual_server`.
    VirtualServer,
    /// In a `real_server`.
    RealServer,
}

impl Home {
    /// Words for it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Root => "at the top level",
            Self::VirtualServer => "in virtual_server",
            Self::RealServer => "in real_server",
        }
    }
}

/// Where a keyword belongs that is unknown in the innermost of the open blocks.
pub(super) fn home_of(keyword: &str, open: &[(&'static str, Span)]) -> Option<Home> {
    let inside = |block: &str| open.iter().any(|(name, _)| *name == block);
    let is_checker = keyword.ends_with("_CHECK") || keyword.ends_with("_GET");
    if keyword == "real_server" && inside("virtual_server") {
        Some(Home::VirtualServer)
    } else if is_checker && inside("real_server") && real_server::TABLE.iter().any(|row| row.name == keyword)
    {
        Some(Home::RealServer)
    } else {
        TABLE.iter().any(|row| row.name == keyword).then_some(Home::Root)
    }
}

fn global_defs(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    super::global_defs::read(&mut draft.globals, lowering, line);
}

fn child_wait_time(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.child_wait_time = lowering.unsigned(line, 1, 0, 4_294_967_295).map(Duration::from_secs);
    lowering.end(line, 2);
}

/// A word that can be part of the name of a file.
fn file_word<'l>(lowering: &mut Lowering<'_>, line: &Line<'l>) -> Option<Word<'l>> {
    let word = lowering.required(line, 1, "a name")?;
    lowering.end(line, 2);
    if word.text.contains('/') || matches!(word.text, "." | "..") || word.text.len() > 200 {
        let message = format!("{} must be a name without slashes, got '{}'", line.keyword(), word.text);
        lowering.error(code::BAD_TEXT, word.span, message);
        return None;
    }
    Some(word)
}

fn net_namespace(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.namespace = file_word(lowering, line).map(Named::of);
}

/// Without a name, the namespace in which the suite was started.
fn net_namespace_ipvs(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.ipvs_namespace = match line.word(1) {
        None => Some(IpvsNamespace::Initial),
        Some(_) => file_word(lowering, line).map(|word| IpvsNamespace::Named(word.text.to_owned())),
    };
}

fn instance(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.instance = file_word(lowering, line).map(|word| word.text.to_owned());
}

fn use_pid_dir(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.use_pid_dir = true;
}

/// Keywords of `root`.
pub(super) static TABLE: &[Row<Draft>] = &[
    active("child_wait_time", child_wait_time),
    active("global_defs", global_defs),
    active("vrrp_instance", super::vrrp_instance::read),
    active("vrrp_script", super::vrrp_script::read),
    active("virtual_server_group", super::virtual_server_group::read),
    active("virtual_server", super::virtual_server::read),
    silent("linkbeat_use_polling", Shape::Flag),
    active("net_namespace", net_namespace).first_counts(),
    active("net_namespace_ipvs", net_namespace_ipvs).first_counts(),
    // Every kernel that this suite starts on keeps the sets of namespaces apart.
    silent("namespace_with_ipsets", Shape::Flag),
    active("use_pid_dir", use_pid_dir),
    active("instance", instance).first_counts(),
    active("track_group", statics::track_group),
    active("static_ipaddress", statics::addresses),
    active("static_routes", statics::routes),
    inactive("static_rules", Shape::Lines(&vocabulary::STATIC_RULE)),
    active("vrrp_sync_group", super::vrrp_sync_group::read),
    active("garp_group", garp::group),
    silent("linkbeat_interfaces", Shape::Lines(&vocabulary::LINKBEAT)),
    active("vrrp_track_process", super::track_process::read),
    active("interface_up_down_delays", link_delays::read),
    active("SSL", ssl::read),
    inactive(BFD_INSTANCE, Shape::Block(&inert::BFD_INSTANCE)),
    active("track_file", super::track_file::read),
    active("vrrp_track_file", super::track_file::read).old_for("track_file"),
];
