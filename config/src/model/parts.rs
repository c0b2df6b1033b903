//! One part of the model per process, made by the config worker.
//!
//! Each part travels as a header record followed by one record per item (see `ipc::memfd`), so that a daemon can
//! read it in slices between its other duties.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Model;
use super::check::{CheckKind, FileCheck, VirtualServer};
use super::ipvs::{Destination, IpvsSettings, Marked, ServiceKey, ServiceOptions, addresses};
use super::lent::LentSocket;
use super::mail::MailSettings;
use super::network::{Statics, VirtualAddress, VirtualRoute};
use super::process::{InstanceNotify, ProcessSettings, Script};
use super::succession;
use super::tls::TlsFiles;
use super::track::{ProcessPattern, TrackedProcess, WatchedFile};
use super::units::{InstanceId, Priority, ServerId, Vrid, Weight};
use super::vrrp::{Family, Instance, RouterIdentity, SyncGroup, TrackedScript, VrrpGlobal};

/// Head of vrrpd's part; [`Instance`] records follow, `instances` of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct VrrpHead {
    /// Settings that all instances share.
    pub global: VrrpGlobal,
    /// When tracked scripts run.
    pub tracked_scripts: Vec<TrackedScript>,
    /// Names of tracked files, indexed by [`FileId`](super::units::FileId).
    pub files: Vec<String>,
    /// What numbers of processes mean, indexed by [`ProcessId`](super::units::ProcessId).
    pub tracked_processes: Vec<TrackedProcess>,
    /// Instances that change state together.
    pub sync_groups: Vec<SyncGroup>,
    /// Addresses and routes that follow no instance.
    pub statics: Statics,
    /// Number of [`Instance`] records that follow.
    pub instances: u32,
}

/// Head of checkd's part; [`VirtualServer`] records follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckHead {
    /// Number of [`VirtualServer`] records that follow.
    pub virtual_servers: u32,
    /// Number of checkers over all virtual servers.
    pub checks: u32,
    /// `rs_init_notifies`: servers that are up at the start are told of.
    pub init_notifies: bool,
    /// Where mail goes, if any is sent.
    pub mail: Option<Box<MailSettings>>,
    /// Certificates and keys.
    pub tls: TlsFiles,
}

/// Head of ipvsd's part; [`IpvsService`] records follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpvsHead {
    /// Settings of the table as a whole.
    pub settings: IpvsSettings,
    /// Number of [`IpvsService`] records that follow.
    pub services: u32,
}

/// What ipvsd may put into the kernel's table for one virtual server, and nothing beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpvsService {
    /// Name in log lines.
    pub name: String,
    /// Entries of the table; more than one for a group.
    pub keys: Vec<ServiceKey>,
    /// Addresses that nftables marks for it.
    pub marked: Option<Marked>,
    /// Scheduler, persistence, flags.
    pub options: ServiceOptions,
    /// Destinations, indexed by [`ServerId`].
    pub destinations: Vec<Destination>,
    /// The sorry server, if there is one.
    pub sorry: Option<Destination>,
}

/// Which destination of a service is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ServerRef {
    /// A real server.
    Real(ServerId),
    /// The sorry server.
    Sorry,
}

/// What the table should say of one destination: a weight, or absence.
pub type Presence = Option<Weight>;

/// The parent's part: one record without its long lists, then [`PartLists`], so that it can be read in slices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentPart {
    /// Process settings.
    pub process: ProcessSettings,
    /// Every command that may run.
    pub scripts: Vec<Script>,
    /// Every file whose number is tracked.
    pub files: Vec<WatchedFile>,
    /// Processes that are counted.
    pub processes: Vec<ProcessPattern>,
    /// What supervision and notification need of each instance.
    pub instances: Vec<ParentInstance>,
    /// Interfaces of instances with `promote_secondaries`, each once.
    pub promoted: Vec<String>,
    /// Instances that change state together, and what is notified of it.
    pub groups: Vec<ParentGroup>,
    /// Addresses and routes that follow no instance.
    pub statics: Held,
    /// Names of the virtual servers and their real servers, for status and FIFO.
    pub services: Vec<ParentService>,
    /// Sockets that checkd borrows, and how many of each.
    pub sockets: Vec<(LentSocket, u16)>,
    /// Checkers by number: what each of them is, so that verdicts follow it into the next configuration.
    pub checks: Vec<CheckKey>,
    /// `lvs_flush`.
    pub flush_at_start: bool,
    /// `inst` of `lvs_sync_daemon`: ipvsd is told of its state.
    pub sync_follows: Option<InstanceId>,
}

/// A piece of the long lists of a [`ParentPart`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartLists {
    /// Virtual servers, behind those of the pieces before.
    pub services: Vec<ParentService>,
    /// Checkers, likewise.
    pub checks: Vec<CheckKey>,
}

/// Real servers in one piece, give or take those of one virtual server.
const SERVERS_IN_PIECE: usize = 4_000;
/// Checkers in one piece.
const CHECKS_IN_PIECE: usize = 16_000;

/// What a checker is, whatever its number: equal in two configurations for the same check of the same server.
///
/// A hash, compared only between configurations that the same build has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckKey(u64);

impl CheckKey {
    /// Key of something that is described by this.
    #[must_use]
    pub fn of(description: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        description.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl ParentPart {
    /// For each instance of `next` the position of the one of ours that goes on as it.
    #[must_use]
    pub fn kept(&self, next: &Self) -> Vec<Option<usize>> {
        succession::kept(self.instances.iter().map(named), next.instances.iter().map(named))
    }
}

fn named(known: &ParentInstance) -> (&str, RouterIdentity) {
    (&known.name, known.identity.clone())
}

/// What the parent knows of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentInstance {
    /// Name of the block.
    pub name: String,
    /// `virtual_router_id`.
    pub vrid: Vrid,
    /// Family of the adverts.
    pub family: Family,
    /// What makes it the same virtual router after a reload.
    pub identity: RouterIdentity,
    /// The least time that any peer waits before it takes over.
    pub patience: Duration,
    /// What the parent deletes when nothing else can.
    pub held: Held,
    /// It owns its addresses (priority 255): the machine may have had them before.
    pub owner: bool,
    /// Commands that follow its state.
    pub notify: InstanceNotify,
}

/// Addresses and routes that vrrpd may leave in the kernel when it ends without order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Held {
    /// Addresses and the interface of each; no interface means any.
    pub addresses: Vec<(ipnetwork::IpNetwork, Option<String>)>,
    /// Routes.
    #[serde(default)]
    pub routes: Vec<VirtualRoute>,
}

impl Held {
    fn of<'a>(
        addresses: impl Iterator<Item = &'a VirtualAddress>,
        interface: Option<&String>,
        routes: &[VirtualRoute],
    ) -> Self {
        let place =
            |address: &VirtualAddress| (address.network, address.interface.as_ref().or(interface).cloned());
        Self { addresses: addresses.map(place).collect(), routes: routes.to_vec() }
    }

    /// True when there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.routes.is_empty()
    }

    /// Takes in what another one has.
    pub fn add(&mut self, other: &Self) {
        self.addresses.extend(other.addresses.iter().cloned());
        self.routes.extend(other.routes.iter().cloned());
    }
}

impl ParentPart {
    /// Takes the long lists away, in pieces; [`Self::extend`] puts them back.
    #[must_use]
    pub fn take_lists(&mut self) -> Vec<PartLists> {
        let mut pieces = Vec::new();
        let (mut piece, mut servers) = (PartLists::default(), 0_usize);
        for service in std::mem::take(&mut self.services) {
            servers = servers.saturating_add(service.servers.len()).saturating_add(1);
            piece.services.push(service);
            if servers >= SERVERS_IN_PIECE {
                pieces.push(std::mem::take(&mut piece));
                servers = 0;
            }
        }
        pieces.push(piece);
        let checks = std::mem::take(&mut self.checks);
        let checks = checks.chunks(CHECKS_IN_PIECE);
        pieces.extend(checks.map(|checks| PartLists { services: Vec::new(), checks: checks.to_vec() }));
        pieces
    }

    /// Puts a piece behind those before.
    pub fn extend(&mut self, piece: PartLists) {
        self.services.extend(piece.services);
        self.checks.extend(piece.checks);
    }

    /// Everything that vrrpd may leave in the kernel.
    #[must_use]
    pub fn held(&self) -> Held {
        let mut all = self.statics.clone();
        self.instances.iter().for_each(|instance| all.add(&instance.held));
        all
    }

    /// What a keepalived that has left no record of itself may have left of the instances. Those of owners are only
    /// named where `owners` is true: nothing tells them from the machine's own addresses.
    #[must_use]
    pub fn leftovers(&self, owners: bool) -> Held {
        let mut all = Held::default();
        let named = self.instances.iter().filter(|instance| owners || !instance.owner);
        named.for_each(|instance| all.add(&instance.held));
        all
    }
}

/// What the parent knows of a sync group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentGroup {
    /// Name and members.
    pub group: SyncGroup,
    /// Commands that follow its state.
    pub notify: InstanceNotify,
}

/// What the parent knows of a virtual server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentService {
    /// Name in log lines.
    pub name: String,
    /// Names of its real servers.
    pub servers: Vec<String>,
    /// With `ha_suspend`, its addresses: checkd is told whether one of them is on this machine.
    pub follows: Vec<IpAddr>,
}

impl Model {
    /// Head of vrrpd's part; `self.instances` are its records.
    #[must_use]
    pub fn vrrp_head(&self) -> VrrpHead {
        VrrpHead {
            global: self.vrrp_global.clone(),
            tracked_scripts: self.tracked_scripts.clone(),
            files: self.files.iter().map(|file| file.name.clone()).collect(),
            tracked_processes: self.tracked_processes.clone(),
            sync_groups: self.sync_groups.clone(),
            statics: self.statics.clone(),
            instances: count(self.instances.len()),
        }
    }

    /// Head of checkd's part; `self.virtual_servers` are its records.
    #[must_use]
    pub fn check_head(&self) -> CheckHead {
        CheckHead {
            virtual_servers: count(self.virtual_servers.len()),
            checks: self.check_count(),
            init_notifies: self.init_notifies,
            mail: self.mail.clone().map(Box::new),
            tls: self.tls.clone(),
        }
    }

    /// Head of ipvsd's part; [`Self::ipvs_services`] are its records.
    #[must_use]
    pub fn ipvs_head(&self) -> IpvsHead {
        IpvsHead { settings: self.ipvs.clone(), services: count(self.virtual_servers.len()) }
    }

    /// Head of checkd's part when it only sends mail; no records follow.
    #[must_use]
    pub fn mail_head(&self) -> CheckHead {
        CheckHead {
            virtual_servers: 0,
            checks: 0,
            init_notifies: false,
            mail: self.mail.clone().map(Box::new),
            tls: TlsFiles::default(),
        }
    }

    /// Records of ipvsd's part.
    pub fn ipvs_services(&self) -> impl Iterator<Item = IpvsService> + '_ {
        self.virtual_servers.iter().map(ipvs_service)
    }

    /// The parent's part.
    #[must_use]
    pub fn parent_part(&self) -> ParentPart {
        ParentPart {
            process: self.process.clone(),
            scripts: self.scripts.clone(),
            files: self.files.clone(),
            processes: self.process_patterns.clone(),
            instances: self.instances.iter().zip(&self.instance_notify).map(parent_instance).collect(),
            promoted: promoted(&self.instances),
            groups: self
                .sync_groups
                .iter()
                .zip(&self.group_notify)
                .map(|(group, notify)| ParentGroup { group: group.clone(), notify: notify.clone() })
                .collect(),
            statics: Held::of(self.statics.addresses.iter(), None, &self.statics.routes),
            services: self
                .virtual_servers
                .iter()
                .map(|service| ParentService {
                    name: service.name.clone(),
                    servers: service.real_servers.iter().map(|server| server.name.clone()).collect(),
                    follows: followed(service),
                })
                .collect(),
            sockets: self.lent_sockets().into_iter().collect(),
            checks: self.check_keys(),
            flush_at_start: self.ipvs.flush_at_start,
            sync_follows: self.ipvs.sync.as_ref().and_then(|sync| sync.instance),
        }
    }

    /// Two equal checks of one server are told apart by their order.
    fn check_keys(&self) -> Vec<CheckKey> {
        let mut seen = HashMap::<CheckKey, u32>::new();
        let servers = self.virtual_servers.iter().flat_map(|service| {
            service.real_servers.iter().map(move |server| (service.name.as_str(), server))
        });
        let checks = servers.flat_map(|(service, server)| {
            server.checks.iter().map(move |check| (service, server.name.as_str(), &check.kind))
        });
        checks
            .map(|(service, server, kind)| {
                let key = CheckKey::of((service, server, self.described(kind)));
                let before = seen.entry(key).or_default();
                *before = before.saturating_add(1);
                CheckKey::of((key, *before))
            })
            .collect()
    }

    /// A check in words that don't depend on the numbers of a configuration.
    fn described(&self, kind: &CheckKind) -> String {
        match kind {
            CheckKind::Misc { script, dynamic, .. } => {
                let program = self.scripts.get(script.index()).map(|script| &script.argv);
                format!("{program:?} {dynamic}")
            }
            CheckKind::Tcp(_)
            | CheckKind::Http(_)
            | CheckKind::Smtp(_)
            | CheckKind::Dns(_)
            | CheckKind::Udp(_)
            | CheckKind::Ping(_) => format!("{kind:?}"),
            CheckKind::File(FileCheck { name, weight, reverse, .. }) => format!("{name} {weight} {reverse}"),
        }
    }

    fn check_count(&self) -> u32 {
        let checks = self.virtual_servers.iter().flat_map(|service| &service.real_servers);
        count(checks.map(|server| server.checks.len()).sum())
    }
}

fn followed(service: &VirtualServer) -> Vec<IpAddr> {
    if !service.ha_suspend {
        return Vec::new();
    }
    if let Some(marked) = &service.marked {
        let addresses = marked.ranges.iter().flat_map(|range| addresses(range.first, range.last));
        return addresses.take(FOLLOWED).collect();
    }
    let keys = service.keys.as_slice();
    let addresses = keys.iter().filter_map(|key| match key {
        ServiceKey::Address { address, .. } => Some(*address),
        ServiceKey::Mark { .. } => None,
    });
    addresses.collect()
}

/// What stands in the kernel's table: as configured, or a mark for each family of the addresses that get it.
fn table_keys(service: &VirtualServer) -> Vec<ServiceKey> {
    let Some(marked) = &service.marked else { return service.keys.clone() };
    let has = |family: &Family| service.keys.iter().any(|key| key.family() == *family);
    let families = [Family::Inet, Family::Inet6].into_iter().filter(has);
    families.map(|family| ServiceKey::Mark { mark: marked.mark, family }).collect()
}

fn ipvs_service(service: &VirtualServer) -> IpvsService {
    IpvsService {
        name: service.name.clone(),
        keys: table_keys(service),
        marked: service.marked.clone(),
        options: service.options.clone(),
        destinations: service.real_servers.iter().map(|server| server.destination).collect(),
        sorry: service.sorry_server,
    }
}

fn parent_instance((instance, notify): (&Instance, &InstanceNotify)) -> ParentInstance {
    ParentInstance {
        name: instance.name.clone(),
        vrid: instance.vrid,
        family: instance.family,
        identity: instance.identity(),
        patience: instance.patience(),
        held: Held::of(
            instance.addresses.iter().chain(&instance.excluded),
            instance.interface.as_ref(),
            &instance.routes,
        ),
        owner: instance.priority == Priority::OWNER,
        notify: notify.clone(),
    }
}

fn promoted(instances: &[Instance]) -> Vec<String> {
    let promoting = instances.iter().filter(|instance| instance.promote_secondaries);
    let mut names: Vec<String> = promoting.filter_map(|instance| instance.interface.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Most addresses of one virtual server that are looked for on this machine.
const FOLLOWED: usize = 65_536;

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{CheckKey, ParentService};
    use crate::model::Model;
    use crate::names::OfflineNames;
    use crate::source::Memory;
    use crate::{LoadOptions, load};

    #[test]
    fn an_owners_addresses_are_no_leftovers_unless_asked_for() {
        let instance = |name: &str, vrid: u8, priority: u8, address: &str| {
            format!(
                "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\npriority {priority}\n\
                 virtual_ipaddress {{\n{address}\n}}\n}}\n"
            )
        };
        let text = instance("OWN", 1, 255, "192.0.2.1/24") + &instance("OTHER", 2, 100, "192.0.2.2/24");
        let source = Memory::new().with("/k", text.as_str());
        let model =
            load(&source, &OfflineNames, "/k", &LoadOptions::default()).model.expect("the text is valid");
        let part = model.parent_part();
        let found = |owners| {
            let left = part.leftovers(owners);
            left.addresses.iter().map(|(network, _)| network.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(false), ["192.0.2.2"]);
        assert_eq!(found(true), ["192.0.2.1", "192.0.2.2"]);
    }

    #[test]
    fn long_lists_come_back_from_their_pieces() {
        let service = |name: u32| ParentService {
            name: name.to_string(),
            servers: (0..2_500).map(|server| server.to_string()).collect(),
            follows: vec![],
        };
        let mut part = Model::default().parent_part();
        part.services = (0..5).map(service).collect();
        part.checks = (0..20_000).map(CheckKey::of).collect();
        let whole = part.clone();
        let pieces = part.take_lists();
        assert_eq!((part.services.len(), part.checks.len()), (0, 0));
        let sizes: Vec<_> = pieces.iter().map(|piece| (piece.services.len(), piece.checks.len())).collect();
        assert_eq!(sizes, [(2, 0), (2, 0), (1, 0), (0, 16_000), (0, 4_000)]);
        pieces.into_iter().for_each(|piece| part.extend(piece));
        assert_eq!(part, whole);
    }
}
