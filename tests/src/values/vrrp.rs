//! What our model says of instances, groups and what they track, in the words of keepalived's dump.

use std::path::Path;
use std::time::Duration;

use config::model::Model;
use config::model::network::{Broadcast, VirtualAddress};
use config::model::process::{InstanceNotify, Tuning};
use config::model::units::ScriptId;
use config::model::vrrp::{Authentication, Family, Instance, Preempt, Transport, Version};

use super::{Facts, route};

/// Every fact of a model.
#[must_use]
pub fn facts(model: &Model) -> Facts {
    let mut out = Facts::default();
    globals(&mut out, model);
    for (instance, notify) in model.instances.iter().zip(&model.instance_notify) {
        let object = format!("VRRP Instance {}", instance.name);
        let group = model.sync_groups.iter().find(|group| {
            group.members.iter().any(|member| {
                model.instances.get(member.index()).is_some_and(|member| member.name == instance.name)
            })
        });
        out.mention(&object, "Sync group");
        if let Some(group) = group {
            out.tell(&object, "Sync group", &group.name);
        } else {
            tracked(&mut out, model, &object, instance);
        }
        instance_facts(&mut out, &object, instance);
        notify_facts(&mut out, model, &object, notify);
        let word = if notify.tells_deleted { "Deleted" } else { "Fault" };
        out.tell(&object, "Notify deleted", word);
        out.tell(&object, "Using smtp notification", yes(notify.mail));
        out.tell(&object, "Notify priority changes", notify.priority_changes.to_string());
    }
    for (group, notify) in model.sync_groups.iter().zip(&model.group_notify) {
        let object = format!("VRRP Sync Group {}", group.name);
        for member in &group.members {
            let name = model.instances.get(member.index()).map_or("", |instance| &instance.name);
            out.tell(&object, "VRRP member instances", name);
        }
        notify_facts(&mut out, model, &object, notify);
        out.tell(&object, "Using smtp notification", yes(notify.mail));
        out.mention(&object, "Notify priority changes");
        if notify.priority_changes {
            out.tell(&object, "Notify priority changes", "yes");
        }
    }
    trackers(&mut out, model);
    out
}

const GLOBAL: &str = "Global definitions";

fn globals(out: &mut Facts, model: &Model) {
    let (process, global) = (&model.process, &model.vrrp_global);
    let mut tell = |label: &str, value: String| out.tell(GLOBAL, label, value);
    tell("Router ID", process.router_id.clone());
    tell("VRRP IPv4 mcast group", global.multicast_group4.to_string());
    tell("VRRP IPv6 mcast group", global.multicast_group6.to_string());
    tell("Gratuitous ARP interval", micros(global.paces.every.arp));
    tell("Gratuitous NA interval", micros(global.paces.every.neighbour));
    tell("VRRP notify priority changes", process.notify_priority_changes.to_string());
    tell("FIFO write vrrp states on reload", process.fifo_states_on_reload.to_string());
    tell("rs_init_notifies", u8::from(model.init_notifies).to_string());
    tell("lvs_netlink_cmd_rcv_bufs", model.ipvs.receive_buffer.unwrap_or(0).to_string());
    tell("umask", process.umask.map_or("0177".to_owned(), |umask| format!("0{umask:o}")));
    let tunings =
        [("VRRP", &process.vrrp_tuning), ("Checker", &process.checker_tuning), ("BFD", &process.bfd_tuning)];
    for (name, tuning) in tunings {
        let Tuning { nice, realtime, realtime_limit_us, lock_memory, .. } = tuning;
        tell(&format!("{name} process priority"), nice.unwrap_or(0).to_string());
        tell(&format!("{name} don't swap"), lock_memory.to_string());
        tell(&format!("{name} realtime priority"), realtime.unwrap_or(0).to_string());
        tell(&format!("{name} realtime limit"), realtime_limit_us.to_string());
    }
    let fifos =
        [("Global", &process.fifos.all), ("VRRP", &process.fifos.vrrp), ("LVS", &process.fifos.checks)];
    for (name, fifo) in fifos {
        let (label, script_label) = (format!("{name} notify fifo"), format!("{name} notify fifo script"));
        out.mention(GLOBAL, &label);
        out.mention(GLOBAL, &script_label);
        let Some(fifo) = fifo else { continue };
        out.tell(GLOBAL, &label, format!("{}, uid:gid {}:{}", fifo.path, fifo.uid, fifo.gid));
        if let Some(script) = fifo.script.and_then(|id| model.scripts.get(id.index())) {
            let mut argv = script.argv.clone();
            argv.push(fifo.path.clone());
            let who = format!("uid:gid {}:{}", script.identity.uid, script.identity.gid);
            out.tell(GLOBAL, &script_label, format!("{}, {who}", quoted(&argv)));
        }
    }
    if let Some(mail) = &model.mail {
        out.tell(GLOBAL, "Smtp server", mail.server.ip().to_string());
        out.tell(GLOBAL, "Smtp server port", mail.server.port().to_string());
        out.tell(GLOBAL, "Smtp HELO name", &mail.helo_name);
        out.tell(GLOBAL, "Smtp server connection timeout", mail.timeout.as_secs().to_string());
        out.tell(GLOBAL, "Email notification from", &mail.from.address);
        for mailbox in &mail.recipients {
            out.tell(GLOBAL, "Email notification to", &mailbox.address);
        }
    }
    if !global.startup_delay.is_zero() {
        out.tell(GLOBAL, "vrrp_startup_delay", shown(global.startup_delay));
    }
}

fn instance_facts(out: &mut Facts, object: &str, instance: &Instance) {
    let announce = &instance.announce;
    let whole = |time: Duration| time.as_secs().to_string();
    let able = |on: bool| if on { "enabled" } else { "disabled" }.to_owned();
    let interval = match instance.version {
        Version::V2 => format!("{} sec", instance.advert_interval.whole_seconds()),
        Version::V3 => format!("{} milli-sec", instance.advert_interval.duration().as_millis()),
    };
    let pairs = [
        ("VRRP Version", if instance.version == Version::V2 { "2" } else { "3" }.to_owned()),
        ("Interface", instance.interface.clone().unwrap_or_default()),
        ("Virtual Router ID", instance.vrid.value().to_string()),
        ("Priority", instance.priority.value().to_string()),
        ("Advert interval", interval),
        ("Gratuitous ARP delay", whole(announce.delay)),
        ("Gratuitous ARP repeat", announce.repeat.to_string()),
        ("Gratuitous ARP refresh", whole(announce.refresh)),
        ("Gratuitous ARP refresh repeat", announce.refresh_repeat.to_string()),
        ("Gratuitous ARP lower priority delay", whole(announce.lower_priority_delay)),
        ("Gratuitous ARP lower priority repeat", announce.lower_priority_repeat.to_string()),
        ("Down timer adverts", instance.down_timer_adverts.to_string()),
        ("Send advert after receive lower priority advert", (!instance.lower_priority_no_advert).to_string()),
        ("Accept", able(instance.accept)),
        ("Preempt", able(instance.preempt != Preempt::Never)),
    ];
    pairs.into_iter().for_each(|(label, value)| out.tell(object, label, value));
    if let Preempt::After(delay) = instance.preempt
        && !delay.is_zero()
    {
        out.tell(object, "Preempt delay", format!("{} secs", shown(delay)));
    } else {
        out.mention(object, "Preempt delay");
    }
    authentication(out, object, instance);
    match &instance.transport {
        Transport::Multicast { group, .. } => out.tell(object, "Multicast address", group.to_string()),
        Transport::Unicast { peers, ttl, .. } => {
            if instance.family == Family::Inet {
                out.tell(object, "Unicast TTL", ttl.to_string());
            }
            for peer in peers {
                let (low, high) = (peer.min_ttl, peer.max_ttl);
                out.tell(object, "Unicast Peer", format!("{} min_ttl {low} max_ttl {high}", peer.address));
            }
        }
    }
    let lists = [("Virtual IP", &instance.addresses), ("Virtual IP Excluded", &instance.excluded)];
    for (label, addresses) in lists {
        out.mention(object, label);
        for one in addresses {
            out.tell(object, label, address(one, instance.interface.as_deref()));
        }
    }
    out.mention(object, "Virtual Routes");
    instance.routes.iter().for_each(|one| out.tell(object, "Virtual Routes", route::ours(one)));
}

fn authentication(out: &mut Facts, object: &str, instance: &Instance) {
    let password = |bytes: &[u8; 8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
    };
    match &instance.authentication {
        Authentication::None if instance.version == Version::V2 => {
            out.tell(object, "Authentication type", "none");
        }
        Authentication::None => out.mention(object, "Authentication type"),
        Authentication::Pass(bytes) => {
            out.tell(object, "Authentication type", "SIMPLE_PASSWORD");
            out.tell(object, "Password", password(bytes));
        }
        Authentication::Ah(_) => out.tell(object, "Authentication type", "IPSEC_AH"),
    }
}

fn tracked(out: &mut Facts, model: &Model, object: &str, instance: &Instance) {
    let shown = |name: &str, weight: i16, reverse: bool| {
        format!("{name} weight {weight}{}", if reverse { " reverse" } else { "" })
    };
    for label in ["Tracked interfaces", "Tracked scripts", "Tracked files", "Tracked processes"] {
        out.mention(object, label);
    }
    for one in &instance.track_interfaces {
        out.tell(object, "Tracked interfaces", shown(&one.interface, one.weight, one.reverse));
    }
    for one in &instance.track_scripts {
        let script = usize::try_from(one.tracked).ok().and_then(|at| model.tracked_scripts.get(at));
        let name = script.map_or("", |script| &script.name);
        out.tell(object, "Tracked scripts", shown(name, one.weight, one.reverse));
    }
    for one in &instance.track_files {
        let name = model.files.get(one.file.index()).map_or("", |file| &file.name);
        out.tell(object, "Tracked files", shown(&format!("{name},"), one.weight, one.reverse));
    }
    for one in &instance.track_processes {
        let name = model.tracked_processes.get(one.process.index()).map_or("", |process| &process.name);
        out.tell(object, "Tracked processes", shown(&format!("{name},"), one.weight, one.reverse));
    }
}

fn notify_facts(out: &mut Facts, model: &Model, object: &str, notify: &InstanceNotify) {
    let scripts = [
        ("Backup", notify.backup),
        ("Master", notify.master),
        ("Fault", notify.fault),
        ("Stop", notify.stop),
        ("Generic", notify.any),
        ("Master rx lower pri", notify.lower_priority),
    ];
    for (name, script) in scripts {
        let label = format!("{name} state transition script");
        out.mention(object, &label);
        if let Some((command, who)) = script.and_then(|id| command(model, id)) {
            out.tell(object, &label, format!("{command}, uid:gid {who}"));
        }
    }
}

fn trackers(out: &mut Facts, model: &Model) {
    for tracked in &model.tracked_scripts {
        let object = format!("VRRP Script {}", tracked.name);
        if let Some((command, who)) = command(model, tracked.script) {
            out.tell(&object, "Command", command);
            out.tell(&object, "Script uid:gid", who);
        }
        out.tell(&object, "Interval", format!("{} sec", shown(tracked.interval)));
        out.tell(&object, "Rise", tracked.rise.to_string());
        out.tell(&object, "Fall", tracked.fall.to_string());
    }
    for file in model.files.iter().filter(|file| file.audience.vrrpd) {
        out.tell(&format!("Track file {}", file.name), "File", &file.path);
    }
    for (tracked, pattern) in model.tracked_processes.iter().zip(&model.process_patterns) {
        let object = format!("VRRP Track process {}", tracked.name);
        out.tell(&object, "Process", &pattern.program);
        out.tell(&object, "Min processes", tracked.quorum.to_string());
        out.mention(&object, "Max processes");
        if let Some(most) = tracked.quorum_max {
            out.tell(&object, "Max processes", most.to_string());
        }
        out.tell(&object, "Terminate delay", format!("{}s", micros(tracked.terminate_delay)));
        out.tell(&object, "Fork delay", format!("{}s", micros(tracked.fork_delay)));
    }
}

fn command(model: &Model, id: ScriptId) -> Option<(String, String)> {
    let script = model.scripts.get(id.index())?;
    Some((quoted(&script.argv), format!("{}:{}", script.identity.uid, script.identity.gid)))
}

/// The words of a command; keepalived follows links in the directory of the program.
fn quoted(argv: &[String]) -> String {
    let resolved = argv.first().map(Path::new).and_then(|program| {
        let directory = program.parent()?.canonicalize().ok()?;
        Some(directory.join(program.file_name()?).display().to_string())
    });
    let program = resolved.or_else(|| argv.first().cloned());
    program.iter().chain(argv.iter().skip(1)).map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

fn address(one: &VirtualAddress, interface: Option<&str>) -> String {
    let network = one.network;
    let host = if network.is_ipv4() { 32 } else { 128 };
    let mut text = network.ip().to_string();
    if network.prefix() != host {
        text = network.to_string();
    }
    let broadcast = match one.broadcast {
        Broadcast::Address(broadcast) => Some(broadcast.into()),
        Broadcast::HostBits { ones: true } => Some(network.broadcast()),
        Broadcast::HostBits { ones: false } => Some(network.network()),
        Broadcast::Unset => None,
    };
    if let Some(broadcast) = broadcast {
        text.push_str(&format!(" brd {broadcast}"));
    }
    let device = one.interface.as_deref().or(interface).unwrap_or_default();
    let scopes = [(0, "global"), (253, "link"), (254, "host"), (200, "site"), (255, "nowhere")];
    let scope = scopes.iter().find(|(number, _)| *number == one.scope).map_or("?", |(_, word)| word);
    text.push_str(&format!(" dev {device} scope {scope}"));
    let words = [
        (one.label.as_ref().map(|label| format!("label {label}"))),
        (one.peer.map(|peer| format!("peer {peer}/{}", network.prefix()))),
        one.options.home.then(|| "home".to_owned()),
        one.options.detect_duplicates.then(|| "-nodad".to_owned()),
        one.options.manage_temporary.then(|| "mngtmpaddr".to_owned()),
        one.options.no_prefix_route.then(|| "noprefixroute".to_owned()),
        one.no_track.then(|| "no_track".to_owned()),
    ];
    for word in words.into_iter().flatten() {
        text.push(' ');
        text.push_str(&word);
    }
    text
}

fn yes(on: bool) -> String {
    if on { "yes" } else { "no" }.to_owned()
}

fn micros(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

/// Seconds without zeros at their end.
fn shown(time: Duration) -> String {
    let text = micros(time);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
