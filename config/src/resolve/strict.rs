//! `strict_mode`: what the standards forbid is refused or set right before an instance is resolved.
//!
//! A non-owner must not accept packets to its addresses in strict mode (RFC 9568 section 6.4.3). That takes a packet
//! filter, which isn't there yet; so strict mode is for owners, and for others beside an explicit `accept`.

use super::Context;
use crate::diagnostic::{Code, Problem, code};
use crate::model::units::Priority;
use crate::model::vrrp::{Family, VirtualAddress};
use crate::schema::InstanceDraft;

impl Context<'_> {
    /// Whether an instance is strict. Reports what can't be, and brings the draft to what strict mode asks for.
    pub(super) fn strict(&mut self, draft: &mut InstanceDraft, priority: Priority) -> bool {
        let (strict, span) = draft.strict.unwrap_or((self.globals.strict, draft.span));
        if !strict {
            return false;
        }
        let name = draft.name.clone();
        let mut refuse = |code: Code, message: String, help: &str| {
            self.problems.report(Problem::error(code, span, message).help(help).fatal());
        };
        if priority != Priority::OWNER && !draft.accept {
            let message = format!(
                "{name}: strict_mode without accept is not active yet: packets to the addresses would be accepted"
            );
            refuse(code::NOT_ACTIVE_REFUSED, message, "write accept, or make it the owner by priority 255");
        }
        if !draft.peers.is_empty() {
            let message = format!("{name}: strict_mode refuses unicast_peer: VRRP is multicast");
            refuse(code::CONFLICT, message, "turn strict_mode off for this instance");
        }
        if draft.addresses.is_empty() {
            let message = format!("{name}: strict_mode needs at least one virtual_ipaddress");
            refuse(code::MISSING_KEYWORD, message, "adverts must carry an address");
        }
        let mut adjust = |message: &str| {
            let message = format!("{name}: strict_mode: {message}");
            self.problems.report(Problem::warning(code::ADJUSTED, span, message));
        };
        if draft.preempt_delay.take().is_some_and(|(delay, _)| !delay.is_zero()) {
            adjust("preempt_delay is ignored");
        }
        if draft.down_timer_adverts.or(self.globals.down_timer_adverts).is_some_and(|count| count != 3) {
            adjust("down_timer_adverts is 3");
        }
        if draft.garp.lower_prio_repeat.is_some_and(|repeat| repeat != 0) {
            adjust("garp_lower_prio_repeat is 0");
        }
        if draft.lower_prio_no_advert == Some(false) {
            adjust("lower_prio_no_advert is on");
        }
        if draft.higher_prio_send_advert == Some(true) {
            adjust("higher_prio_send_advert is off");
        }
        if draft.master == Some(true) && priority != Priority::OWNER {
            adjust("state MASTER is for priority 255 only, taken as BACKUP");
            draft.master = Some(false);
        }
        draft.down_timer_adverts = Some(3);
        draft.garp.lower_prio_repeat = Some(0);
        draft.garp.lower_prio_delay = Some(0);
        draft.lower_prio_no_advert = Some(true);
        draft.higher_prio_send_advert = Some(false);
        if priority == Priority::OWNER {
            draft.owner_ignore_adverts = Some(true);
        }
        true
    }

    /// RFC 9568 section 5.2.9: the first address must be the link-local one. As in keepalived that is worth a remark,
    /// and only where others than configured peers listen.
    pub(super) fn check_first_address(
        &mut self,
        draft: &InstanceDraft,
        family: Family,
        addresses: &[VirtualAddress],
    ) {
        let Some(std::net::IpAddr::V6(first)) = addresses.first().map(|address| address.network.ip()) else {
            return;
        };
        if family == Family::Inet6 && draft.peers.is_empty() && !first.is_unicast_link_local() {
            let message = format!("{}: the first IPv6 address of an advert should be link-local", draft.name);
            let help = "RFC 9568 section 5.2.9; write one in front of the others";
            self.report(Problem::warning(code::NOT_LINK_LOCAL, draft.span, message).help(help));
        }
    }
}
