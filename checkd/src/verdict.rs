//! What a result means for its checker: retries, recovery, and which url comes next.
//!
//! Decides a checker's state; whether the server goes up or down with it is [`crate::desired`]'s. Called once per
//! finished run. The outcome was judged by [`crate::probe`] and is trusted here.

use std::time::Duration;

use config::model::check::{Check, CheckKind};
use config::model::units::Weight;

use crate::probe::{DynamicWeight, Failure, Outcome};

/// What is known of one checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Good or bad.
    pub up: bool,
    /// It has given a result.
    pub tested: bool,
    /// A reload has brought it, to a live server or with its server: its first failure is forgiven like any later one.
    pub spared: bool,
    /// Failures forgiven so far in a row.
    pub failures: u32,
    /// Weight set by `misc_dynamic`, if any.
    pub weight: Option<Weight>,
    /// Which url of an HTTP check comes next.
    pub url: usize,
    /// The url that comes next failed: it alone is retried until it works.
    pub url_failed: bool,
}

/// What a result changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing to tell.
    None,
    /// The checker is good: it was bad, or had given no result.
    Up,
    /// The checker is bad: it was good.
    Down {
        /// Failures that were forgiven before; `None` when the first result of all was a failure.
        retries: Option<u32>,
        /// Why the last run failed.
        failure: Failure,
    },
    /// The checker started as down (`alpha`) and its first result agrees.
    ConfirmedDown(Failure),
    /// The same of an HTTP check, which nobody is told but the log.
    NeverUp(Failure),
    /// A failure that is forgiven for now.
    Retrying {
        /// Why the run failed.
        failure: Failure,
        /// Retries that are left, with the one that comes now.
        left: u32,
    },
}

/// When the next run comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This long after the instant that the run was due at: the checker keeps its rhythm.
    After(Duration),
    /// This long after now: a retry, however long the failed run took.
    Pause(Duration),
    /// At once (`fast_recovery`).
    AtOnce,
}

impl Standing {
    /// Before the first result: good, unless `alpha`.
    #[must_use]
    pub fn new(alpha: bool) -> Self {
        Self {
            up: !alpha,
            tested: false,
            spared: false,
            failures: 0,
            weight: None,
            url: 0,
            url_failed: false,
        }
    }

    /// Takes the outcome of a run.
    pub fn take(&mut self, check: &Check, outcome: Outcome) -> (Change, Next) {
        match outcome {
            Outcome::Pass(weight) => {
                match weight {
                    DynamicWeight::Untouched => {}
                    DynamicWeight::Configured => self.weight = None,
                    DynamicWeight::Set(weight) => self.weight = Some(weight),
                }
                self.pass(check)
            }
            Outcome::Fail(failure) => self.fail(check, failure),
        }
    }

    fn pass(&mut self, check: &Check) -> (Change, Next) {
        self.failures = 0;
        let after = Next::After(check.delay_loop);
        if let CheckKind::Http(http) = &check.kind {
            let was_failed = std::mem::take(&mut self.url_failed);
            let next = self.url.saturating_add(1);
            let complete = !was_failed && next >= http.urls.len();
            self.url = if was_failed || complete { 0 } else { next };
            if !complete {
                let hurry = http.fast_recovery && (!self.tested || !self.up);
                return (Change::None, if hurry { Next::AtOnce } else { after });
            }
        }
        let news = !self.up || !self.tested;
        self.up = true;
        self.tested = true;
        (if news { Change::Up } else { Change::None }, after)
    }

    fn fail(&mut self, check: &Check, failure: Failure) -> (Change, Next) {
        let after = Next::After(check.delay_loop);
        if matches!(check.kind, CheckKind::Smtp(_)) && self.failures < check.retry {
            // It has its retries from the first run on, and while it is down.
            return self.retry(check, failure);
        }
        // Nobody asks a file again: what it says counts.
        let retry = if matches!(check.kind, CheckKind::File(_)) { 0 } else { check.retry };
        let spared = std::mem::take(&mut self.spared) && retry > 0;
        let first = !std::mem::replace(&mut self.tested, true) && !spared;
        let http = matches!(check.kind, CheckKind::Http(_));
        // A url that fails is asked again no sooner than either time says.
        let again = match http && check.delay_before_retry > check.delay_loop {
            true => Next::Pause(check.delay_before_retry),
            false => after,
        };
        if !self.up {
            self.failures = 0;
            if http && !first && !self.url_failed {
                // Another url fails once the first has worked: it is asked until it works, and the round goes on.
                return (Change::None, Next::Pause(check.delay_before_retry));
            }
            self.url_failed = true;
            let change = match (first, http) {
                (false, _) => Change::None,
                (true, true) => Change::NeverUp(failure),
                (true, false) => Change::ConfirmedDown(failure),
            };
            return (change, again);
        }
        if !first && self.failures < retry {
            return self.retry(check, failure);
        }
        self.failures = 0;
        self.up = false;
        self.url_failed = true;
        if matches!(failure, Failure::Exit(_)) {
            // Of a script that says "down" no weight is left.
            self.weight = None;
        }
        (Change::Down { retries: (!first).then_some(retry), failure }, again)
    }

    fn retry(&mut self, check: &Check, failure: Failure) -> (Change, Next) {
        let left = check.retry.saturating_sub(self.failures);
        self.failures = self.failures.saturating_add(1);
        let told = self.up || !self.tested;
        let change = if told { Change::Retrying { failure, left } } else { Change::None };
        (change, Next::Pause(check.delay_before_retry))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::model::check::{Endpoint, HttpCheck, HttpProtocol, HttpUrl, SmtpCheck};
    use config::model::units::CheckId;

    use super::*;

    const PASS: Outcome = Outcome::Pass(DynamicWeight::Untouched);
    const FAIL: Outcome = Outcome::Fail(Failure::ConnectTimeout);
    const LOOP: Next = Next::After(Duration::from_secs(10));
    const RETRY: Next = Next::Pause(Duration::from_secs(3));

    fn endpoint() -> Endpoint {
        Endpoint::new("192.0.2.1:80".parse().unwrap(), Duration::from_secs(5))
    }

    fn tcp(retry: u32) -> Check {
        Check {
            id: CheckId::new(0),
            kind: CheckKind::Tcp(endpoint()),
            alpha: false,
            delay_loop: Duration::from_secs(10),
            retry,
            delay_before_retry: Duration::from_secs(3),
            warmup: Duration::from_secs(10),
            log_all_failures: false,
        }
    }

    fn http(urls: usize, fast_recovery: bool) -> Check {
        let http = HttpCheck {
            endpoint: endpoint(),
            tls: None,
            protocol: HttpProtocol::Http10,
            urls: vec![HttpUrl::new("/"); urls],
            fast_recovery,
        };
        Check { kind: CheckKind::Http(http), ..tcp(1) }
    }

    fn down(retries: Option<u32>) -> Change {
        Change::Down { retries, failure: Failure::ConnectTimeout }
    }

    fn retrying(left: u32) -> (Change, Next) {
        (Change::Retrying { failure: Failure::ConnectTimeout, left }, RETRY)
    }

    #[test]
    fn before_the_first_result_one_failure_is_enough() {
        let mut standing = Standing::new(false);
        assert_eq!(standing.take(&tcp(5), FAIL), (down(None), LOOP));
        assert!(!standing.up);
    }

    #[test]
    fn a_good_checker_goes_down_after_retry_plus_one_failures() {
        let check = tcp(2);
        let mut standing = Standing::new(false);
        assert_eq!(standing.take(&check, PASS), (Change::Up, LOOP));
        assert_eq!(standing.take(&check, FAIL), retrying(2));
        assert_eq!(standing.take(&check, FAIL), retrying(1));
        assert_eq!(standing.failures, 2);
        assert_eq!(standing.take(&check, FAIL), (down(Some(2)), LOOP));
    }

    #[test]
    fn a_pass_between_failures_starts_the_count_again() {
        let check = tcp(1);
        let mut standing = Standing::new(false);
        standing.take(&check, PASS);
        standing.take(&check, FAIL);
        assert_eq!(standing.take(&check, PASS), (Change::None, LOOP));
        assert_eq!(standing.take(&check, FAIL), retrying(1));
    }

    #[test]
    fn a_bad_checker_is_tested_each_delay_loop_and_one_pass_brings_it_up() {
        let check = tcp(3);
        let mut standing = Standing::new(false);
        standing.take(&check, FAIL);
        assert_eq!(standing.take(&check, FAIL), (Change::None, LOOP));
        assert_eq!(standing.take(&check, PASS), (Change::Up, LOOP));
        assert_eq!(standing.take(&check, PASS), (Change::None, LOOP));
    }

    #[test]
    fn a_mail_server_has_its_retries_at_the_first_run_and_while_it_is_down() {
        let smtp = CheckKind::Smtp(SmtpCheck { endpoint: endpoint(), helo_name: "a".to_owned() });
        let check = Check { kind: smtp, ..tcp(2) };
        let mut standing = Standing::new(false);
        assert_eq!(standing.take(&check, FAIL), retrying(2));
        assert_eq!(standing.take(&check, FAIL), retrying(1));
        assert_eq!(standing.take(&check, FAIL), (down(None), LOOP));
        assert_eq!(standing.take(&check, FAIL), (Change::None, RETRY));
        assert_eq!(standing.take(&check, FAIL), (Change::None, RETRY));
        assert_eq!(standing.take(&check, FAIL), (Change::None, LOOP));
        assert_eq!(standing.take(&check, FAIL), (Change::None, RETRY));
        assert_eq!(standing.take(&check, PASS), (Change::Up, LOOP));
    }

    #[test]
    fn an_alpha_checker_starts_bad_and_its_first_failure_confirms_that() {
        let mut standing = Standing::new(true);
        assert!(!standing.up);
        let confirmed = Change::ConfirmedDown(Failure::ConnectTimeout);
        assert_eq!(standing.take(&tcp(3), FAIL), (confirmed, LOOP));
        assert_eq!(standing.take(&tcp(3), FAIL), (Change::None, LOOP));
        assert_eq!(standing.take(&tcp(3), PASS), (Change::Up, LOOP));
    }

    #[test]
    fn an_alpha_checker_of_http_fails_at_first_for_the_log_alone() {
        let mut standing = Standing::new(true);
        let never_up = Change::NeverUp(Failure::ConnectTimeout);
        assert_eq!(standing.take(&http(1, false), FAIL), (never_up, LOOP));
        assert_eq!(standing.take(&http(1, false), FAIL), (Change::None, LOOP));
        assert!(!standing.up && standing.tested);
    }

    #[test]
    fn dynamic_weights_are_set_and_put_back() {
        let weight = Weight::new(40).unwrap();
        let mut standing = Standing::new(false);
        standing.take(&tcp(0), Outcome::Pass(DynamicWeight::Set(weight)));
        assert_eq!(standing.weight, Some(weight));
        standing.take(&tcp(0), FAIL);
        assert_eq!(standing.weight, Some(weight));
        standing.take(&tcp(0), Outcome::Pass(DynamicWeight::Configured));
        assert_eq!(standing.weight, None);
    }

    #[test]
    fn a_script_that_says_down_takes_its_weight_with_it_and_one_that_is_killed_does_not() {
        let weight = Weight::new(40).unwrap();
        for (failure, left) in [(Failure::Exit(1), None), (Failure::ScriptTimeout, Some(weight))] {
            let mut standing = Standing::new(false);
            standing.take(&tcp(0), Outcome::Pass(DynamicWeight::Set(weight)));
            standing.take(&tcp(0), Outcome::Fail(failure));
            assert_eq!(standing.weight, left);
        }
    }

    #[test]
    fn urls_are_fetched_one_per_run_and_the_last_one_decides() {
        let check = http(3, false);
        let mut standing = Standing::new(false);
        assert_eq!(standing.take(&check, PASS), (Change::None, LOOP));
        assert_eq!((standing.url, standing.tested), (1, false));
        assert_eq!(standing.take(&check, PASS), (Change::None, LOOP));
        assert_eq!(standing.take(&check, PASS), (Change::Up, LOOP));
        assert_eq!(standing.url, 0);
    }

    #[test]
    fn only_the_failed_url_is_retried_and_then_all_again_from_the_first() {
        let check = http(2, false);
        let mut standing = Standing::new(false);
        standing.take(&check, PASS);
        standing.take(&check, PASS);
        standing.take(&check, PASS);
        assert_eq!(standing.take(&check, FAIL), retrying(1));
        assert_eq!(standing.take(&check, FAIL), (down(Some(1)), LOOP));
        assert_eq!(standing.take(&check, FAIL), (Change::None, LOOP));
        assert_eq!(standing.url, 1);
        assert_eq!(standing.take(&check, PASS), (Change::None, LOOP));
        assert_eq!(standing.url, 0);
        assert_eq!(standing.take(&check, PASS), (Change::None, LOOP));
        assert_eq!(standing.take(&check, PASS), (Change::Up, LOOP));
    }

    #[test]
    fn a_second_url_that_fails_during_recovery_is_asked_after_delay_before_retry_until_it_works() {
        for hurry in [false, true] {
            let check = http(2, hurry);
            let mut standing = Standing::new(false);
            standing.take(&check, FAIL);
            standing.take(&check, PASS);
            standing.take(&check, PASS);
            for _ in 0..5 {
                // With fast_recovery, too: at once would be as fast as the machine can.
                assert_eq!(standing.take(&check, FAIL), (Change::None, RETRY));
                assert_eq!((standing.url, standing.up), (1, false));
            }
            assert_eq!(standing.take(&check, PASS), (Change::Up, LOOP));
        }
    }

    #[test]
    fn a_failed_url_is_asked_again_no_sooner_than_delay_before_retry() {
        let slow = Duration::from_secs(30);
        let check = Check { delay_before_retry: slow, ..http(1, false) };
        let mut standing = Standing::new(false);
        assert_eq!(standing.take(&check, FAIL), (down(None), Next::Pause(slow)));
        assert_eq!(standing.take(&check, FAIL), (Change::None, Next::Pause(slow)));
        assert_eq!(standing.take(&check, PASS), (Change::None, LOOP));
        let check = Check { delay_before_retry: slow, ..tcp(1) };
        let mut standing = Standing::new(false);
        assert_eq!(standing.take(&check, FAIL), (down(None), LOOP));
    }

    #[test]
    fn fast_recovery_leaves_no_wait_between_urls_of_a_bad_checker() {
        let check = http(2, true);
        let mut standing = Standing::new(false);
        assert_eq!(standing.take(&check, PASS), (Change::None, Next::AtOnce));
        assert_eq!(standing.take(&check, PASS), (Change::Up, LOOP));
        assert_eq!(standing.take(&check, PASS), (Change::None, LOOP));
        standing.take(&check, FAIL);
        standing.take(&check, FAIL);
        assert_eq!(standing.take(&check, PASS), (Change::None, Next::AtOnce));
        assert_eq!(standing.take(&check, PASS), (Change::None, Next::AtOnce));
        assert_eq!(standing.take(&check, PASS), (Change::Up, LOOP));
    }
}
