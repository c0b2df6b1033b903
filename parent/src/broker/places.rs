//! Tables with a place for each virtual server, each of its real servers and its sorry server, in the order of the
//! configuration. What is known of fifty thousand servers is found without a search and costs one allocation.

use std::rc::Rc;

use config::model::parts::{ParentPart, ServerRef};
use config::model::units::{ServerId, ServiceId};

/// Where the places of each virtual server of a configuration begin: its own, those of its real servers, and that of its
/// sorry server.
#[derive(Debug)]
pub(super) struct Layout {
    /// One more than there are virtual servers.
    starts: Vec<usize>,
}

/// Places of a virtual server beside those of its real servers.
const OWN_AND_SORRY: usize = 2;

impl Layout {
    pub(super) fn of(part: &ParentPart) -> Rc<Self> {
        let mut end = 0_usize;
        let ends = part.services.iter().map(|service| {
            end = end.saturating_add(service.servers.len()).saturating_add(OWN_AND_SORRY);
            end
        });
        Rc::new(Self { starts: std::iter::once(0).chain(ends).collect() })
    }

    fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The place of a virtual server itself, or of one of its destinations.
    fn place(&self, service: ServiceId, server: Option<ServerRef>) -> Option<usize> {
        let start = *self.starts.get(service.index())?;
        let sorry = self.starts.get(service.index().saturating_add(1))?.saturating_sub(1);
        match server {
            None => Some(start),
            Some(ServerRef::Real(id)) => {
                Some(start.saturating_add(1).saturating_add(id.index())).filter(|place| *place < sorry)
            }
            Some(ServerRef::Sorry) => Some(sorry),
        }
    }

    /// Whose places these are, from this one on.
    fn owners(&self, first: usize) -> impl Iterator<Item = (ServiceId, Option<ServerRef>)> + '_ {
        let of_first = self.starts.partition_point(|start| *start <= first).saturating_sub(1);
        let spans = self.starts.iter().zip(self.starts.iter().skip(1));
        let spans = (0_u32..).map(ServiceId::new).zip(spans).skip(of_first);
        spans.flat_map(move |(service, (&start, end))| {
            let real = (0_u32..).map(|id| Some(ServerRef::Real(ServerId::new(id))));
            let servers = real.take(end.saturating_sub(start).saturating_sub(OWN_AND_SORRY));
            let all = std::iter::once(None).chain(servers).chain([Some(ServerRef::Sorry)]);
            all.skip(first.saturating_sub(start)).map(move |server| (service, server))
        })
    }
}

/// What is known at some of these places.
#[derive(Debug, Clone)]
pub(super) struct Places<T> {
    layout: Rc<Layout>,
    /// Empty until something is known.
    values: Vec<Option<T>>,
}

impl<T: Copy> Places<T> {
    pub(super) fn new(layout: &Rc<Layout>) -> Self {
        Self { layout: Rc::clone(layout), values: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn get(&self, service: ServiceId, server: Option<ServerRef>) -> Option<T> {
        *self.values.get(self.layout.place(service, server)?)?
    }

    /// Returns what was known there before. A place that the configuration doesn't have keeps nothing.
    pub(super) fn insert(&mut self, service: ServiceId, server: Option<ServerRef>, value: T) -> Option<T> {
        let place = self.layout.place(service, server)?;
        if self.values.is_empty() {
            self.values.resize(self.layout.len(), None);
        }
        self.values.get_mut(place)?.replace(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ServiceId, Option<ServerRef>, T)> + '_ {
        self.from(0).map(|(_, service, server, value)| (service, server, value))
    }

    /// What is known from this place on, each with its place.
    pub(super) fn from(
        &self,
        first: usize,
    ) -> impl Iterator<Item = (usize, ServiceId, Option<ServerRef>, T)> + '_ {
        let values = (first..).zip(self.values.iter().skip(first)).zip(self.layout.owners(first));
        values.filter_map(|((place, value), (service, server))| Some((place, service, server, (*value)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Virtual servers with so many real servers.
    fn layout(servers: &[usize]) -> Rc<Layout> {
        let mut starts = vec![0];
        servers.iter().for_each(|count| starts.push(starts.last().unwrap() + count + OWN_AND_SORRY));
        Rc::new(Layout { starts })
    }

    fn service(id: u32) -> ServiceId {
        ServiceId::new(id)
    }

    fn real(id: u32) -> Option<ServerRef> {
        Some(ServerRef::Real(ServerId::new(id)))
    }

    #[test]
    fn what_is_known_comes_back_in_the_order_of_the_configuration() {
        let mut places = Places::new(&layout(&[2, 0, 1]));
        assert!(places.is_empty());
        let known = [
            (service(0), None, 1),
            (service(0), real(1), 2),
            (service(1), Some(ServerRef::Sorry), 3),
            (service(2), real(0), 4),
        ];
        for (service, server, value) in known.into_iter().rev() {
            assert_eq!(places.insert(service, server, value), None);
        }
        assert_eq!(places.iter().collect::<Vec<_>>(), known);
        assert_eq!(places.insert(service(0), real(1), 9), Some(2));
        assert_eq!((places.get(service(0), real(1)), places.get(service(0), real(0))), (Some(9), None));
    }

    #[test]
    fn a_walk_may_begin_at_any_place() {
        let mut places = Places::new(&layout(&[2, 0, 1]));
        let all: Vec<_> = [
            (service(0), None),
            (service(0), real(0)),
            (service(0), real(1)),
            (service(0), Some(ServerRef::Sorry)),
            (service(1), None),
            (service(1), Some(ServerRef::Sorry)),
            (service(2), None),
            (service(2), real(0)),
            (service(2), Some(ServerRef::Sorry)),
        ]
        .into_iter()
        .enumerate()
        .map(|(place, (service, server))| (place, service, server, 'x'))
        .collect();
        for &(_, service, server, value) in &all {
            places.insert(service, server, value);
        }
        for first in 0..=all.len() {
            assert_eq!(places.from(first).collect::<Vec<_>>(), all[first..], "from {first}");
        }
    }

    #[test]
    fn a_place_that_is_not_configured_keeps_nothing() {
        let mut places = Places::new(&layout(&[1]));
        assert_eq!((places.insert(service(0), real(1), 1), places.insert(service(1), None, 1)), (None, None));
        assert_eq!(places.iter().count(), 0);
        assert_eq!(Places::<u8>::new(&layout(&[])).iter().count(), 0);
    }
}
