//! Which virtual routers of a configuration go on in the next one.
//!
//! Pure. vrrpd and the parent ask the same question and must find the same answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::vrrp::RouterIdentity;

/// For each of `new` the position of the router of `old` that it is: one of the same name and identity, else, as it has
/// been renamed, the only one of its identity that is left on both sides.
#[must_use]
pub fn kept<'a>(
    old: impl IntoIterator<Item = (&'a str, RouterIdentity)>,
    new: impl IntoIterator<Item = (&'a str, RouterIdentity)>,
) -> Vec<Option<usize>> {
    let old: Vec<_> = old.into_iter().collect();
    let new: Vec<_> = new.into_iter().collect();
    let names: BTreeMap<&str, usize> = old.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let same = |(name, identity): &(&str, RouterIdentity)| {
        names.get(name).copied().filter(|at| old.get(*at).is_some_and(|(_, known)| known == identity))
    };
    let mut kept: Vec<Option<usize>> = new.iter().map(same).collect();
    let taken: BTreeSet<usize> = kept.iter().flatten().copied().collect();
    let homeless = old.iter().enumerate().filter(|(at, _)| !taken.contains(at));
    let former = only_ones(homeless.map(|(at, (_, identity))| (identity, at)));
    let unknown = new.iter().zip(&kept).enumerate().filter(|(_, (_, known))| known.is_none());
    let renamed = only_ones(unknown.map(|(at, ((_, identity), _))| (identity, at)));
    for (identity, at) in renamed {
        if let Some(slot) = kept.get_mut(at) {
            *slot = former.get(identity).copied();
        }
    }
    kept
}

/// Positions of the identities that occur once.
fn only_ones<'a>(
    all: impl Iterator<Item = (&'a RouterIdentity, usize)>,
) -> HashMap<&'a RouterIdentity, usize> {
    let mut found: HashMap<&RouterIdentity, (usize, u32)> = HashMap::new();
    for (identity, at) in all {
        found.entry(identity).or_insert((at, 0)).1 += 1;
    }
    found
        .into_iter()
        .filter(|(_, (_, count))| *count == 1)
        .map(|(identity, (at, _))| (identity, at))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Vrid;
    use crate::model::vrrp::Family;

    fn router(name: &str, vrid: u8) -> (&str, RouterIdentity) {
        let vrid = Vrid::new(vrid).unwrap();
        (name, RouterIdentity { vrid, family: Family::Inet, interface: None, group: None })
    }

    #[test]
    fn a_router_is_known_by_its_name_or_else_by_what_it_is() {
        let old = [router("a", 1), router("b", 2), router("c", 3)];
        let new = [router("c", 3), router("renamed", 1), router("b", 9), router("d", 4)];
        assert_eq!(kept(old, new), [Some(2), Some(0), None, None]);
    }

    #[test]
    fn two_that_swap_their_names_stay_what_they_are() {
        assert_eq!(
            kept([router("a", 1), router("b", 2)], [router("b", 1), router("a", 2)]),
            [Some(0), Some(1)]
        );
    }

    #[test]
    fn nobody_is_taken_for_one_of_several_that_look_alike() {
        assert_eq!(kept([router("a", 1), router("b", 1)], [router("x", 1)]), [None]);
        assert_eq!(kept([router("a", 1)], [router("x", 1), router("y", 1)]), [None, None]);
        assert_eq!(
            kept([router("a", 1), router("b", 1)], [router("x", 1), router("a", 1)]),
            [Some(1), Some(0)]
        );
    }
}
