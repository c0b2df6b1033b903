//! `virtual_server` drafts into virtual servers, each served by itself: no two have an address or mark in common.
//!
//! Decides what one inherits from the block around it and what it can't have together; what its checkers are is
//! [`super::check`]'s, marks of groups are [`super::marking`]'s. Called by [`super::resolve`] with what the operator wrote.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use super::Context;
use super::check::{self, DELAY_LOOP, Inner};
use super::marking::{self, Marking};
use super::server_group::{Group, group_keys};
use crate::diagnostic::{Problem, code};
use crate::model::Model;
use crate::model::check::{RealServer, VirtualServer};
use crate::model::ipvs::{Destination, Forwarding, Marked, Protocol, ServiceKey, ServiceOptions};
use crate::model::lent::MOST_LENT_KINDS;
use crate::model::process::Purpose;
use crate::model::units::{CheckId, Weight};
use crate::model::vrrp::Family;
use crate::schema::{GroupDraft, GroupEntry, ServerDraft, ServiceDraft, ServiceTarget, Timing};
use crate::text::Span;

/// Resolves all virtual servers into the model.
pub(super) fn resolve(
    context: &mut Context<'_>,
    services: Vec<ServiceDraft>,
    groups: Vec<GroupDraft>,
    model: &mut Model,
) {
    let mut known = context.groups(&services, groups);
    let mut claimed: HashMap<ServiceKey, Claim> = HashMap::with_capacity(services.len());
    let mut checks: u32 = 0;
    let mut held: usize = 0;
    let mut last = Span::default();
    let mut spans = Vec::with_capacity(services.len());
    model.virtual_servers.reserve_exact(services.len());
    for service in services {
        let span = service.span;
        last = span;
        let group = match &service.target {
            ServiceTarget::Group(name) => Some(name.text.clone()),
            ServiceTarget::Address(_) | ServiceTarget::Mark(_) => None,
        };
        if held > SERVICE_KEYS {
            let message = format!("more than {SERVICE_KEYS} addresses and marks are served together");
            context.report(Problem::error(code::OUT_OF_RANGE, span, message).fatal());
            break;
        }
        let Some(mut service) = context.service(service, &mut known) else { continue };
        held = held.saturating_add(service.keys.len());
        let claim = Claim { position: model.virtual_servers.len(), group };
        if let Some(claims) = context.claims(&service, &claim, span, &claimed, &model.virtual_servers) {
            claimed.extend(claims);
            // Not before: what is left out has no numbers.
            for check in service.real_servers.iter_mut().flat_map(|server| &mut server.checks) {
                check.id = CheckId::new(checks);
                checks = checks.saturating_add(1);
            }
            model.virtual_servers.push(service);
            spans.push(span);
        }
    }
    context.mark(&mut model.virtual_servers, &spans);
    context.limit_lent(model, last);
    context.unused_groups(known);
}

/// Who asked first for an entry of the kernel's table.
#[derive(Clone)]
struct Claim {
    /// Position of the virtual server.
    position: usize,
    /// Its group.
    group: Option<String>,
}

impl Claim {
    /// A mark has no protocol: the virtual servers of one group share it.
    fn shares(&self, other: &Self, key: &ServiceKey) -> bool {
        matches!(key, ServiceKey::Mark { .. })
            && self.position != other.position
            && self.group.is_some()
            && self.group == other.group
    }
}

/// Addresses and marks of all virtual servers together.
const SERVICE_KEYS: usize = 262_144;

/// What real servers and checkers need to know of their virtual server.
struct Outer<'a> {
    name: &'a str,
    protocol_name: &'static str,
    families: &'a [Family],
    /// Port of the service when it is one, 0 for marks and groups.
    port: u16,
    /// DR and TUN destinations take the port of the service.
    forces_port: bool,
    forwarding: Forwarding,
    weight: u32,
    inhibit: bool,
    alpha: bool,
    timing: Timing,
    virtual_host: Option<&'a str>,
}

impl<'a> Outer<'a> {
    fn of(
        draft: &'a ServiceDraft,
        name: &'a str,
        protocol_name: &'static str,
        families: &'a [Family],
        forwarding: Forwarding,
    ) -> Self {
        let (port, forces_port) = match &draft.target {
            ServiceTarget::Address(address) => (address.port(), true),
            ServiceTarget::Mark(_) => (0, true),
            ServiceTarget::Group(_) => (0, false),
        };
        Self {
            name,
            protocol_name,
            families,
            port,
            forces_port,
            forwarding,
            weight: draft.weight.unwrap_or(1),
            inhibit: draft.inhibit_on_failure,
            alpha: draft.alpha,
            timing: draft.timing,
            virtual_host: draft.virtual_host.as_deref(),
        }
    }
}

impl Context<'_> {
    /// The entries of the kernel's table that a virtual server is the first to ask for; `None` when another one serves
    /// some of them.
    fn claims(
        &mut self,
        service: &VirtualServer,
        claim: &Claim,
        span: Span,
        claimed: &HashMap<ServiceKey, Claim>,
        served: &[VirtualServer],
    ) -> Option<HashMap<ServiceKey, Claim>> {
        let (mut is_free, mut claims) = (true, HashMap::with_capacity(service.keys.len()));
        for key in &service.keys {
            let Some(first) = claims.get(key).or_else(|| claimed.get(key)) else {
                claims.insert(*key, claim.clone());
                continue;
            };
            if !first.shares(claim, key) {
                is_free = false;
                let message = format!("{key} is served by two virtual servers");
                self.report(Problem::error(code::DUPLICATE, span, message));
            } else if served.get(first.position).map(|first| &first.options) != Some(&service.options) {
                let message = format!("{key} is scheduled as the first virtual server of its group says");
                self.report(Problem::warning(code::NO_EFFECT, span, message));
            }
        }
        is_free.then_some(claims)
    }

    /// Each kind of socket that checks borrow is opened by the parent many times.
    fn limit_lent(&mut self, model: &Model, span: Span) {
        let kinds = model.lent_sockets().len();
        if let Some(service) = model.virtual_servers.first().filter(|_| kinds > MOST_LENT_KINDS) {
            let message = format!(
                "checks use {kinds} different combinations of fwmark, bindto, bind_port and bind_if; at most \
                 {MOST_LENT_KINDS} can be served (first virtual server {})",
                service.name
            );
            self.report(Problem::error(code::OUT_OF_RANGE, span, message));
        }
    }

    fn service(
        &mut self,
        mut draft: ServiceDraft,
        groups: &mut HashMap<String, Group>,
    ) -> Option<VirtualServer> {
        let protocol = self.protocol(&draft);
        let keys = self.keys(&draft, protocol, groups)?;
        let group = match &draft.target {
            ServiceTarget::Group(name) => groups.get(&name.text),
            ServiceTarget::Address(_) | ServiceTarget::Mark(_) => None,
        };
        let group = group.filter(|group| group.marking == Marking::ByNftables);
        let marked = group.map(|group| Marked { mark: 0, protocol, ranges: marking::ranges(&group.draft) });
        let name = name(&draft.target, protocol, &keys, groups)?;
        let options = self.options(&draft, &keys, protocol, &name);
        let mut families: Vec<Family> = keys.iter().map(ServiceKey::family).collect();
        families.sort_unstable();
        families.dedup();
        let forwarding = draft.forwarding.unwrap_or_else(|| {
            let message = format!("{name}: no lb_kind, NAT is used");
            self.report(Problem::warning(code::DEFAULTED, draft.span, message));
            Forwarding::Nat
        });
        let by_address = keys.iter().any(|key| matches!(key, ServiceKey::Address { .. }));
        let protocol_name = if by_address { protocol.name() } else { "none" };
        let servers = std::mem::take(&mut draft.servers);
        let outer = Outer::of(&draft, &name, protocol_name, &families, forwarding);
        let real_servers = self.servers(servers, &outer);
        let sorry_server = self.sorry(&draft, &outer);
        if real_servers.is_empty() {
            let message = format!("{name} has no real_server and is not served");
            self.report(Problem::warning(code::DEFAULTED, draft.span, message));
            return None;
        }
        let ha_suspend = self.ha_suspend(&draft, &keys, &name);
        let (quorum, hysteresis) = self.quorum(&draft, &real_servers, &name);
        let mut script = |keyword: &str, command| {
            self.optional_script(&format!("{name} {keyword}"), command, Purpose::ServerNotify)
        };
        Some(VirtualServer {
            quorum_up: script("quorum_up", draft.quorum_up),
            quorum_down: script("quorum_down", draft.quorum_down),
            keys,
            marked,
            options,
            quorum,
            hysteresis,
            alpha: draft.alpha,
            omega: draft.omega,
            ha_suspend,
            sorry_server,
            sorry_server_inhibit: draft.sorry_inhibit,
            mail: self.mail_defaults.service(draft.mail),
            real_servers,
            name,
        })
    }

    /// Checks rest by addresses, and a mark is none.
    fn ha_suspend(&mut self, draft: &ServiceDraft, keys: &[ServiceKey], name: &str) -> bool {
        let by_mark = keys.iter().all(|key| matches!(key, ServiceKey::Mark { .. }));
        if let Some(span) = draft.ha_suspend.filter(|_| by_mark) {
            let message = format!("{name}: ha_suspend has no effect with fwmark");
            self.report(Problem::warning(code::NO_EFFECT, span, message));
        }
        draft.ha_suspend.is_some() && !by_mark
    }

    fn protocol(&mut self, draft: &ServiceDraft) -> Protocol {
        if let (Some(_), ServiceTarget::Mark(mark)) = (draft.protocol, &draft.target) {
            let message = format!("FWM {mark}: protocol has no effect with fwmark");
            self.report(Problem::warning(code::NO_EFFECT, draft.span, message));
        }
        draft.protocol.unwrap_or_else(|| {
            if !matches!(draft.target, ServiceTarget::Mark(_)) {
                let message = "no protocol, UDP is used";
                self.report(Problem::warning(code::DEFAULTED, draft.span, message));
            }
            Protocol::Udp
        })
    }

    fn keys(
        &mut self,
        draft: &ServiceDraft,
        protocol: Protocol,
        groups: &mut HashMap<String, Group>,
    ) -> Option<Vec<ServiceKey>> {
        match &draft.target {
            ServiceTarget::Address(address) => {
                if let Some(family) = draft.family.filter(|family| *family != Family::of(&address.ip())) {
                    let word = if family == Family::Inet { "inet" } else { "inet6" };
                    let message = format!("ip_family {word} is not the family of {}", address.ip());
                    self.report(Problem::error(code::WRONG_FAMILY, draft.span, message));
                }
                Some(vec![ServiceKey::Address { address: address.ip(), port: address.port(), protocol }])
            }
            ServiceTarget::Mark(mark) => {
                let family = self.mark_family(draft, None);
                Some(vec![ServiceKey::Mark { mark: *mark, family }])
            }
            ServiceTarget::Group(name) => {
                let Some(group) = groups.get_mut(&name.text) else {
                    let message = format!("virtual_server group {}: nothing defines that group", name.text);
                    let problem = Problem::error(code::UNDEFINED_NAME, name.span, message);
                    self.report(problem.help("define it with virtual_server_group"));
                    return None;
                };
                group.used = true;
                let by_address = group.draft.entries.iter().find_map(|entry| match entry {
                    GroupEntry::Addresses { first, .. } => Some(Family::of(first)),
                    GroupEntry::Mark { .. } => None,
                });
                let asks = |entry: &GroupEntry| matches!(entry, GroupEntry::Mark { family: None, .. });
                let family = if group.draft.entries.iter().any(asks) {
                    self.mark_family(draft, by_address)
                } else {
                    Family::Inet
                };
                let group = groups.get(&name.text)?;
                let mut keys = match group.marking {
                    Marking::ByNftables => marking::firsts(&group.draft, protocol),
                    Marking::None => group_keys(&group.draft, protocol, family),
                };
                let (all, mut seen) = (keys.len(), HashSet::with_capacity(keys.len()));
                keys.retain(|key| seen.insert(*key));
                if keys.len() < all {
                    let message =
                        format!("virtual_server_group {}: an address or mark is listed twice", name.text);
                    self.report(Problem::warning(code::GIVEN_TWICE, name.span, message));
                }
                if keys.is_empty() {
                    let message = format!("virtual_server_group {} is empty", name.text);
                    self.report(Problem::error(code::MISSING_VALUE, name.span, message));
                    return None;
                }
                Some(keys)
            }
        }
    }

    /// Family of marks that don't tell theirs: as written, else that of servers that need no tunnel.
    fn mark_family(&mut self, draft: &ServiceDraft, by_address: Option<Family>) -> Family {
        let native = draft
            .servers
            .iter()
            .find(|server| !matches!(server.forwarding.or(draft.forwarding), Some(Forwarding::Tunnel(_))));
        let by_server = native.map(|server| Family::of(&server.address.ip()));
        draft.family.or(by_address).or(by_server).unwrap_or_else(|| {
            if draft.servers.iter().any(|server| server.address.is_ipv6()) {
                let message = "tunnelled servers don't tell the family of a mark: IPv4 is taken";
                let problem = Problem::warning(code::DEFAULTED, draft.span, message);
                self.report(problem.help("write ip_family"));
            }
            Family::Inet
        })
    }

    fn options(
        &mut self,
        draft: &ServiceDraft,
        keys: &[ServiceKey],
        protocol: Protocol,
        name: &str,
    ) -> ServiceOptions {
        let any_port = keys.iter().any(|key| matches!(key, ServiceKey::Address { port: 0, .. }));
        let granular = draft.persistence_prefix.is_some();
        let mut timeout = draft.persistence_timeout;
        if timeout.is_none() && (any_port || granular) {
            timeout = Some(360);
            if any_port {
                let message =
                    format!("{name}: a service without port needs persistence; 360 seconds are used");
                self.report(Problem::warning(code::DEFAULTED, draft.span, message));
            }
        }
        let scheduler = draft.scheduler.clone().unwrap_or_else(|| {
            let message = format!("{name}: no lb_algo, wlc is used");
            self.report(Problem::warning(code::DEFAULTED, draft.span, message));
            "wlc".to_owned()
        });
        let mut prefix_length = draft.persistence_prefix.map(|(prefix, _)| prefix);
        if let Some((prefix, span)) = draft.persistence_prefix
            && prefix > 32
            && keys.iter().any(|key| key.family() == Family::Inet)
        {
            let message =
                format!("{name}: an IPv4 service takes a persistence_granularity of 1..=32, got {prefix}");
            self.report(Problem::error(code::OUT_OF_RANGE, span, message));
            prefix_length = None;
        }
        let by_mark = keys.iter().all(|key| matches!(key, ServiceKey::Mark { .. }));
        let mut one_packet = draft.one_packet.is_some();
        if let Some(span) = draft.one_packet.filter(|_| !by_mark && protocol != Protocol::Udp) {
            let message = format!("{name}: ops has no effect without UDP or fwmark");
            self.report(Problem::warning(code::NO_EFFECT, span, message));
            one_packet = false;
        }
        ServiceOptions {
            scheduler,
            persistence_timeout: timeout,
            persistence_prefix: prefix_length,
            persistence_engine: draft.persistence_engine.clone(),
            one_packet,
            flag1: draft.flag1,
            flag2: draft.flag2,
            flag3: draft.flag3,
        }
    }

    #[expect(clippy::vec_box, reason = "each is freed as soon as its part of the model exists")]
    fn servers(&mut self, drafts: Vec<Box<ServerDraft>>, outer: &Outer<'_>) -> Vec<RealServer> {
        let mut seen: HashSet<SocketAddr> = HashSet::with_capacity(drafts.len());
        let mut out = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let span = draft.span;
            let Some(server) = self.server(*draft, outer) else { continue };
            if !seen.insert(SocketAddr::new(server.destination.address, server.destination.port)) {
                let message =
                    format!("{}: real_server {} is listed twice, the first counts", outer.name, server.name);
                self.report(Problem::warning(code::GIVEN_TWICE, span, message));
                continue;
            }
            out.push(server);
        }
        out
    }

    fn server(&mut self, draft: ServerDraft, outer: &Outer<'_>) -> Option<RealServer> {
        let forwarding = draft.forwarding.unwrap_or(outer.forwarding);
        let address = draft.address.ip();
        if !self.same_family(address, forwarding, outer, draft.span) {
            return None;
        }
        let port = destination_port(draft.address.port(), forwarding, outer);
        if !matches!(draft.address.port(), 0) && port != draft.address.port() {
            let message = format!(
                "{}: real_server {} is reached at port {port}: direct routing and tunnels keep the service's port",
                outer.name, draft.address
            );
            self.report(Problem::warning(code::ADJUSTED, draft.span, message));
        }
        let name = format!("[{address}]:{}:{port}", outer.protocol_name);
        let probe_port = if draft.address.port() == 0 { outer.port } else { draft.address.port() };
        let mut script = |keyword: &str, command| {
            self.optional_script(&format!("{name} {keyword}"), command, Purpose::ServerNotify)
        };
        let notify_up = script("notify_up", draft.notify_up.map(|boxed| *boxed));
        let notify_down = script("notify_down", draft.notify_down.map(|boxed| *boxed));
        let inner = Inner {
            target: SocketAddr::new(address, probe_port),
            alpha: draft.alpha.unwrap_or(outer.alpha),
            timing: draft.timing.or(outer.timing),
            service_delay: outer.timing.delay_loop.unwrap_or(DELAY_LOOP),
            virtual_host: draft.virtual_host.as_deref().or(outer.virtual_host),
            name: &name,
        };
        let mut resolved = Vec::with_capacity(draft.checks.len());
        for check in draft.checks {
            for check in check::destinations(check) {
                resolved.extend(self.check(check, &inner));
            }
        }
        Some(RealServer {
            destination: Destination {
                address,
                port,
                forwarding,
                upper_threshold: draft.upper_threshold,
                lower_threshold: draft.lower_threshold,
            },
            weight: Weight::new(draft.weight.unwrap_or(outer.weight)).ok()?,
            inhibit_on_failure: draft.inhibit_on_failure.unwrap_or(outer.inhibit),
            notify_up,
            notify_down,
            mail: self.mail_defaults.server(draft.mail),
            checks: resolved,
            name,
        })
    }

    fn same_family(
        &mut self,
        address: IpAddr,
        forwarding: Forwarding,
        outer: &Outer<'_>,
        span: Span,
    ) -> bool {
        let fits = matches!(forwarding, Forwarding::Tunnel(_)) || outer.families == [Family::of(&address)];
        if !fits {
            let message = format!("{}: server {address} is of another family", outer.name);
            let help = "only lb_kind TUN may mix IPv4 and IPv6";
            self.report(Problem::error(code::WRONG_FAMILY, span, message).help(help));
        }
        fits
    }

    fn sorry(&mut self, draft: &ServiceDraft, outer: &Outer<'_>) -> Option<Destination> {
        let (address, before, span) = draft.sorry?;
        let forwarding = draft.sorry_method.or(before).unwrap_or(outer.forwarding);
        if !self.same_family(address.ip(), forwarding, outer, span) {
            return None;
        }
        let port = destination_port(address.port(), forwarding, outer);
        if !matches!(address.port(), 0) && port != address.port() {
            let message = format!(
                "{}: sorry_server {address} is reached at port {port}: direct routing and tunnels keep the service's port",
                outer.name
            );
            self.report(Problem::warning(code::ADJUSTED, span, message));
        }
        Some(Destination { address: address.ip(), port, forwarding, upper_threshold: 0, lower_threshold: 0 })
    }

    /// Quorum that the servers can reach, and hysteresis below it.
    fn quorum(&mut self, draft: &ServiceDraft, servers: &[RealServer], name: &str) -> (u32, u32) {
        let total: u64 = servers.iter().map(|server| u64::from(server.weight.value())).sum();
        let total = u32::try_from(total).unwrap_or(u32::MAX).max(1);
        let (mut quorum, span) = draft.quorum.unwrap_or((1, draft.span));
        if quorum > total {
            let message =
                format!("{name}: quorum {quorum} exceeds the weight of all servers and is taken as {total}");
            self.report(Problem::warning(code::ADJUSTED, span, message));
            quorum = total;
        }
        let (mut hysteresis, span) = draft.hysteresis.unwrap_or((0, draft.span));
        if hysteresis >= quorum {
            let kept = quorum.saturating_sub(1);
            if hysteresis > 0 {
                let message = format!(
                    "{name}: hysteresis {hysteresis} must be below the quorum and is taken as {kept}"
                );
                self.report(Problem::warning(code::ADJUSTED, span, message));
            }
            hysteresis = kept;
        }
        (quorum, hysteresis)
    }
}

/// How the log calls it: by its first address or mark, or by its group.
fn name(
    target: &ServiceTarget,
    protocol: Protocol,
    keys: &[ServiceKey],
    groups: &HashMap<String, Group>,
) -> Option<String> {
    match target {
        // Where several virtual servers use a group, its name alone doesn't tell them apart.
        ServiceTarget::Group(group) if groups.get(&group.text).is_some_and(|group| group.is_shared) => {
            Some(format!("[{}]:{}:0", group.text, protocol.name()))
        }
        ServiceTarget::Group(group) => Some(format!("[{}]:0", group.text)),
        ServiceTarget::Address(_) | ServiceTarget::Mark(_) => keys.first().map(ToString::to_string),
    }
}

/// DR and TUN keep the port of the service; NAT takes it where none is written.
fn destination_port(written: u16, forwarding: Forwarding, outer: &Outer<'_>) -> u16 {
    match forwarding {
        Forwarding::DirectRouting | Forwarding::Tunnel(_) if outer.forces_port => outer.port,
        Forwarding::Nat | Forwarding::DirectRouting | Forwarding::Tunnel(_) if written == 0 => outer.port,
        Forwarding::Nat | Forwarding::DirectRouting | Forwarding::Tunnel(_) => written,
    }
}
