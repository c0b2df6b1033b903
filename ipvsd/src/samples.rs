//! What the tests of several modules build from: short words for services, keys and entries, and a kernel.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use config::model::ipvs::{
    AddressRange, Destination, Forwarding, IpvsSettings, MarkTable, Marked, Protocol, ServiceKey,
    ServiceOptions,
};
use config::model::parts::{IpvsService, ServerRef};
use config::model::units::{Generation, MonoTime, ServerId, ServiceId, Weight};
use config::model::vrrp::Family;
use ipc::messages::checkd::DesiredEntry;
use netlink::frame::KernelError;
use netlink::ipvs::{DestinationEntry, Key, ServiceEntry, Stats, SyncDaemon, Timeouts};
use netlink::nftables::{Family as TableFamily, Found, MarkingTable};
use netlink::socket::{OpenError, Outcome};
use nix::errno::Errno;

use crate::kernel::{KernelTable, ReceiveBuffer, Trouble};
use crate::list::List;
use crate::marks::Marking;
use crate::reconcile::{Entry, Operation, Subject};
use crate::sync::SyncOperation;

/// `192.0.2.LAST:PORT` over TCP.
pub(crate) fn tcp(last: u8, port: u16) -> ServiceKey {
    ServiceKey::Address { address: format!("192.0.2.{last}").parse().unwrap(), port, protocol: Protocol::Tcp }
}

/// A mark of IPv4.
pub(crate) fn mark(mark: u32) -> ServiceKey {
    ServiceKey::Mark { mark, family: Family::Inet }
}

/// A service with `servers` destinations 10.0.0.1:8080, 10.0.0.2:8080 ... by NAT.
pub(crate) fn service(keys: &[ServiceKey], servers: u8) -> IpvsService {
    IpvsService {
        name: "web".into(),
        keys: keys.to_vec(),
        marked: None,
        options: ServiceOptions::plain("rr"),
        destinations: (1..=servers)
            .map(|last| Destination {
                address: format!("10.0.0.{last}").parse().unwrap(),
                port: 8080,
                forwarding: Forwarding::Nat,
                upper_threshold: 0,
                lower_threshold: 0,
            })
            .collect(),
        sorry: None,
    }
}

/// A list of services over TCP, each with the addresses and ports that nftables marks for it, from 1000 on.
pub(crate) fn marked_list(generation: u64, services: &[(&str, &[(&str, u16)])]) -> List {
    let mut list = List::new(Generation::new(generation));
    let marks =
        Some(MarkTable { name: "keepalived_ipvs".into(), priority: -1, first: 1000, counters: false });
    list.set(IpvsSettings { marks, ..IpvsSettings::default() }).unwrap();
    for ((name, ranges), number) in services.iter().zip(1000..) {
        let range = |(address, port): &(&str, u16)| {
            let address = address.parse().unwrap();
            AddressRange { first: address, last: address, port: *port }
        };
        let ranges = ranges.iter().map(range).collect();
        let marked = Some(Marked { mark: number, protocol: Protocol::Tcp, ranges });
        list.add(IpvsService { name: (*name).into(), marked, ..service(&[mark(number)], 1) }).unwrap();
    }
    list
}

/// What should be said of a real server.
pub(crate) fn entry(service: u32, server: u32, weight: Option<u32>) -> DesiredEntry {
    DesiredEntry {
        service: ServiceId::new(service),
        server: ServerRef::Real(ServerId::new(server)),
        presence: weight.map(|weight| Weight::new(weight).unwrap()),
    }
}

/// A kernel that is a map: does what it is told, refuses as the real one does, and fails as it is asked to.
#[derive(Debug, Default)]
pub(crate) struct FakeKernel {
    /// The table.
    pub(crate) table: BTreeMap<Key, Entry>,
    /// Operations tried.
    pub(crate) written: usize,
    /// Subjects that are refused, whatever is done to them.
    pub(crate) refuse: BTreeMap<Subject, Errno>,
    /// Synchronisation daemons that run.
    pub(crate) daemons: Vec<SyncDaemon>,
    /// Connection time-outs that were set.
    pub(crate) timeouts: Option<Timeouts>,
    /// Receive buffer that was set last.
    pub(crate) buffer: Option<ReceiveBuffer>,
    /// Tables of nftables; none without a socket for them.
    pub(crate) marks: Option<BTreeMap<(TableFamily, String), MarkingTable>>,
    /// Changes with everything that is written there.
    pub(crate) marks_generation: u32,
    /// It has no IPVS.
    pub(crate) absent: bool,
    /// It answers nothing.
    pub(crate) silent: bool,
    /// Its clock.
    pub(crate) clock: MonoTime,
}

impl FakeKernel {
    /// Services whose keys are wanted.
    pub(crate) fn services(&self, wanted: &dyn Fn(&Key) -> bool) -> BTreeMap<Key, ServiceEntry> {
        let wanted = self.table.iter().filter(|(key, _)| wanted(key));
        let entry = |entry: &Entry| ServiceEntry { service: entry.service.clone(), stats: Stats::default() };
        wanted.map(|(key, found)| (*key, entry(found))).collect()
    }

    /// Destinations of a service.
    pub(crate) fn destinations(&self, key: &Key) -> Vec<DestinationEntry> {
        let entry = |destination| DestinationEntry {
            destination,
            active: 1,
            inactive: 0,
            persistent: 0,
            stats: Stats { connections: 5, ..Stats::default() },
        };
        self.table
            .get(key)
            .into_iter()
            .flat_map(|entry| entry.destinations.values().copied())
            .map(entry)
            .collect()
    }

    /// Does one operation.
    pub(crate) fn write(&mut self, operation: &Operation) -> Outcome {
        self.written += 1;
        if self.silent {
            return Outcome::Unanswered;
        }
        let subject = operation.subject();
        let service = self.table.get(&subject.key());
        let server = match subject {
            Subject::Destination(_, endpoint) => {
                service.is_some_and(|entry| entry.destinations.contains_key(&endpoint))
            }
            Subject::Service(_) => false,
        };
        let error = match operation {
            _ if self.refuse.contains_key(&subject) => self.refuse.get(&subject).copied(),
            Operation::AddService(_) => service.map(|_| Errno::EEXIST),
            _ if service.is_none() => Some(Errno::ESRCH),
            Operation::EditService(_) | Operation::DeleteService(_) => None,
            Operation::AddDestination(..) => server.then_some(Errno::EEXIST),
            Operation::RaiseDestination(..)
            | Operation::LowerDestination(..)
            | Operation::DeleteDestination(..) => (!server).then_some(Errno::ENOENT),
        };
        match error {
            Some(errno) => Outcome::Refused(KernelError::bare(errno)),
            None => {
                operation.apply(&mut self.table);
                Outcome::Done
            }
        }
    }

    /// Weights under a key, by address.
    pub(crate) fn weights(&self, key: Key) -> Vec<u32> {
        self.destinations(&key).iter().map(|server| server.destination.weight).collect()
    }
}

/// A kernel that a test looks into while somebody else uses it.
pub(crate) type SharedKernel = Arc<Mutex<FakeKernel>>;

impl KernelTable for SharedKernel {
    fn now(&self) -> MonoTime {
        self.lock().unwrap().clock
    }

    fn spent(&self) -> Duration {
        Duration::ZERO
    }

    fn open(&mut self) -> Result<(), Trouble> {
        if self.lock().unwrap().absent { Err(Trouble::Absent) } else { Ok(()) }
    }

    fn services(&mut self, wanted: &dyn Fn(&Key) -> bool) -> Result<BTreeMap<Key, ServiceEntry>, Trouble> {
        let kernel = self.lock().unwrap();
        if kernel.absent { Err(Trouble::Absent) } else { Ok(kernel.services(wanted)) }
    }

    fn destinations(&mut self, key: &Key) -> Result<Vec<DestinationEntry>, Trouble> {
        Ok(self.lock().unwrap().destinations(key))
    }

    fn write(&mut self, operations: &[Operation]) -> Vec<Outcome> {
        let mut kernel = self.lock().unwrap();
        operations.iter().map(|operation| kernel.write(operation)).collect()
    }

    fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, Trouble> {
        Ok(self.lock().unwrap().daemons.clone())
    }

    fn sync(&mut self, operation: &SyncOperation) -> Outcome {
        let running = &mut self.lock().unwrap().daemons;
        match operation {
            SyncOperation::Start(daemon) => running.push(daemon.clone()),
            SyncOperation::Stop(role) => running.retain(|daemon| daemon.role != *role),
        }
        Outcome::Done
    }

    fn timeouts(&mut self) -> Result<Timeouts, Trouble> {
        Ok(self.lock().unwrap().timeouts.unwrap_or(Timeouts { tcp: 900, tcp_fin: 120, udp: 300 }))
    }

    fn set_timeouts(&mut self, timeouts: &Timeouts) -> Outcome {
        self.lock().unwrap().timeouts = Some(*timeouts);
        Outcome::Done
    }

    fn flush(&mut self) -> Outcome {
        self.lock().unwrap().table.clear();
        Outcome::Done
    }

    fn buffer(&mut self, wanted: Option<ReceiveBuffer>) {
        self.lock().unwrap().buffer = wanted;
    }

    fn open_marks(&mut self) -> Result<(), OpenError> {
        self.lock().unwrap().marks = Some(BTreeMap::new());
        Ok(())
    }

    fn can_mark(&self) -> bool {
        self.lock().unwrap().marks.is_some()
    }

    fn mark(&mut self, marking: &Marking) -> Outcome {
        let mut kernel = self.lock().unwrap();
        kernel.marks_generation += 1;
        let Some(tables) = &mut kernel.marks else { return Outcome::Unanswered };
        match marking {
            Marking::Replace(table) => {
                tables.insert((table.family, table.name.clone()), table.clone());
            }
            Marking::Remove(family, name) => {
                tables.remove(&(*family, name.clone()));
            }
        }
        Outcome::Done
    }

    fn marks_generation(&mut self) -> Result<u32, Trouble> {
        Ok(self.lock().unwrap().marks_generation)
    }

    fn marks_found(&mut self, table: &MarkingTable) -> Result<Option<Found>, Trouble> {
        let kernel = self.lock().unwrap();
        let tables = kernel.marks.as_ref().ok_or(Trouble::Absent)?;
        Ok(tables.get(&(table.family, table.name.clone())).map(Found::of))
    }
}
