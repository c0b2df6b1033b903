//! Settings of the processes themselves.

use std::time::Duration;

use super::Context;
use crate::LoadOptions;
use crate::diagnostic::{Problem, code};
use crate::model::defaults::Defaults;
use crate::model::process::{ProcessNames, ProcessSettings, Purpose, UnknownCall};
use crate::model::vrrp::Version;
use crate::schema::{GarpDraft, Named, ProcessDraft};

/// Settings of the processes, without what stands outside of `global_defs`.
pub(super) fn settings(
    context: &mut Context<'_>,
    child_wait_time: Option<Duration>,
    options: &LoadOptions,
) -> ProcessSettings {
    let control_group = context.globals.control_group.take();
    let control_group = control_group.and_then(|group| group_id(context, "control_group", group));
    let status_group = context.globals.status_group.take();
    let status_group = status_group.and_then(|group| group_id(context, "status_group", group));
    let fifos = super::fifos(context);
    let draft = std::mem::take(&mut context.globals.process);
    let globals = &context.globals;
    let settings = ProcessSettings {
        router_id: super::router_id(globals, options),
        script_security: globals.script_security,
        child_wait_time: child_wait_time.unwrap_or(Duration::from_secs(5)),
        daemon_uid_range: globals.uid_range,
        unknown_call: if globals.exit_on_unknown_call { UnknownCall::Exit } else { UnknownCall::Enosys },
        control_group,
        status_group,
        fifos,
        notify_priority_changes: globals.notify_priority_changes,
        fifo_states_on_reload: globals.fifo_states,
        process_buffer: globals.process_buffer,
        disable_local_igmp: globals.disable_local_igmp,
        no_email_faults: globals.mail.no_faults,
        names: names(&draft),
        vrrp_tuning: draft.vrrp.clone(),
        auto_priority: draft.auto_priority,
        checker_tuning: draft.checker.clone(),
        bfd_tuning: draft.bfd.clone(),
        umask: draft.umask,
        symlink_paths: draft.symlink_paths,
        reload: draft.reload.clone(),
        dumps: draft.dumps.clone(),
        save_dir: draft.save_dir.clone(),
        defaults: defaults(context),
        ..ProcessSettings::default()
    };
    context.globals.process = draft;
    settings
}

/// What blocks take over where they say nothing.
fn defaults(context: &Context<'_>) -> Defaults {
    let globals = &context.globals;
    let usual = Defaults::default();
    Defaults {
        announce: context.announce(&GarpDraft::default()),
        down_timer_adverts: globals.down_timer_adverts.unwrap_or(usual.down_timer_adverts),
        lower_priority_no_advert: globals.lower_prio_no_advert.unwrap_or(usual.lower_priority_no_advert),
        higher_priority_send_advert: globals
            .higher_prio_send_advert
            .unwrap_or(usual.higher_priority_send_advert),
        version: if globals.version == Some(3) { Version::V3 } else { Version::V2 },
        check_unicast_source: globals.check_unicast_src,
        skip_check_advert_addresses: globals.skip_check_adv_addr.unwrap_or(usual.skip_check_advert_addresses),
        strict: globals.strict,
        v3_checksum_as_v2: globals.v3_checksum_as_v2,
        owner_ignores_adverts: globals.owner_ignore_adverts,
        log_all_failures: globals.log_all_failures,
        dynamic_interfaces: globals.dynamic_interfaces,
        mail: globals.mail.alert,
        mail_vrrp: globals.mail.alert_vrrp,
        mail_checker: globals.mail.alert_checker,
    }
}

fn group_id(context: &mut Context<'_>, keyword: &str, group: Named) -> Option<u32> {
    let id = context.names.group(&group.text);
    if id.is_none() {
        let message = format!("{keyword}: there is no group {}", group.text);
        context.report(Problem::error(code::UNKNOWN_USER, group.span, message));
    }
    id
}

/// Names that are given, else upstream's with `process_names`, else those of the programs.
fn names(draft: &ProcessDraft) -> ProcessNames {
    let usual = |given: &Option<String>, name: &str| {
        given.clone().or_else(|| draft.usual_names.then(|| name.to_owned()))
    };
    ProcessNames {
        parent: draft.parent_name.clone(),
        vrrp: usual(&draft.vrrp_name, "keepalived_vrrp"),
        checker: usual(&draft.checker_name, "keepalived_lvs"),
        bfd: usual(&draft.bfd_name, "keepalived_bfd"),
        ipvs: usual(&None, "keepalived_ipvs"),
    }
}

/// `startup_script` and `shutdown_script`, and what depends on the name of the suite.
pub(super) fn own_scripts(context: &mut Context<'_>, settings: &mut ProcessSettings) {
    let ProcessDraft { startup, startup_timeout, shutdown, shutdown_timeout, dump_with_instance, .. } =
        std::mem::take(&mut context.globals.process);
    let mut script = |name: &str, command, timeout: Option<Duration>| {
        let timeout = timeout.unwrap_or(Duration::from_secs(10));
        context.script(name, command?, None, Purpose::Suite, Some(timeout))
    };
    settings.startup_script = script("startup_script", startup, startup_timeout);
    settings.shutdown_script = script("shutdown_script", shutdown, shutdown_timeout);
    let names = [&settings.namespace, &settings.instance];
    let tag: Vec<&str> = names.iter().filter_map(|name| name.as_deref()).collect();
    settings.dumps.tag = Some(tag.join("_")).filter(|tag| dump_with_instance && !tag.is_empty());
}
