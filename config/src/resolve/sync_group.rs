//! `vrrp_sync_group` drafts: who belongs to whom, and what all members track.
//!
//! What a group tracks is written into its members before they are resolved, so that the model has trackers in one
//! place only. Weights of members that would move one of them alone are dropped unless the group allows them.

use std::collections::{HashMap, HashSet};

use super::{Context, Tracked};
use crate::diagnostic::{Problem, code};
use crate::model::Model;
use crate::model::units::{InstanceId, Priority};
use crate::model::vrrp::SyncGroup;
use crate::schema::{InstanceDraft, Named, SyncGroupDraft, TrackDraft};

/// Writes what groups ask for into their members. Returns the groups that have members, without unknown ones.
pub(super) fn join(
    context: &mut Context<'_>,
    drafts: Vec<SyncGroupDraft>,
    instances: &mut [InstanceDraft],
    scripts: &HashMap<String, Tracked>,
) -> Vec<SyncGroupDraft> {
    let mut names: HashSet<String> = HashSet::new();
    let mut taken: HashSet<String> = HashSet::new();
    let mut groups = Vec::with_capacity(drafts.len());
    for mut draft in drafts {
        let (name, span) = (draft.name.text.clone(), draft.name.span);
        if !names.insert(name.clone()) {
            let message = format!("vrrp_sync_group {name} is defined twice");
            context.report(Problem::error(code::DUPLICATE, span, message));
            continue;
        }
        draft.members.retain(|member| {
            if !instances.iter().any(|instance| instance.name == member.text) {
                let message = format!("{name}: there is no vrrp_instance {}", member.text);
                context.report(Problem::error(code::UNDEFINED_NAME, member.span, message));
                false
            } else if !taken.insert(member.text.clone()) {
                let message = format!("{name}: {} is in a sync group already", member.text);
                context.report(Problem::warning(code::GIVEN_TWICE, member.span, message));
                false
            } else {
                true
            }
        });
        match draft.members.len() {
            0 => {
                let message = format!("vrrp_sync_group {name} has no member and is removed");
                context.report(Problem::warning(code::NO_EFFECT, span, message));
                continue;
            }
            1 => {
                let message = format!("vrrp_sync_group {name} has one member only");
                context.report(Problem::warning(code::NO_EFFECT, span, message));
            }
            _ => {}
        }
        for member in &draft.members {
            if let Some(instance) = instances.iter_mut().find(|instance| instance.name == member.text) {
                context.join_one(&draft, instance, scripts);
            }
        }
        groups.push(draft);
    }
    groups
}

/// Enters the groups into the model, whose instances are complete.
pub(super) fn resolve(context: &mut Context<'_>, drafts: Vec<SyncGroupDraft>, model: &mut Model) {
    for draft in drafts {
        let position = |name: &str| {
            let position = model.instances.iter().position(|instance| instance.name == name)?;
            u32::try_from(position).ok().map(InstanceId::new)
        };
        let members: Vec<InstanceId> =
            draft.members.iter().filter_map(|member| position(&member.text)).collect();
        let is_owner = |id: &InstanceId| {
            model.instances.get(id.index()).is_some_and(|member| member.priority == Priority::OWNER)
        };
        let owners = members.iter().filter(|id| is_owner(id)).count();
        if owners != 0 && owners != members.len() {
            let message = format!(
                "vrrp_sync_group {} has members that are address owner and others that are not: this won't work",
                draft.name.text
            );
            context.report(Problem::warning(code::NO_EFFECT, draft.name.span, message));
        }
        let notify = context.notify(&draft.name.text, draft.notify);
        model.sync_groups.push(SyncGroup { name: draft.name.text, members });
        model.group_notify.push(notify);
    }
}

impl Context<'_> {
    fn join_one(
        &mut self,
        group: &SyncGroupDraft,
        instance: &mut InstanceDraft,
        scripts: &HashMap<String, Tracked>,
    ) {
        if instance.notify.priority_changes.is_none() {
            instance.notify.priority_changes = group.notify.priority_changes;
        }
        if !group.tracking_weight {
            self.drop_weights(group, instance, scripts);
        }
        let own = instance.interface.as_ref().map(|name| name.text.clone());
        let interfaces = group.track_interfaces.iter().filter(|line| Some(&line.name.text) != own.as_ref());
        merge(&mut instance.track_interfaces, interfaces);
        merge(&mut instance.track_scripts, group.track_scripts.iter());
        merge(&mut instance.track_files, group.track_files.iter());
        merge(&mut instance.track_processes, group.track_processes.iter());
    }

    fn drop_weights(
        &mut self,
        group: &SyncGroupDraft,
        instance: &mut InstanceDraft,
        scripts: &HashMap<String, Tracked>,
    ) {
        let InstanceDraft { name, track_interfaces, track_scripts, track_files, track_processes, .. } =
            instance;
        let Self { problems, files, processes, .. } = self;
        let mut tell = |what: &str, tracked: &Named, outcome: &str| {
            let message =
                format!("{name}: the weight of {what} {} would move it alone; {outcome}", tracked.text);
            let help = format!("allow it with sync_group_tracking_weight in {}", group.name.text);
            problems.report(Problem::warning(code::NO_EFFECT, tracked.span, message).help(help));
        };
        for line in track_interfaces {
            if line.weight.is_some_and(|weight| weight != 0) {
                tell("interface", &line.name, "it is tracked without weight");
                line.weight = Some(0);
            }
        }
        track_scripts.retain(|line| {
            let weight = line.weight.or(scripts.get(&line.name.text).map(|script| script.block.weight));
            let keep = weight.is_none_or(|weight| weight == 0);
            if !keep {
                tell("script", &line.name, "the script is not tracked");
            }
            keep
        });
        track_processes.retain(|line| {
            let weight = line.weight.or(processes.weight(&line.name.text));
            let keep = weight.is_none_or(|weight| weight == 0);
            if !keep {
                tell("process", &line.name, "the process is not tracked");
            }
            keep
        });
        track_files.retain_mut(|line| {
            match line.weight.or(files.weight(&line.name.text).map(|(weight, _)| weight)) {
                None | Some(0) => true,
                // The default, which nobody wrote in order to move one member alone.
                Some(1) => {
                    tell("file", &line.name, "it is tracked without weight");
                    line.weight = Some(0);
                    true
                }
                Some(_) => {
                    tell("file", &line.name, "the file is not tracked");
                    false
                }
            }
        });
    }
}

/// The group's weight counts where both track a thing, unless the member's weight is 0.
fn merge<'g>(own: &mut Vec<TrackDraft>, of_group: impl Iterator<Item = &'g TrackDraft>) {
    for line in of_group {
        match own.iter_mut().find(|other| other.name.text == line.name.text) {
            Some(other) if other.weight == Some(0) => {}
            Some(other) => {
                other.weight = line.weight;
                other.reverse = line.reverse;
            }
            None => own.push(line.clone()),
        }
    }
}
