//! Which virtual servers of one configuration are those of another.
//!
//! Decides by the name and, since one mark may be served in both families, by the family of a mark. Pure; used by `diff`
//! and by checkd at a reload.

use std::collections::{HashMap, VecDeque};

use super::check::VirtualServer;
use super::ipvs::ServiceKey;
use super::vrrp::Family;

type Identity<'a> = (&'a str, Option<Family>);

fn identity(service: &VirtualServer) -> Identity<'_> {
    let family = match service.keys.first() {
        Some(ServiceKey::Mark { family, .. }) => Some(*family),
        Some(ServiceKey::Address { .. }) | None => None,
    };
    (&service.name, family)
}

/// For each service of `new` the position in `old` of the one that it continues. No two continue the same one; those
/// that nothing tells apart do so in their order.
#[must_use]
pub fn continued<'a>(
    old: impl IntoIterator<Item = &'a VirtualServer>,
    new: impl IntoIterator<Item = &'a VirtualServer>,
) -> Vec<Option<usize>> {
    let mut before: HashMap<Identity<'_>, VecDeque<usize>> = HashMap::new();
    for (position, service) in old.into_iter().enumerate() {
        before.entry(identity(service)).or_default().push_back(position);
    }
    new.into_iter().map(|service| before.get_mut(&identity(service))?.pop_front()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::OfflineNames;
    use crate::source::Memory;
    use crate::{LoadOptions, load};

    fn services(text: &str) -> Vec<VirtualServer> {
        let source = Memory::new().with("/k", text);
        load(&source, &OfflineNames, "/k", &LoadOptions::default()).model.unwrap().virtual_servers
    }

    fn of_mark(family: &str, server: &str) -> String {
        format!(
            "virtual_server fwmark 3 {{\nlb_algo rr\nlb_kind DR\nip_family {family}\nreal_server {server} 0 {{\n}}\n}}\n"
        )
    }

    #[test]
    fn services_of_one_mark_are_told_apart_by_family() {
        let old = services(&(of_mark("inet", "10.0.0.1") + &of_mark("inet6", "fd00::1")));
        let new = services(&of_mark("inet6", "fd00::1"));
        assert_eq!(old[0].name, old[1].name);
        assert_eq!(continued(&old, &new), [Some(1)]);
        assert_eq!(continued(&new, &old), [None, Some(0)]);
    }
}
