//! From Debian's keepalived to ours and back: with one failover at most for each replacement, whatever the order, and
//! without anything that stays behind.

use std::net::IpAddr;
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{
    Director, Echo, Failure, Host, Lab, Lan, Probe, Subject, on_a_steady_machine, pause, sandboxed,
    wait_until,
};

const ADDRESS: IpAddr = front4(50);
const EXCLUDED: IpAddr = front4(51);
const SOON: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(200);

fn config(name: &str) -> String {
    let priority = if name == "d1" { 200 } else { 100 };
    let excluded = "virtual_ipaddress_excluded {\n10.77.0.51/24 dev eth0\n}";
    global("lab") + &VrrpInstance::new(3, "0.2", priority, ADDRESS).with(excluded).text()
}

/// A pair of directors, of which each is one of both kinds, and a client.
struct Pair<'a> {
    lab: &'a Lab,
    // Declared first: what runs ends before its host.
    running: std::collections::BTreeMap<&'static str, Director>,
    _echoes: [Echo; 2],
    lan: Lan,
}

impl<'a> Pair<'a> {
    fn start(lab: &'a Lab, first: Subject, second: Subject) -> Result<Self, Failure> {
        let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
        let echoes = [Echo::start(lan.host("d1")?)?, Echo::start(lan.host("d2")?)?];
        let mut pair = Self { lab, running: std::collections::BTreeMap::new(), _echoes: echoes, lan };
        for (name, subject) in [("d1", first), ("d2", second)] {
            pair.run(name, subject)?;
        }
        pair.settle()?;
        Ok(pair)
    }

    fn run(&mut self, name: &'static str, subject: Subject) -> Result<(), Failure> {
        let director = Director::start(self.lab, self.lan.host(name)?, subject, &config(name), &[])?;
        self.running.insert(name, director);
        Ok(())
    }

    fn settle(&self) -> Result<(), Failure> {
        let (d1, d2) = (self.lan.host("d1")?, self.lan.host("d2")?);
        wait_until("d1 alone holds both addresses", SOON, || holds(d1, true) && holds(d2, false)).map(|_| ())
    }

    /// Ends one in order and starts the other kind in its place; how often the one who answers has changed.
    fn replace(&mut self, name: &'static str, subject: Subject) -> Result<u64, Failure> {
        let probe = Probe::start(self.lan.host("client")?, ADDRESS, Duration::from_millis(2))?;
        pause(INTERVAL * 3);
        if let Some(old) = self.running.remove(name) {
            old.stop()?;
        }
        let host = self.lan.host(name)?;
        require(holds(host, false), || format!("{name} has kept {:?}", host.addresses()))?;
        self.run(name, subject)?;
        pause(INTERVAL * 5);
        self.settle()?;
        pause(INTERVAL * 5);
        self.settle()?;
        Ok(probe.finish()?.changes)
    }
}

/// True when the host holds both addresses, or neither.
fn holds(host: &Host, both: bool) -> bool {
    let addresses = host.addresses();
    [ADDRESS, EXCLUDED].iter().all(|address| addresses.contains(address) == both)
}

/// Replaces the whole pair, one after the other.
fn rolling(lab: &Lab, order: [&'static str; 2], old: Subject, new: Subject) -> Result<(), Failure> {
    let mut pair = Pair::start(lab, old, old)?;
    for name in order {
        let changes = pair.replace(name, new)?;
        // To the peer and back; nobody hears of a Backup that goes and comes.
        let expected = if name == "d1" { 2 } else { 0 };
        require(changes == expected, || format!("{name}: who answers has changed {changes} times"))?;
    }
    Ok(())
}

macro_rules! rolls {
    ($($name:ident: $order:expr, $old:expr => $new:expr;)*) => {
        $(#[test]
        fn $name() {
            sandboxed(60, |lab| on_a_steady_machine(INTERVAL, || rolling(lab, $order, $old, $new)));
        })*
    };
}

rolls! {
    a_pair_of_c_becomes_ours_backup_first: ["d2", "d1"], Subject::C => Subject::Ours;
    a_pair_of_c_becomes_ours_master_first: ["d1", "d2"], Subject::C => Subject::Ours;
    a_pair_of_ours_becomes_c_again_backup_first: ["d2", "d1"], Subject::Ours => Subject::C;
    a_pair_of_ours_becomes_c_again_master_first: ["d1", "d2"], Subject::Ours => Subject::C;
}

/// Both have the same pid files, as an installation has it: they tell that somebody was killed.
const PID_FILE: [&str; 2] = ["-p", "/run/lab/d1.parent.pid"];
const VRRP_PID_FILE: [&str; 2] = ["-r", "/run/lab/d1.vrrp.pid"];

#[test]
fn what_a_killed_c_has_left_is_not_taken_for_somebody_elses() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        // A service manager removes the first file when it sees the process die.
        for options in [PID_FILE, VRRP_PID_FILE] {
            let mut c = Director::start(lab, d1, Subject::C, &config("d1"), &[])?;
            wait_until("d1 holds both addresses", SOON, || holds(d1, true))?;
            c.freeze_and_kill();
            require(holds(d1, true), || "the addresses went with the processes: nothing to test".to_owned())?;
            let ours = Director::start(lab, d1, Subject::Ours, &config("d1"), &options)?;
            wait_until("ours is Master and holds both", SOON, || {
                let state = ours.status().map(|status| status["instances"][0]["state"].clone());
                state.is_ok_and(|state| state == "Master") && holds(d1, true)
            })?;
            ours.stop()?;
            require(holds(d1, false), || format!("{options:?}: a stop has left {:?}", d1.addresses()))?;
        }
        Ok(())
    });
}

#[test]
fn what_a_killed_c_has_left_is_withdrawn_where_the_peer_has_taken_over() {
    sandboxed(60, |lab| {
        let mut pair = Pair::start(lab, Subject::C, Subject::C)?;
        let mut killed = pair.running.remove("d1").ok_or_else(|| Failure::new("d1 doesn't run"))?;
        killed.freeze_and_kill();
        let (d1, d2) = (pair.lan.host("d1")?, pair.lan.host("d2")?);
        wait_until("d2 has taken over, d1 still holds", SOON, || holds(d2, true) && holds(d1, true))?;
        // As a Backup it has no business with the addresses.
        let patient = config("d1").replace("    state BACKUP\n", "    state BACKUP\n    nopreempt\n");
        let ours = Director::start(lab, d1, Subject::Ours, &patient, &PID_FILE)?;
        wait_until("d1 holds them no more", SOON, || holds(d1, false) && holds(d2, true))?;
        pause(INTERVAL * 5);
        require(holds(d1, false) && holds(d2, true), || "d1 has taken them again".to_owned())?;
        ours.stop().map(|_| ())
    });
}

/// A crash of the service manager, or an operator who tidies up, takes the pid files, too.
#[test]
fn what_a_killed_c_has_left_is_withdrawn_where_its_pid_files_are_gone() {
    sandboxed(60, |lab| {
        let routes =
            "virtual_routes {\n198.51.100.0/24 via 10.77.0.100 dev eth0\n2001:db8:1::/48 dev eth0\n}\n";
        let with_routes =
            config("d1").replace("virtual_ipaddress {", &format!("{routes}virtual_ipaddress {{"));
        let mut pair = Pair::start(lab, Subject::C, Subject::C)?;
        if let Some(first) = pair.running.remove("d1") {
            first.stop()?;
        }
        let (d1, d2) = (pair.lan.host("d1")?, pair.lan.host("d2")?);
        let routed = || {
            let listed = |family: &str| d1.run("ip", &[family, "route", "show", "proto", "18"]);
            ["-4", "-6"].iter().filter(|family| listed(family).is_ok_and(|text| !text.is_empty())).count()
        };
        let mut c = Director::start(lab, d1, Subject::C, &with_routes, &[])?;
        wait_until("d1 holds addresses and routes", SOON, || holds(d1, true) && routed() == 2)?;
        c.freeze_and_kill();
        wait_until("d2 has taken over, d1 still holds", SOON, || holds(d2, true) && holds(d1, true))?;
        require(routed() == 2, || "the routes went with the processes: nothing to test".to_owned())?;
        let patient = with_routes.replace("    state BACKUP\n", "    state BACKUP\n    nopreempt\n");
        let ours = Director::start(lab, d1, Subject::Ours, &patient, &[])?;
        wait_until("nothing is left on d1", SOON, || holds(d1, false) && routed() == 0 && holds(d2, true))
            .map_err(|failure| Failure::new(format!("{failure}\n{}", ours.log())))?;
        pause(INTERVAL * 5);
        require(holds(d1, false) && routed() == 0, || "d1 has taken them again".to_owned())?;
        ours.stop().map(|_| ())
    });
}

/// An address of an instance that is there already, by hand or by an unknown program: only a Master holds it, and
/// nobody is one before its first election.
#[test]
fn an_address_that_is_there_before_the_start_is_withdrawn_by_c_and_by_ours() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let patient = global("lab") + &VrrpInstance::new(2, "20", 100, ADDRESS).text();
        for subject in [Subject::C, Subject::Ours] {
            d1.ip("addr add 10.77.0.50/24 dev eth0\n")?;
            require(d1.has(ADDRESS), || "the address can't be added by hand".to_owned())?;
            let director = Director::start(lab, d1, subject, &patient, &[])?;
            wait_until("it is withdrawn", SOON, || !d1.has(ADDRESS))?;
            director.stop()?;
        }
        Ok(())
    });
}
