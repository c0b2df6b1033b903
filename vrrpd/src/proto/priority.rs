//! What trackers do to the priority, and when a script counts as good.
//!
//! Decides the effective priority and the effect of one tracker; finds out nothing itself. Called by the driver
//! after each change of an interface and each result of a script.

use config::model::units::Priority;

/// Condition of a tracked thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Interface up, script succeeding.
    Good,
    /// Interface down, script failing.
    Bad,
    /// The script has not run yet.
    Unknown,
}

/// What one tracker does to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Adds to the priority, 0 for nothing.
    Weight(i32),
    /// Puts the instance into FAULT.
    Fault,
    /// Holds the instance back until its first result.
    Hold,
}

/// Effect of a tracker (keepalived.conf(5) track_interface, track_script): weight 0 is FAULT while bad, a positive
/// weight is added while good, a negative one while bad. `reverse` negates the weight, or is FAULT while good.
#[must_use]
pub fn effect(weight: i16, reverse: bool, health: Health) -> Effect {
    let signed = if reverse { -i32::from(weight) } else { i32::from(weight) };
    match (weight.signum(), health) {
        (0, Health::Unknown) => Effect::Hold,
        (0, Health::Good) if reverse => Effect::Fault,
        (0, Health::Bad) if !reverse => Effect::Fault,
        (1, Health::Good) | (-1, Health::Bad) => Effect::Weight(signed),
        _ => Effect::Weight(0),
    }
}

/// Effect of a tracked file (keepalived.conf(5) track_file): its number times the weight, -254 and less being FAULT;
/// with weight 0 any number but 0 is FAULT. `reverse` negates the weight, or is FAULT for 0. `None` is a file whose
/// number is not known yet.
#[must_use]
pub fn file_effect(weight: i16, reverse: bool, value: Option<i64>) -> Effect {
    let Some(value) = value else { return Effect::Hold };
    if weight == 0 {
        return if (value != 0) == reverse { Effect::Weight(0) } else { Effect::Fault };
    }
    let factor = if reverse { -i64::from(weight) } else { i64::from(weight) };
    match value.saturating_mul(factor).clamp(-254, 253) {
        -254 => Effect::Fault,
        product => Effect::Weight(i32::try_from(product).unwrap_or(0)),
    }
}

/// Priority after trackers: the base plus their weights, 1..=254. An owner's 255 is never changed.
#[must_use]
pub fn effective(base: Priority, weights: i32) -> Priority {
    if base == Priority::OWNER {
        return base;
    }
    let sum = i32::from(base.value()).saturating_add(weights).clamp(1, 254);
    Priority::new(u8::try_from(sum).unwrap_or(1))
}

/// Results of one script: `fall` failures in a row make it bad, `rise` successes in a row good again; the first run
/// decides alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptHealth {
    rise: u32,
    fall: u32,
    counter: Option<u32>,
    fails_at_start: bool,
}

impl ScriptHealth {
    /// A script that has not run. With `init_fail` it counts as bad until it first succeeds.
    #[must_use]
    pub fn new(rise: u32, fall: u32, init_fail: bool) -> Self {
        Self { rise: rise.max(1), fall: fall.max(1), counter: None, fails_at_start: init_fail }
    }

    /// Takes over other thresholds at a reload; a known condition stays.
    #[must_use]
    pub fn with_thresholds(self, rise: u32, fall: u32, init_fail: bool) -> Self {
        let mut fresh = Self::new(rise, fall, init_fail);
        fresh.counter = match self.health() {
            Health::Unknown => None,
            Health::Good => Some(fresh.best()),
            Health::Bad => self.counter.map(|_| 0),
        };
        fresh
    }

    /// Counts one result.
    pub fn record(&mut self, succeeded: bool) {
        let counter = match (self.counter, succeeded) {
            (None, true) => self.best(),
            (None, false) => 0,
            (Some(counter), true) if counter < self.rise - 1 => counter + 1,
            (Some(_), true) => self.best(),
            (Some(counter), false) if counter > self.rise => counter - 1,
            (Some(_), false) => 0,
        };
        self.counter = Some(counter);
    }

    /// Present condition.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.counter {
            None if self.fails_at_start => Health::Bad,
            None => Health::Unknown,
            Some(counter) if counter >= self.rise => Health::Good,
            Some(_) => Health::Bad,
        }
    }

    fn best(&self) -> u32 {
        self.rise.saturating_add(self.fall).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mut script: ScriptHealth, results: &[bool]) -> Health {
        for result in results {
            script.record(*result);
        }
        script.health()
    }

    #[test]
    fn the_first_run_decides_alone() {
        let script = ScriptHealth::new(3, 3, false);
        assert_eq!(script.health(), Health::Unknown);
        assert_eq!(after(script, &[true]), Health::Good);
        assert_eq!(after(script, &[false]), Health::Bad);
    }

    #[test]
    fn init_fail_counts_as_bad_until_the_first_success() {
        let script = ScriptHealth::new(2, 2, true);
        assert_eq!(script.health(), Health::Bad);
        assert_eq!(after(script, &[true]), Health::Good);
    }

    #[test]
    fn two_of_three_failures_are_forgiven_and_three_in_a_row_are_not() {
        let script = ScriptHealth::new(2, 3, false);
        assert_eq!(after(script, &[true, false, false]), Health::Good);
        assert_eq!(after(script, &[true, false, false, true, false, false]), Health::Good);
        assert_eq!(after(script, &[true, false, false, false]), Health::Bad);
    }

    #[test]
    fn two_successes_in_a_row_bring_it_back_with_rise_2() {
        let script = ScriptHealth::new(2, 1, false);
        assert_eq!(after(script, &[false, true]), Health::Bad);
        assert_eq!(after(script, &[false, true, false, true]), Health::Bad);
        assert_eq!(after(script, &[false, true, true]), Health::Good);
    }

    #[test]
    fn a_reload_with_other_thresholds_keeps_the_condition() {
        let mut script = ScriptHealth::new(1, 1, false);
        script.record(true);
        assert_eq!(script.with_thresholds(5, 5, false).health(), Health::Good);
        script.record(false);
        assert_eq!(script.with_thresholds(5, 5, false).health(), Health::Bad);
    }

    #[test]
    fn weights_act_on_the_side_that_their_sign_says() {
        assert_eq!(effect(10, false, Health::Good), Effect::Weight(10));
        assert_eq!(effect(10, false, Health::Bad), Effect::Weight(0));
        assert_eq!(effect(-10, false, Health::Bad), Effect::Weight(-10));
        assert_eq!(effect(-10, false, Health::Good), Effect::Weight(0));
        assert_eq!(effect(10, true, Health::Good), Effect::Weight(-10));
        assert_eq!(effect(-10, true, Health::Bad), Effect::Weight(10));
        assert_eq!(effect(10, false, Health::Unknown), Effect::Weight(0));
    }

    #[test]
    fn weight_zero_is_a_fault_while_bad_or_while_good_when_reversed() {
        assert_eq!(effect(0, false, Health::Bad), Effect::Fault);
        assert_eq!(effect(0, false, Health::Good), Effect::Weight(0));
        assert_eq!(effect(0, true, Health::Good), Effect::Fault);
        assert_eq!(effect(0, true, Health::Bad), Effect::Weight(0));
        assert_eq!(effect(0, false, Health::Unknown), Effect::Hold);
    }

    #[test]
    fn the_number_of_a_file_is_multiplied_and_its_product_bounded() {
        assert_eq!(file_effect(1, false, Some(20)), Effect::Weight(20));
        assert_eq!(file_effect(-3, false, Some(20)), Effect::Weight(-60));
        assert_eq!(file_effect(-3, true, Some(20)), Effect::Weight(60));
        assert_eq!(file_effect(254, false, Some(i64::MAX)), Effect::Weight(253));
        assert_eq!(file_effect(1, false, Some(-253)), Effect::Weight(-253));
        assert_eq!(file_effect(1, false, Some(-254)), Effect::Fault);
        assert_eq!(file_effect(1, false, None), Effect::Hold);
    }

    #[test]
    fn weight_zero_makes_any_number_but_0_a_fault_and_reversed_0_alone() {
        assert_eq!(file_effect(0, false, Some(-1)), Effect::Fault);
        assert_eq!(file_effect(0, false, Some(0)), Effect::Weight(0));
        assert_eq!(file_effect(0, true, Some(0)), Effect::Fault);
        assert_eq!(file_effect(0, true, Some(1)), Effect::Weight(0));
    }

    #[test]
    fn the_sum_stays_between_1_and_254_and_an_owner_is_left_alone() {
        assert_eq!(effective(Priority::new(100), 20), Priority::new(120));
        assert_eq!(effective(Priority::new(100), -200), Priority::new(1));
        assert_eq!(effective(Priority::new(250), 20), Priority::new(254));
        assert_eq!(effective(Priority::OWNER, -200), Priority::new(255));
    }
}
