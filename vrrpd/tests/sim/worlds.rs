//! Whole worlds made of one seed: any number of routers, any settings, any weather, any accidents. After the storm they
//! must calm down, and stay calm.

#![expect(clippy::unwrap_used, reason = "a harness of tests: a panic is a failed test")]

use std::time::Duration;

use config::model::units::{AdvertInterval, Priority};
use config::model::vrrp::Preempt;

use super::lan::Lan;
use super::{millis, secs, seeds};

const WORLDS: u64 = 10_000;

/// A world and what must come of it.
struct World {
    lan: Lan,
    routers: Vec<usize>,
    priorities: Vec<u8>,
    /// Everybody takes over from a lower priority at once.
    preempting: bool,
}

impl World {
    fn made_of(seed: u64) -> Self {
        let mut dice = Lan::seeded(seed ^ 0x5eed);
        let (loss, copies) = (dice.pick(15), dice.pick(20));
        let jitter = [100, 1_000, 20_000][usize::try_from(dice.pick(3)).unwrap()];
        let mut lan = Lan::seeded(seed).loss_percent(loss).double_percent(copies).jitter(jitter);
        let preempting = dice.pick(3) > 0;
        let (mut routers, mut priorities) = (Vec::new(), Vec::new());
        for _ in 0..dice.pick(4) + 2 {
            let priority = match dice.pick(6) {
                0 => 255,
                1 => 100,
                _ => u8::try_from(1 + dice.pick(254)).unwrap(),
            };
            let interval = [20, 50, 100][usize::try_from(dice.pick(3)).unwrap()];
            let silent = dice.pick(2) == 0;
            let late = (!preempting && dice.pick(2) == 0).then(|| Priority::new(254));
            let id = lan.router_with(priority, |settings| {
                settings.interval = AdvertInterval::from_centiseconds(interval).unwrap();
                settings.higher_priority_send_advert = !silent;
                settings.timer_expired_backup = late;
                if !preempting && priority != 255 {
                    settings.preempt = Preempt::Never;
                }
            });
            lan.drift(id, i64::try_from(dice.pick(20_000)).unwrap() - 10_000);
            routers.push(id);
            priorities.push(priority);
        }
        Self { lan, routers, priorities, preempting }
    }

    /// Accidents, one after the other and on top of each other.
    fn storm(&mut self) {
        for _ in 0..30 {
            let wait = self.lan.pick(1_500);
            self.lan.run_for(millis(wait));
            let last = u64::try_from(self.routers.len()).unwrap();
            let id = self.routers[usize::try_from(self.lan.pick(last)).unwrap()];
            match (self.lan.pick(8), self.lan.runs(id)) {
                (0, true) => self.lan.crash(id),
                (1, true) => self.lan.power_off(id),
                (2, true) => self.lan.stop(id),
                (3, true) => self.lan.stall(id, secs(4)),
                (4, _) => self.lan.move_to(id, 1),
                (5, _) => self.lan.move_to(id, 0),
                (6, false) => self.lan.succeed(id, &[]),
                (7, false) => self.lan.start(id),
                _ => {}
            }
        }
    }

    /// Everybody runs, everybody hears everybody.
    fn calm(mut self) -> Self {
        self.lan = self.lan.loss_percent(0).double_percent(0).jitter(500);
        for id in &self.routers {
            self.lan.move_to(*id, 0);
            if !self.lan.runs(*id) {
                self.lan.start(*id);
            }
        }
        self
    }

    /// The highest priority; who of several equals is Master, stays.
    fn is_best(&self, id: usize) -> bool {
        let position = self.routers.iter().position(|router| *router == id);
        position.is_some_and(|position| self.priorities.iter().max() == self.priorities.get(position))
    }
}

#[test]
fn every_world_calms_down_to_one_master_that_stays() {
    for seed in seeds(WORLDS) {
        let mut world = World::made_of(seed);
        world.storm();
        let mut world = world.calm();
        // The longest wait: a stall, three learned intervals and a skew, and a second election after it.
        world.lan.run_for(secs(15));
        let masters = world.lan.masters();
        assert_eq!(masters.len(), 1, "seed {seed}: {masters:?}\n{}", world.lan.trace());
        if world.preempting {
            assert!(world.is_best(masters[0]), "seed {seed}\n{}", world.lan.trace());
        }
        let before = world.lan.sent();
        for _ in 0..20 {
            world.lan.run_for(millis(250));
            assert_eq!(world.lan.masters(), masters, "seed {seed}\n{}", world.lan.trace());
            assert_eq!(world.lan.holders(), masters, "seed {seed}\n{}", world.lan.trace());
        }
        // Five seconds at 0.2 s, and a clock that runs one percent fast.
        let sent = world.lan.sent() - before;
        assert!((4..=27).contains(&sent), "seed {seed}: {sent} adverts\n{}", world.lan.trace());
    }
}

/// Section 6.1: whoever is best takes over within three intervals of the Master and a skew below one.
#[test]
fn nobody_waits_longer_than_the_down_interval_for_a_master() {
    for seed in seeds(WORLDS) {
        let mut world = World::made_of(seed).calm();
        world.lan.run_for(secs(15));
        let masters = world.lan.masters();
        world.lan.power_off(masters[0]);
        world.lan.run_for(Duration::from_millis(4_041));
        let after = world.lan.masters();
        assert!(!after.is_empty(), "seed {seed}\n{}", world.lan.trace());
    }
}

#[test]
fn nopreempt_keeps_the_service_where_it_is_in_any_weather() {
    for seed in seeds(WORLDS) {
        let mut world = World::made_of(seed);
        if world.preempting || world.priorities.contains(&255) {
            continue;
        }
        world.storm();
        let mut world = world.calm();
        world.lan.run_for(secs(15));
        let masters = world.lan.masters();
        let latecomer = world.lan.router_with(254, |settings| settings.preempt = Preempt::Never);
        world.lan.run_for(secs(15));
        assert_eq!(world.lan.masters(), masters, "seed {seed}, latecomer {latecomer}\n{}", world.lan.trace());
    }
}
