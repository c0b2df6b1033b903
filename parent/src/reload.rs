//! Decides whether a new configuration is taken: all daemons prepare it, then all commit, or none does.
//!
//! Pure. A daemon that refuses, dies or stays silent past the deadline aborts the whole; after a death or silence, which
//! say little of the configuration, it is worth another try. One that only needs a wider sandbox is restarted with the
//! new configuration after the others have committed.

use std::collections::BTreeSet;
use std::time::Duration;

use config::model::units::{Generation, MonoTime};
use ipc::messages::Refusal;
use ipc::messages::ctl::Daemon;

/// Time that daemons may take to prepare.
pub const PREPARE_PATIENCE: Duration = Duration::from_secs(5);

/// A configuration between reading and use.
#[derive(Debug)]
pub struct Reload {
    generation: Generation,
    waiting: BTreeSet<Daemon>,
    wider: BTreeSet<Daemon>,
    deadline: MonoTime,
}

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Some daemon has not answered yet.
    Pending,
    /// All daemons can use it; those in the set have to be restarted for it.
    Commit(BTreeSet<Daemon>),
    /// The old one stays, for this reason.
    Abort(String),
    /// The old one stays for now: nobody is against the new one, but a daemon is missing.
    Interrupted(String),
}

impl Reload {
    /// `daemons` have been asked to prepare `generation`.
    #[must_use]
    pub fn new(generation: Generation, daemons: impl IntoIterator<Item = Daemon>, now: MonoTime) -> Self {
        Self {
            generation,
            waiting: daemons.into_iter().collect(),
            wider: BTreeSet::new(),
            deadline: now + PREPARE_PATIENCE,
        }
    }

    /// Number of the configuration.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// When [`Self::tick`] decides.
    #[must_use]
    pub fn deadline(&self) -> MonoTime {
        self.deadline
    }

    /// A daemon stands ready.
    pub fn prepared(&mut self, daemon: Daemon, generation: Generation) -> Outcome {
        if generation == self.generation {
            self.waiting.remove(&daemon);
        }
        self.outcome()
    }

    /// A daemon can't use it.
    pub fn refused(&mut self, daemon: Daemon, generation: Generation, reason: &Refusal) -> Outcome {
        if generation != self.generation {
            return self.outcome();
        }
        match reason {
            Refusal::NeedsWiderSandbox => {
                self.wider.insert(daemon);
                self.prepared(daemon, generation)
            }
            Refusal::Invalid(text) => Outcome::Abort(format!("{} refuses it: {text}", daemon.name())),
        }
    }

    /// A daemon died before it was ready.
    pub fn died(&mut self, daemon: Daemon) -> Outcome {
        let when = if self.waiting.contains(&daemon) { "while it prepared" } else { "after it had prepared" };
        Outcome::Interrupted(format!("{} died {when}", daemon.name()))
    }

    /// Time passes.
    #[must_use]
    pub fn tick(&self, now: MonoTime) -> Outcome {
        if now < self.deadline {
            return self.outcome();
        }
        let silent: Vec<&str> = self.waiting.iter().map(|daemon| daemon.name()).collect();
        Outcome::Interrupted(format!(
            "no answer from {} in {} s",
            silent.join(", "),
            PREPARE_PATIENCE.as_secs()
        ))
    }

    /// Where it stands now.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.waiting.is_empty() { Outcome::Commit(self.wider.clone()) } else { Outcome::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reload() -> Reload {
        Reload::new(Generation::new(2), [Daemon::Vrrpd, Daemon::Checkd], MonoTime::from_nanos(0))
    }

    #[test]
    fn all_prepared_means_commit() {
        let mut reload = reload();
        assert_eq!(reload.prepared(Daemon::Vrrpd, Generation::new(2)), Outcome::Pending);
        assert_eq!(reload.prepared(Daemon::Checkd, Generation::new(2)), Outcome::Commit(BTreeSet::new()));
    }

    #[test]
    fn an_answer_about_another_generation_does_not_count() {
        let mut reload = reload();
        reload.prepared(Daemon::Vrrpd, Generation::new(2));
        assert_eq!(reload.prepared(Daemon::Checkd, Generation::new(1)), Outcome::Pending);
    }

    #[test]
    fn one_refusal_aborts_the_whole() {
        let mut reload = reload();
        reload.prepared(Daemon::Vrrpd, Generation::new(2));
        let reason = Refusal::Invalid("no interface".to_owned());
        assert_eq!(
            reload.refused(Daemon::Checkd, Generation::new(2), &reason),
            Outcome::Abort("checkd refuses it: no interface".to_owned())
        );
    }

    #[test]
    fn a_wider_sandbox_is_no_refusal() {
        let mut reload = reload();
        reload.prepared(Daemon::Vrrpd, Generation::new(2));
        assert_eq!(
            reload.refused(Daemon::Checkd, Generation::new(2), &Refusal::NeedsWiderSandbox),
            Outcome::Commit(BTreeSet::from([Daemon::Checkd]))
        );
    }

    #[test]
    fn silence_interrupts_after_five_seconds() {
        let reload = reload();
        assert_eq!(reload.tick(MonoTime::from_nanos(4_999_999_999)), Outcome::Pending);
        assert!(matches!(reload.tick(MonoTime::from_nanos(5_000_000_000)), Outcome::Interrupted(_)));
    }

    #[test]
    fn death_while_preparing_interrupts() {
        let died = Outcome::Interrupted("vrrpd died while it prepared".to_owned());
        assert_eq!(reload().died(Daemon::Vrrpd), died);
    }
}
