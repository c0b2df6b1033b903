//! Turns the lists of a profile into BPF filters, and installs them.
//!
//! Three filters, because one filter has one action for its matches: the never-list kills; the quietly refused calls
//! get ENOSYS; the allowlist traps everything else to the handler in `system::trap`, which counts it and returns
//! ENOSYS. The kernel takes the strictest answer of the three. A call of another architecture kills. A listed call
//! with arguments that the list does not allow (`socket(AF_UNIX, ..)`) is refused and counted like an unlisted one.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use thiserror::Error;

use crate::profile::{
    Calls, Compare, NEVER, NEVER_OF_ARCHITECTURE, Profile, QUIETLY_REFUSED, Rule, Test, UDP_SOCKETS,
};

/// Why the system calls of a process could not be restricted.
#[derive(Debug, Error)]
pub enum SeccompError {
    /// A page holds something that cannot be compiled.
    #[error("cannot compile the system-call list")]
    Compile(#[from] BackendError),
    /// The kernel refused a filter.
    #[error("cannot install a system-call filter")]
    Install(#[from] seccompiler::Error),
    /// The process id is not a number that a filter can hold.
    #[error("process id {0} is out of range")]
    Pid(i32),
}

/// What the configuration adds to the list of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// UDP sockets may be opened.
    pub udp: bool,
}

/// The filters of a profile for the process `pid`, in the order of their installation.
///
/// # Errors
/// [`SeccompError::Compile`] for a page that does not compile.
pub fn compile(
    profile: &Profile,
    extras: Extras,
    pid: i32,
    architecture: TargetArch,
) -> Result<Vec<BpfProgram>, SeccompError> {
    let pid = u32::try_from(pid).map_err(|_| SeccompError::Pid(pid))?;
    let never: Vec<&Rule> = NEVER.iter().chain(NEVER_OF_ARCHITECTURE).collect();
    let mut never = rules(&never, pid)?;
    if architecture == TargetArch::x86_64 {
        add_x32_twins(&mut never);
    }
    let quiet: Vec<&Rule> = QUIETLY_REFUSED.iter().collect();
    let not_implemented = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let mut filters = vec![
        filter(never, SeccompAction::Allow, SeccompAction::KillProcess, architecture)?,
        filter(rules(&quiet, pid)?, SeccompAction::Allow, not_implemented, architecture)?,
    ];
    if matches!(profile.calls, Calls::Listed(_)) {
        let mut listed = allowed(profile, extras);
        listed.extend(QUIETLY_REFUSED);
        filters.push(filter(rules(&listed, pid)?, SeccompAction::Trap, SeccompAction::Allow, architecture)?);
    }
    Ok(filters)
}

/// What a profile with a list allows; nothing for one without.
#[must_use]
pub fn allowed(profile: &Profile, extras: Extras) -> Vec<&'static Rule> {
    let Calls::Listed(lists) = profile.calls else { return Vec::new() };
    let datagrams = if extras.udp { UDP_SOCKETS } else { &[] };
    lists.iter().copied().flatten().chain(datagrams).collect()
}

/// Installs the filters for every thread, the allowlist last. It cannot be undone.
///
/// # Errors
/// [`SeccompError::Install`] when the kernel has no seccomp filters or another thread has its own.
pub(crate) fn install(filters: &[BpfProgram]) -> Result<(), SeccompError> {
    for filter in filters {
        seccompiler::apply_filter_all_threads(filter)?;
    }
    Ok(())
}

/// Rules by call number, as the compiler wants them.
type RuleMap = BTreeMap<i64, Vec<SeccompRule>>;

fn filter(
    rules: RuleMap,
    otherwise: SeccompAction,
    matched: SeccompAction,
    architecture: TargetArch,
) -> Result<BpfProgram, SeccompError> {
    Ok(BpfProgram::try_from(SeccompFilter::new(rules, otherwise, matched, architecture)?)?)
}

fn rules(listed: &[&Rule], pid: u32) -> Result<RuleMap, SeccompError> {
    let mut map = RuleMap::new();
    for rule in listed {
        let alternatives = map.entry(rule.call).or_default();
        for tests in rule.alternatives {
            let conditions = tests.iter().map(|test| condition(test, pid)).collect::<Result<Vec<_>, _>>()?;
            alternatives.push(SeccompRule::new(conditions)?);
        }
    }
    Ok(map)
}

fn condition(test: &Test, pid: u32) -> Result<SeccompCondition, BackendError> {
    let (operator, value) = match test.compare {
        Compare::Is(value) => (SeccompCmpOp::Eq, value),
        Compare::IsNot(value) => (SeccompCmpOp::Ne, value),
        Compare::Below(value) => (SeccompCmpOp::Lt, value),
        Compare::Masked { mask, value } => (SeccompCmpOp::MaskedEq(u64::from(mask)), value),
        Compare::OwnPid => (SeccompCmpOp::Eq, pid),
    };
    SeccompCondition::new(test.argument, SeccompCmpArgLen::Dword, operator, u64::from(value))
}

/// The x32 interface of an x86_64 kernel reaches the same calls with this bit set in their number.
fn add_x32_twins(never: &mut RuleMap) {
    const X32_SYSCALL_BIT: i64 = 0x4000_0000;
    let twins: RuleMap = never.iter().map(|(call, rules)| (call | X32_SYSCALL_BIT, rules.clone())).collect();
    never.extend(twins);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{CHECKD, IPVSD, VRRPD, WORKER};
    use std::collections::BTreeSet;

    const ALL: [&Profile; 4] = [&VRRPD, &CHECKD, &IPVSD, &WORKER];

    /// Most instructions that the kernel takes in one filter.
    const MOST_INSTRUCTIONS: usize = 4096;

    fn listed(profile: &Profile) -> Vec<&'static Rule> {
        match profile.calls {
            Calls::Listed(lists) => lists.iter().copied().flatten().collect(),
            Calls::AllButNever => Vec::new(),
        }
    }

    #[test]
    fn every_page_compiles_for_both_architectures() {
        for profile in ALL {
            for architecture in [TargetArch::x86_64, TargetArch::aarch64] {
                let filters = compile(profile, Extras { udp: true }, 4711, architecture).expect("compiles");
                let expected = if profile.name == "config worker" { 2 } else { 3 };
                assert_eq!(filters.len(), expected, "{}", profile.name);
                assert!(filters.iter().all(|filter| filter.len() < MOST_INSTRUCTIONS), "{}", profile.name);
            }
        }
    }

    #[test]
    fn no_page_allows_a_call_of_the_never_list() {
        let never: BTreeSet<i64> = NEVER.iter().chain(NEVER_OF_ARCHITECTURE).map(|rule| rule.call).collect();
        for profile in ALL {
            for rule in listed(profile) {
                assert!(!never.contains(&rule.call), "{} allows call {}", profile.name, rule.call);
            }
        }
    }

    #[test]
    fn a_page_names_each_call_once_and_with_a_reason() {
        for profile in ALL {
            let mut seen = BTreeSet::new();
            for rule in listed(profile).into_iter().chain(QUIETLY_REFUSED) {
                assert!(seen.insert(rule.call), "{} names call {} twice", profile.name, rule.call);
                assert!(!rule.why.is_empty(), "{} call {}", profile.name, rule.call);
            }
        }
    }

    #[test]
    fn ipvsd_opens_no_socket_and_nobody_may_run_set_identity_or_open_files() {
        let calls = |profile| listed(profile).iter().map(|rule| rule.call).collect::<BTreeSet<i64>>();
        assert!(!calls(&IPVSD).contains(&libc::SYS_socket));
        for profile in [&VRRPD, &CHECKD, &IPVSD] {
            for call in
                [libc::SYS_openat, libc::SYS_clone, libc::SYS_setresuid, libc::SYS_capset, libc::SYS_kill]
            {
                assert!(!calls(profile).contains(&call), "{} call {call}", profile.name);
            }
        }
    }

    #[test]
    fn a_negative_process_id_is_an_error() {
        assert!(matches!(
            compile(&VRRPD, Extras::default(), -1, TargetArch::x86_64),
            Err(SeccompError::Pid(-1))
        ));
    }
}
