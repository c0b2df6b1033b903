//! Trackers of an address owner: its priority is always 255, so those with a weight change nothing.
//!
//! They are told and left out, as keepalived does; a script that nobody else tracks then never runs. Called while
//! instances are resolved.

use std::collections::HashMap;

use super::{Context, Tracked};
use crate::diagnostic::{Problem, code};
use crate::schema::InstanceDraft;

/// Priority of who owns the addresses (RFC 9568 section 5.2.4).
const OWNER: u8 = 255;

impl Context<'_> {
    /// Leaves out what would move the priority of an owner.
    pub(super) fn without_owners_weights(
        &mut self,
        draft: &mut InstanceDraft,
        scripts: &HashMap<String, Tracked>,
    ) {
        let owns = match draft.priority {
            Some((priority, _)) => priority == OWNER,
            None => draft.master == Some(true) && !draft.damaged,
        };
        if !owns {
            return;
        }
        let InstanceDraft { name, track_interfaces, track_scripts, track_files, track_processes, .. } = draft;
        let Self { problems, files, processes, .. } = self;
        let mut keeps = |what: &str, tracked: &crate::schema::Named, weight: Option<i16>| {
            let keeps = weight.is_none_or(|weight| weight == 0);
            if !keeps {
                let message = format!(
                    "{name}: {what} {} is tracked with a weight, but the priority of the address owner stays 255; it \
                     is not tracked",
                    tracked.text
                );
                problems.report(Problem::warning(code::NO_EFFECT, tracked.span, message));
            }
            keeps
        };
        track_interfaces.retain(|line| keeps("interface", &line.name, line.weight));
        track_scripts.retain(|line| {
            let own = scripts.get(&line.name.text).map(|script| script.block.weight);
            keeps("script", &line.name, line.weight.or(own))
        });
        track_processes
            .retain(|line| keeps("process", &line.name, line.weight.or(processes.weight(&line.name.text))));
        track_files.retain(|line| {
            let own = files.weight(&line.name.text).map(|(weight, _)| weight);
            keeps("file", &line.name, line.weight.or(own))
        });
    }
}
