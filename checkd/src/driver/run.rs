//! One run of a checker: what it works with and until when. Owned by [`super::runs`].

use config::model::check::CheckKind;
use config::model::units::MonoTime;

use super::connection::Connection;
use super::pings::Asked;
use crate::probe::{Failure, Outcome};

/// A run under way.
pub(super) struct Run {
    /// Its checker.
    pub(super) position: usize,
    /// When it was due.
    pub(super) due: MonoTime,
    /// Its key waits among the unfinished ones.
    pub(super) unfinished: bool,
    /// How far the server has come in its conversation.
    pub(super) milestones: u8,
    /// When it has to have come further. The alarm may stand earlier.
    pub(super) deadline: MonoTime,
    /// What it is done with.
    pub(super) work: Work,
}

/// What a run is done with.
pub(super) enum Work {
    /// A socket of its own, or one that is borrowed.
    Connection(Connection),
    /// A script that the parent runs.
    Script,
    /// A question over a socket that many share.
    Ping(Asked),
}

impl Run {
    /// One that begins.
    pub(super) fn new(position: usize, due: MonoTime, deadline: MonoTime, work: Work) -> Self {
        Self { position, due, unfinished: false, milestones: 0, deadline, work }
    }

    /// What it means that its deadline has come.
    pub(super) fn timed_out(&self, kind: &CheckKind) -> Outcome {
        match &self.work {
            Work::Connection(connection) => connection.timed_out(kind),
            Work::Ping(_) => Outcome::Fail(Failure::NoEcho),
            Work::Script => Outcome::Fail(Failure::ScriptTimeout),
        }
    }
}
