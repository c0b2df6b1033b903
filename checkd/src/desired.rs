//! What the kernel's table should say of one virtual server: quorum, sorry server, inhibition, weights.
//!
//! Decides from the servers' states; which checkers make a server good is [`crate::roster`]'s, and the table itself is
//! ipvsd's. Called when a server's state or weight changed. Its input is our own verdicts and the valid model.

use config::model::check::{RealServer, VirtualServer};
use config::model::ipvs::{Destination, ServiceKey};
use config::model::parts::{Presence, ServerRef};
use config::model::units::{ScriptId, ServerId, ServiceId, Weight};

use crate::mail::news::{News, Sums};

/// What should happen outside because of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The table should say this of a destination.
    Desire {
        /// Virtual server.
        service: ServiceId,
        /// Its destination.
        server: ServerRef,
        /// A weight, or absence.
        presence: Presence,
    },
    /// A real server, or the service itself, went up or down.
    Event {
        /// Virtual server.
        service: ServiceId,
        /// Real server; `None` is the quorum.
        server: Option<ServerId>,
        /// Up or down.
        up: bool,
    },
    /// A notify script should run.
    Notify(ScriptId),
    /// A line for the log.
    Log(String),
    /// A mail should be sent.
    Mail(News),
}

/// Whether this is the first look at a configuration or a change under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// At start and after a reload: a missing quorum brings in the sorry server although none was lost.
    Start,
    /// While running.
    Change,
}

/// One virtual server.
#[derive(Debug)]
pub struct Service {
    id: ServiceId,
    config: VirtualServer,
    servers: Vec<Server>,
    quorum_up: bool,
    sorry_serves: bool,
    sorry_told: Presence,
    /// Sum of the weights of live servers.
    live: i64,
}

#[derive(Debug, Clone, Copy)]
struct Server {
    alive: bool,
    weight: Weight,
    told: Presence,
}

impl Server {
    fn live_weight(self) -> i64 {
        if self.alive { i64::from(self.weight.value()) } else { 0 }
    }
}

impl Service {
    /// A service whose servers are all down and whose quorum is down.
    #[must_use]
    pub fn new(id: ServiceId, config: VirtualServer) -> Self {
        let servers = config
            .real_servers
            .iter()
            .map(|server| Server { alive: false, weight: server.weight, told: None })
            .collect();
        Self { id, config, servers, quorum_up: false, sorry_serves: false, sorry_told: None, live: 0 }
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &VirtualServer {
        &self.config
    }

    /// A real server is alive.
    #[must_use]
    pub fn is_alive(&self, server: usize) -> bool {
        self.servers.get(server).is_some_and(|server| server.alive)
    }

    /// A real server's weight while it is alive.
    #[must_use]
    pub fn weight(&self, server: usize) -> Weight {
        self.servers.get(server).map_or(Weight::ZERO, |server| server.weight)
    }

    /// Takes a state over without a word: at the first look, or from an earlier configuration.
    pub fn assume(&mut self, server: usize, alive: bool, weight: Weight) {
        self.alter(server, |state| {
            state.alive = alive;
            state.weight = weight;
        });
    }

    /// Takes over the quorum that a predecessor reported, which its verdicts imply: between the two thresholds of
    /// hysteresis it is taken as up, so that no live server is replaced by the sorry server.
    pub fn assume_quorum(&mut self) {
        self.quorum_up = self.live > 0 && self.live >= self.lower_threshold();
        self.sorry_serves = !self.quorum_up && self.config.sorry_server.is_some();
    }

    /// Takes over the quorum that a predecessor told, where the servers' states leave it open.
    pub fn assume_told_quorum(&mut self, up: bool) {
        let (lower, upper) = (self.lower_threshold(), self.upper_threshold());
        let open = self.live > 0 && self.live >= lower && self.live < upper;
        if open {
            self.quorum_up = up;
            self.sorry_serves = !up && self.config.sorry_server.is_some();
        }
    }

    /// The quorum is gained.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.quorum_up
    }

    /// Takes over the quorum of the same service in an earlier configuration. Another sorry server has to be called.
    pub fn inherit_quorum(&mut self, old: &Self, out: &mut Vec<Effect>) {
        let place = |sorry: Destination| (sorry.address, sorry.port);
        let stays = self.config.sorry_server.map(place) == old.config.sorry_server.map(place);
        self.quorum_up = old.quorum_up;
        self.sorry_serves = stays && old.sorry_serves;
        if let (false, Some(sorry), Some(_)) = (stays, old.config.sorry_server, old.sorry_wanted()) {
            let (sorry, name) = (old.sorry_name(sorry), &self.config.name);
            out.push(Effect::Log(format!("Removing sorry server {sorry} from VS {name}")));
        }
    }

    /// Sets a real server's state.
    pub fn set_alive(&mut self, server: usize, alive: bool, out: &mut Vec<Effect>) {
        if self.alter(server, |state| std::mem::replace(&mut state.alive, alive)) != Some(!alive) {
            return;
        }
        let Some(config) = self.config.real_servers.get(server) else { return };
        let (name, service) = (&config.name, &self.config.name);
        out.push(Effect::Log(match (alive, config.inhibit_on_failure) {
            (true, false) => format!("Adding service {name} to VS {service}"),
            (true, true) => format!("Enabling service {name} of VS {service}"),
            (false, false) => format!("Removing service {name} from VS {service}"),
            (false, true) => format!("Disabling service {name} of VS {service}"),
        }));
        tell(self.id, server, config, alive, out);
        self.settle_one(server, out);
    }

    /// Sets a real server's weight.
    pub fn set_weight(&mut self, server: usize, weight: Weight, out: &mut Vec<Effect>) {
        let old = self.alter(server, |state| std::mem::replace(&mut state.weight, weight));
        let (Some(old), Some(config)) = (old, self.config.real_servers.get(server)) else { return };
        if old == weight {
            return;
        }
        let active = if self.is_alive(server) { "active" } else { "inactive" };
        out.push(Effect::Log(format!(
            "Changing weight from {old} to {weight} for {active} service {} of VS {}",
            config.name, self.config.name
        )));
        self.settle_one(server, out);
    }

    /// Tells of those servers that are up although nothing changed: at the start, with `rs_init_notifies`.
    pub fn tell_alive(&self, which: impl Fn(&RealServer) -> bool, out: &mut Vec<Effect>) {
        for (index, config) in self.config.real_servers.iter().enumerate() {
            if self.is_alive(index) && which(config) {
                tell(self.id, index, config, true, out);
            }
        }
    }

    /// A server that started as down is down indeed: told once, so that scripts and subscribers know.
    pub fn confirm_down(&mut self, server: usize, out: &mut Vec<Effect>) {
        if let Some(config) = self.config.real_servers.get(server).filter(|_| !self.is_alive(server)) {
            tell(self.id, server, config, false, out);
        }
    }

    /// Recomputes quorum and sorry server, then says what the table should change.
    pub fn settle(&mut self, occasion: Occasion, out: &mut Vec<Effect>) {
        self.update_quorum(occasion, out);
        for index in 0..self.servers.len() {
            self.say(index, out);
        }
        self.say_sorry(out);
    }

    /// The same after a change of one server: the others change with the sorry server only.
    fn settle_one(&mut self, index: usize, out: &mut Vec<Effect>) {
        let served = self.sorry_serves;
        self.update_quorum(Occasion::Change, out);
        if self.sorry_serves == served {
            self.say(index, out);
        } else {
            self.settle(Occasion::Change, out);
        }
    }

    fn say(&mut self, index: usize, out: &mut Vec<Effect>) {
        let wanted = self.wanted(index);
        let Some(server) = self.servers.get_mut(index).filter(|server| server.told != wanted) else { return };
        server.told = wanted;
        let server = ServerRef::Real(server_id(index));
        out.push(Effect::Desire { service: self.id, server, presence: wanted });
    }

    fn say_sorry(&mut self, out: &mut Vec<Effect>) {
        let wanted = self.sorry_wanted();
        if std::mem::replace(&mut self.sorry_told, wanted) != wanted {
            out.push(Effect::Desire { service: self.id, server: ServerRef::Sorry, presence: wanted });
        }
    }

    /// Changes a server and keeps the sum of live weights true.
    fn alter<T>(&mut self, index: usize, change: impl FnOnce(&mut Server) -> T) -> Option<T> {
        let server = self.servers.get_mut(index)?;
        let before = server.live_weight();
        let result = change(server);
        self.live = self.live.saturating_sub(before).saturating_add(server.live_weight());
        Some(result)
    }

    /// Everything that the table should hold of this service.
    pub fn table(&self) -> impl Iterator<Item = (ServerRef, Weight)> + '_ {
        let real = (0..self.servers.len())
            .filter_map(|index| self.wanted(index).map(|weight| (ServerRef::Real(server_id(index)), weight)));
        real.chain(self.sorry_wanted().map(|weight| (ServerRef::Sorry, weight)))
    }

    /// Some of its servers are gone from the configuration: their down scripts run.
    pub fn retire(&mut self, gone: impl Fn(&RealServer) -> bool, out: &mut Vec<Effect>) {
        for index in 0..self.servers.len() {
            let Some(config) = self.config.real_servers.get(index).filter(|config| gone(config)) else {
                continue;
            };
            out.push(Effect::Log(format!("service {} no longer exist", config.name)));
            self.retire_one(index, out);
        }
    }

    fn retire_one(&mut self, index: usize, out: &mut Vec<Effect>) {
        if let Some(config) = self.config.real_servers.get(index).filter(|_| self.wanted(index).is_some()) {
            let inhibited = self.inhibited(index);
            let (name, service) = (&config.name, &self.config.name);
            out.push(Effect::Log(format!("Removing {inhibited}service {name} from VS {service}")));
        }
        self.bury(index, Some("=> Removing <="), out);
    }

    /// The whole service is gone from the configuration.
    pub fn retire_all(&mut self, out: &mut Vec<Effect>) {
        out.push(Effect::Log(format!("Removing Virtual Server {}", self.config.name)));
        for index in 0..self.servers.len() {
            self.retire_one(index, out);
        }
        if std::mem::replace(&mut self.quorum_up, false) {
            self.tell_quorum("Lost quorum", self.lower_threshold(), out);
        }
    }

    /// The daemon ends and withdraws everything: with `omega` the down scripts run.
    pub fn stop(&mut self, out: &mut Vec<Effect>) {
        let farewell = self.config.omega.then_some("=> Shutting down <=");
        for index in 0..self.servers.len() {
            let Some(config) = self.config.real_servers.get(index) else { continue };
            let (name, service) = (&config.name, &self.config.name);
            let inhibited = self.inhibited(index);
            out.push(Effect::Log(format!("Shutting down {inhibited}service {name} from VS {service}")));
            self.bury(index, farewell, out);
        }
        self.quorum_up = false;
        if self.config.omega {
            self.tell_quorum("Lost quorum", self.lower_threshold(), out);
        }
    }

    /// A word for a server that is down and stays in the table with weight 0.
    fn inhibited(&self, index: usize) -> &'static str {
        let stays = self.config.real_servers.get(index).is_some_and(|config| config.inhibit_on_failure);
        if stays && !self.is_alive(index) { "(inhibited) " } else { "" }
    }

    /// Takes a server out; with a farewell everybody is told.
    fn bury(&mut self, index: usize, farewell: Option<&str>, out: &mut Vec<Effect>) {
        let was_alive = self.alter(index, |server| std::mem::replace(&mut server.alive, false)) == Some(true);
        if let (true, Some(farewell), Some(config)) =
            (was_alive, farewell, self.config.real_servers.get(index))
        {
            tell(self.id, index, config, false, out);
            if config.mail {
                let news = News::of_server(&config.name, &self.config.name, false, farewell.to_owned());
                out.push(Effect::Mail(news));
            }
        }
    }

    fn update_quorum(&mut self, occasion: Occasion, out: &mut Vec<Effect>) {
        let live = self.live;
        let (quorum, hysteresis) = (self.config.quorum, self.config.hysteresis);
        let (lower, upper) = (self.lower_threshold(), self.upper_threshold());
        if !self.quorum_up && live >= upper {
            self.quorum_up = true;
            let name = &self.config.name;
            out.push(Effect::Log(format!(
                "Gained quorum {quorum}+{hysteresis}={upper} <= {live} for VS {name}"
            )));
            self.dismiss_sorry(out);
            let what = if occasion == Occasion::Start { "Starting with quorum up" } else { "Gained quorum" };
            self.tell_quorum(what, upper, out);
            return;
        }
        let lost = self.quorum_up && (live == 0 || live < lower);
        let missing = occasion == Occasion::Start
            && !self.quorum_up
            && self.config.sorry_server.is_some()
            && !self.sorry_serves;
        if lost || missing {
            self.quorum_up = false;
            let what = if occasion == Occasion::Start { "Starting with quorum down" } else { "Lost quorum" };
            let name = &self.config.name;
            // A quorum that was never there is missed by the sum, although the line speaks of the difference.
            let threshold = if missing { upper } else { lower };
            out.push(Effect::Log(format!("{what} {quorum}-{hysteresis}={threshold} > {live} for VS {name}")));
            self.call_sorry(out);
            self.tell_quorum(what, threshold, out);
        }
    }

    fn call_sorry(&mut self, out: &mut Vec<Effect>) {
        let Some(sorry) = self.config.sorry_server.filter(|_| !self.sorry_serves) else { return };
        let verb = if self.config.sorry_server_inhibit { "Enabling" } else { "Adding" };
        let (sorry, name) = (self.sorry_name(sorry), &self.config.name);
        out.push(Effect::Log(format!("{verb} sorry server {sorry} to VS {name}")));
        out.push(Effect::Log(format!("Removing alive servers from the pool for VS {name}")));
        self.sorry_serves = true;
    }

    fn dismiss_sorry(&mut self, out: &mut Vec<Effect>) {
        let Some(sorry) = self.config.sorry_server.filter(|_| self.sorry_serves) else { return };
        let verb = if self.config.sorry_server_inhibit { "Disabling" } else { "Removing" };
        let (sorry, name) = (self.sorry_name(sorry), &self.config.name);
        out.push(Effect::Log(format!("{verb} sorry server {sorry} from VS {name}")));
        out.push(Effect::Log(format!("Adding alive servers to the pool for VS {name}")));
        self.sorry_serves = false;
    }

    fn tell_quorum(&self, what: &str, threshold: i64, out: &mut Vec<Effect>) {
        if self.config.mail {
            let (quorum, hysteresis) = (self.config.quorum, self.config.hysteresis);
            let sums = Sums { quorum, hysteresis, threshold, weight: self.live };
            out.push(Effect::Mail(News::of_quorum(&self.config.name, self.quorum_up, what, sums)));
        }
        let script = if self.quorum_up { self.config.quorum_up } else { self.config.quorum_down };
        out.extend(script.map(Effect::Notify));
        out.push(Effect::Event { service: self.id, server: None, up: self.quorum_up });
    }

    fn upper_threshold(&self) -> i64 {
        i64::from(self.config.quorum).saturating_add(i64::from(self.config.hysteresis))
    }

    fn lower_threshold(&self) -> i64 {
        i64::from(self.config.quorum).saturating_sub(i64::from(self.config.hysteresis))
    }

    fn wanted(&self, index: usize) -> Presence {
        let (server, config) = (self.servers.get(index)?, self.config.real_servers.get(index)?);
        if server.alive && !self.sorry_serves {
            return Some(server.weight);
        }
        config.inhibit_on_failure.then_some(Weight::ZERO)
    }

    fn sorry_wanted(&self) -> Presence {
        self.config.sorry_server?;
        if self.sorry_serves {
            return Some(Weight::clamped(1));
        }
        self.config.sorry_server_inhibit.then_some(Weight::ZERO)
    }

    fn sorry_name(&self, sorry: Destination) -> String {
        format!("[{}]:{}:{}", sorry.address, protocol(&self.config), sorry.port)
    }
}

/// Protocol of a virtual server as in log lines: `none` for one that goes by mark.
#[must_use]
pub fn protocol(service: &VirtualServer) -> &'static str {
    match service.keys.first() {
        Some(ServiceKey::Address { protocol, .. }) => protocol.name(),
        Some(ServiceKey::Mark { .. }) | None => "none",
    }
}

fn tell(service: ServiceId, index: usize, config: &RealServer, up: bool, out: &mut Vec<Effect>) {
    let script = if up { config.notify_up } else { config.notify_down };
    out.extend(script.map(Effect::Notify));
    out.push(Effect::Event { service, server: Some(server_id(index)), up });
}

fn server_id(index: usize) -> ServerId {
    ServerId::new(u32::try_from(index).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;
