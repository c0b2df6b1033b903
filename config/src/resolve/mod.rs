//! Drafts into the model: references, defaults in upstream's order, what excludes what.
//!
//! Everything that one keyword alone can't tell. Order of the file doesn't matter here: `global_defs` counts
//! wherever it stands, and names may be used before they are defined. Called by `load`.

mod authentication;
mod check;
mod counted;
mod instance;
mod interfaces;
mod key;
mod mail;
mod marking;
mod network;
mod owner;
mod process;
mod same_router;
mod script;
mod server_group;
mod service;
mod strict;
mod sync_group;
mod tls;
mod tracker;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::LoadOptions;
use crate::diagnostic::{Collector, Problem, code};
use crate::model::Model;
use crate::model::check::VirtualServer;
use crate::model::ipvs::{IpvsSettings, SyncDaemon};
use crate::model::process::{FifoSettings, Fifos, Purpose};
use crate::model::units::InstanceId;
use crate::model::vrrp::{AnnouncePaces, Family, LinkDelay, Pace, PaceGroup, TrackedScript, VrrpGlobal};
use crate::names::Names;
use crate::schema::{
    Draft, FifoDraft, GarpGroupDraft, GlobalDraft, LinkDelayDraft, ScriptBlockDraft, SyncDraft,
};
use crate::source::Source;
use counted::Processes;
use interfaces::Interfaces;
use mail::MailDefaults;
use script::Scripts;
use tracker::Files;

/// What resolving needs beside the drafts.
struct Context<'a> {
    source: &'a dyn Source,
    names: &'a dyn Names,
    problems: &'a mut Collector,
    globals: GlobalDraft,
    /// `set_supplementary_groups`.
    supplementary_groups: bool,
    scripts: Scripts,
    files: Files,
    processes: Processes,
    mail_defaults: MailDefaults,
    interfaces: Interfaces,
    tls: tls::Tls,
}

/// Makes the model. Problems are reported; the model is only good when none of them is an error.
pub(crate) fn resolve(
    draft: Draft,
    source: &dyn Source,
    names: &dyn Names,
    options: &LoadOptions,
    problems: &mut Collector,
) -> Model {
    let Draft {
        globals,
        child_wait_time,
        namespace,
        ipvs_namespace,
        instance: suite,
        use_pid_dir,
        scripts,
        files,
        processes,
        mut instances,
        sync_groups,
        groups,
        services,
        statics,
        garp_groups,
        link_delays: delays,
        ssl,
    } = draft;
    let supplementary_groups = globals.process.supplementary_groups;
    let mut context = Context {
        source,
        names,
        problems,
        globals,
        supplementary_groups,
        scripts: Scripts::default(),
        files: Files::default(),
        processes: Processes::default(),
        mail_defaults: MailDefaults::default(),
        interfaces: Interfaces::new(namespace.is_some() || options.elsewhere),
        tls: tls::Tls::default(),
    };
    let mut model = Model {
        process: process::settings(&mut context, child_wait_time, options),
        vrrp_global: vrrp_global(&context.globals, options),
        ..Model::default()
    };
    context.missing_interfaces(&garp_groups, &statics);
    model.vrrp_global.paces = paces(&mut context, garp_groups);
    model.vrrp_global.link_delays = link_delays(&mut context, delays);
    context.check_default_user();
    model.process.namespace = namespace.map(|name| name.text);
    model.process.ipvs_namespace = ipvs_namespace;
    model.process.instance = suite;
    model.process.use_pid_dir = use_pid_dir;
    process::own_scripts(&mut context, &mut model.process);
    context.define_files(files);
    context.define_processes(processes);
    model.mail = context.mail(options);
    let mut blocks = context.define_scripts(scripts);
    let sync_groups = sync_group::join(&mut context, sync_groups, &mut instances, &blocks);
    instance::resolve(&mut context, instances, &mut blocks, &mut model);
    sync_group::resolve(&mut context, sync_groups, &mut model);
    unused_scripts(&mut context, &blocks);
    model.statics = network::statics(&mut context, statics, &model);
    context.define_tls(ssl);
    service::resolve(&mut context, services, groups, &mut model);
    model.tls = context.finish_tls();
    model.ipvs = ipvs(&mut context, &model);
    model.init_notifies = context.globals.init_notifies;
    model.files = context.finish_files();
    context.finish_processes(&mut model);
    model.scripts = context.scripts.finish();
    model
}

/// A `vrrp_script` and its place in the model, once an instance tracks it.
struct Tracked {
    block: ScriptBlockDraft,
    position: Option<u32>,
    /// An instance names it, even if it may not run.
    is_used: bool,
}

impl Context<'_> {
    fn report(&mut self, problem: Problem) {
        self.problems.report(problem);
    }

    /// `vrrp_script` blocks by their names.
    fn define_scripts(&mut self, drafts: Vec<ScriptBlockDraft>) -> HashMap<String, Tracked> {
        let mut blocks: HashMap<String, Tracked> = HashMap::with_capacity(drafts.len());
        for block in drafts {
            match blocks.get(&block.name.text) {
                // Files that are put together from pieces bring the same block along more than once.
                Some(first) if first.block.is_like(&block) => {
                    let message = format!("vrrp_script {} is defined twice in the same way", block.name.text);
                    self.report(Problem::warning(code::GIVEN_TWICE, block.name.span, message));
                }
                Some(first) => {
                    let message = format!("vrrp_script {} is defined twice", block.name.text);
                    let problem = Problem::error(code::DUPLICATE, block.name.span, message);
                    self.report(problem.note(first.block.name.span, "the other one is here"));
                }
                None => {
                    blocks.insert(block.name.text.clone(), Tracked { block, position: None, is_used: false });
                }
            }
        }
        blocks
    }

    /// Position of a tracked script in the model, made at its first use.
    fn tracked(&mut self, tracked: &mut Tracked, model: &mut Model) -> Option<u32> {
        tracked.is_used = true;
        if tracked.position.is_some() {
            return tracked.position;
        }
        let block = &tracked.block;
        let timeout = block.timeout.unwrap_or(block.interval);
        let command = block.command.clone()?;
        let user = block.user.clone();
        let script = self.script(&block.name.text, command, user, Purpose::Tracked, Some(timeout))?;
        let position = u32::try_from(model.tracked_scripts.len()).ok()?;
        model.tracked_scripts.push(TrackedScript {
            name: block.name.text.clone(),
            script,
            interval: block.interval,
            timeout,
            rise: block.rise,
            fall: block.fall,
            init_fail: block.init_fail,
            weight: block.weight,
            reverse: block.reverse,
        });
        tracked.position = Some(position);
        Some(position)
    }
}

fn unused_scripts(context: &mut Context<'_>, blocks: &HashMap<String, Tracked>) {
    let idle = |tracked: &&Tracked| !tracked.is_used || tracked.block.command.is_none();
    let mut unused: Vec<&ScriptBlockDraft> =
        blocks.values().filter(idle).map(|tracked| &tracked.block).collect();
    unused.sort_by(|a, b| a.name.text.cmp(&b.name.text));
    for block in unused {
        let name = &block.name.text;
        context.report(if block.command.is_some() {
            let message = format!("vrrp_script {name} is tracked by no instance and never runs");
            Problem::warning(code::UNUSED, block.name.span, message)
        } else {
            let message = format!("vrrp_script {name} has no script");
            Problem::error(code::MISSING_KEYWORD, block.name.span, message)
        });
    }
}

/// The specific pipe is ignored where it is the one for everything.
fn fifos(context: &mut Context<'_>) -> Fifos {
    let drafts = [
        ("notify_fifo", std::mem::take(&mut context.globals.fifo)),
        ("vrrp_notify_fifo", std::mem::take(&mut context.globals.vrrp_fifo)),
        ("lvs_notify_fifo", std::mem::take(&mut context.globals.lvs_fifo)),
    ];
    let [all, vrrp, checks] = drafts.map(|(name, draft)| fifo(context, name, draft));
    let is_same = |pipe: &FifoSettings| all.as_ref().is_some_and(|all| all.path == pipe.path);
    Fifos { vrrp: vrrp.filter(|pipe| !is_same(pipe)), checks: checks.filter(|pipe| !is_same(pipe)), all }
}

fn fifo(context: &mut Context<'_>, name: &str, draft: FifoDraft) -> Option<FifoSettings> {
    let path = draft.path?;
    let owner = context.owner(draft.owner.as_ref())?;
    let script = context.optional_script(&format!("{name}_script"), draft.script, Purpose::FifoReader);
    Some(FifoSettings { path: path.text, uid: owner.uid, gid: owner.gid, script })
}

fn ipvs(context: &mut Context<'_>, model: &Model) -> IpvsSettings {
    let sync = context.globals.lvs_sync.take().and_then(|draft| sync_daemon(context, draft, model));
    let globals = &context.globals;
    IpvsSettings {
        marks: context.mark_table(),
        timeouts: globals.lvs_timeouts,
        flush_at_start: globals.lvs_flush,
        flush_on_stop: globals.lvs_flush_on_stop,
        sync,
        receive_buffer: globals.lvs_buffer.filter(|bytes| *bytes > 0),
        receive_buffer_forced: globals.lvs_buffer_forced,
    }
}

fn sync_daemon(context: &mut Context<'_>, draft: SyncDraft, model: &Model) -> Option<SyncDaemon> {
    let mut instance = None;
    if let Some(name) = &draft.instance {
        let Some(found) = model.instances.iter().zip(0..).find(|(known, _)| known.name == name.text) else {
            let message = format!("lvs_sync_daemon: there is no vrrp_instance {}", name.text);
            context.report(Problem::error(code::UNDEFINED_NAME, name.span, message));
            return None;
        };
        instance = Some((InstanceId::new(found.1), found.0.vrid));
    }
    let is_mixed = |service: &&VirtualServer| {
        let servers = service.real_servers.iter().map(|server| &server.destination);
        let mut families = servers.chain(&service.sorry_server).map(|server| Family::of(&server.address));
        families.any(|family| service.keys.iter().any(|key| key.family() != family))
    };
    if let Some(service) = model.virtual_servers.iter().find(is_mixed) {
        let message = format!(
            "lvs_sync_daemon: the kernel can't synchronise while {} has servers of another family",
            service.name
        );
        context.report(Problem::error(code::CONFLICT, draft.interface.span, message));
        return None;
    }
    Some(SyncDaemon {
        interface: draft.interface.text,
        instance: instance.map(|(id, _)| id),
        id: draft.id.or(instance.map(|(_, vrid)| vrid.value())).unwrap_or(0),
        max_length: draft.max_length,
        port: draft.port,
        ttl: draft.ttl,
        group: draft.group,
    })
}

fn router_id(globals: &GlobalDraft, options: &LoadOptions) -> String {
    globals.router_id.clone().unwrap_or_else(|| options.host_name.clone())
}

/// An interface belongs to one group only; the first one counts.
fn paces(context: &mut Context<'_>, drafts: Vec<GarpGroupDraft>) -> AnnouncePaces {
    let globals = &context.globals;
    let pace = |arp: Option<Duration>, neighbour: Option<Duration>| Pace {
        arp: arp.unwrap_or(Duration::ZERO),
        neighbour: neighbour.unwrap_or(Duration::ZERO),
    };
    let mut paces =
        AnnouncePaces { every: pace(globals.garp_interval, globals.gna_interval), groups: Vec::new() };
    let mut taken = HashSet::new();
    for draft in drafts {
        let mut interfaces = Vec::with_capacity(draft.interfaces.len());
        for interface in draft.interfaces {
            if taken.insert(interface.text.clone()) {
                interfaces.push(interface.text);
            } else {
                let message = format!("garp_group: {} is in a group already", interface.text);
                context.report(Problem::warning(code::GIVEN_TWICE, interface.span, message));
            }
        }
        if interfaces.is_empty() || (draft.arp.is_none() && draft.neighbour.is_none()) {
            let message = "garp_group needs an interval and an interface to have an effect";
            context.report(Problem::warning(code::NO_EFFECT, draft.span, message));
        } else {
            paces.groups.push(PaceGroup { interfaces, pace: pace(draft.arp, draft.neighbour) });
        }
    }
    paces
}

/// The first line of an interface counts.
fn link_delays(context: &mut Context<'_>, drafts: Vec<LinkDelayDraft>) -> Vec<LinkDelay> {
    let mut delays: Vec<LinkDelay> = Vec::with_capacity(drafts.len());
    for LinkDelayDraft { interface, down, up } in drafts {
        if delays.iter().any(|known| known.interface == interface.text) {
            let message = format!("interface_up_down_delays: {} has its delays already", interface.text);
            context.report(Problem::warning(code::GIVEN_TWICE, interface.span, message));
        } else {
            delays.push(LinkDelay { interface: interface.text, down, up });
        }
    }
    delays
}

fn vrrp_global(globals: &GlobalDraft, options: &LoadOptions) -> VrrpGlobal {
    let default = VrrpGlobal::default();
    VrrpGlobal {
        router_id: router_id(globals, options),
        multicast_group4: globals.group4.unwrap_or(default.multicast_group4),
        multicast_group6: globals.group6.unwrap_or(default.multicast_group6),
        startup_delay: globals.startup_delay.unwrap_or(Duration::ZERO),
        paces: AnnouncePaces::default(),
        link_delays: Vec::new(),
        delay_after_boot: globals.delay_after_boot.unwrap_or(Duration::ZERO),
        log_unknown_vrids: globals.log_unknown_vrids,
        buffers: globals.buffers,
    }
}
