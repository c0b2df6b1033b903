//! Keywords of `global_defs` that concern processes: names, scheduling, own scripts, files.

use std::time::Duration;

use super::*;
use crate::model::process::{
    AutoPriority, Ceiling, DumpSettings, JsonLayout, ReloadFile, ReloadSettings, Tuning,
};

/// The process settings of `global_defs` as written.
#[derive(Debug, Default)]
pub(crate) struct ProcessDraft {
    pub(crate) usual_names: bool,
    pub(crate) parent_name: Option<String>,
    pub(crate) vrrp_name: Option<String>,
    pub(crate) checker_name: Option<String>,
    pub(crate) bfd_name: Option<String>,
    pub(crate) vrrp: Tuning,
    pub(crate) checker: Tuning,
    pub(crate) bfd: Tuning,
    /// Where the keywords of a BFD process stand, which nothing starts.
    pub(crate) bfd_rows: Vec<Span>,
    pub(crate) auto_priority: AutoPriority,
    pub(crate) startup: Option<Command>,
    pub(crate) startup_timeout: Option<Duration>,
    pub(crate) shutdown: Option<Command>,
    pub(crate) shutdown_timeout: Option<Duration>,
    pub(crate) umask: Option<u16>,
    pub(crate) symlink_paths: bool,
    pub(crate) supplementary_groups: bool,
    pub(crate) reload: ReloadSettings,
    pub(crate) dumps: DumpSettings,
    pub(crate) dump_with_instance: bool,
    pub(crate) save_dir: Option<String>,
}

pub(super) fn process_names(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.process.usual_names = true;
}

/// A name that the process list can hold.
fn name(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<String> {
    let word = lowering.required(line, 1, "a name")?;
    lowering.end(line, 2);
    if word.text.len() > 15 {
        let message = format!("{} can have at most 15 characters, got {}", line.keyword(), word.text.len());
        lowering.error(code::BAD_TEXT, word.span, message);
        return None;
    }
    Some(word.text.to_owned())
}

pub(super) fn process_name(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.parent_name = name(lowering, line);
}

pub(super) fn vrrp_process_name(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.vrrp_name = name(lowering, line);
}

pub(super) fn checker_process_name(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.checker_name = name(lowering, line);
}

pub(super) fn bfd_process_name(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.bfd_rows.push(line.keyword_span());
    draft.process.bfd_name = name(lowering, line);
}

fn nice(tuning: &mut Tuning, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    tuning.nice = lowering.unsigned(line, 1, -20, 19);
    lowering.end(line, 2);
}

fn no_swap(tuning: &mut Tuning, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    tuning.lock_memory = true;
}

fn rt_priority(tuning: &mut Tuning, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    tuning.realtime = lowering.unsigned(line, 1, 1, 99);
    lowering.end(line, 2);
}

fn rlimit_rttime(tuning: &mut Tuning, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(limit) = lowering.unsigned::<u32>(line, 1, 1, 4_294_967_295) {
        tuning.realtime_limit_us = limit.max(2);
    }
    lowering.end(line, 2);
}

fn cpu_affinity(tuning: &mut Tuning, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.required(line, 1, "the number of a processor");
    for word in line.values() {
        let number = lowering.number_word(line.keyword(), *word, 0, 1_023);
        tuning.processors.extend(number.and_then(|number| u16::try_from(number).ok()));
    }
    tuning.processors.sort_unstable();
    tuning.processors.dedup();
}

pub(super) fn vrrp_priority(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    nice(&mut draft.process.vrrp, lowering, line);
}

pub(super) fn vrrp_no_swap(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    no_swap(&mut draft.process.vrrp, lowering, line);
}

pub(super) fn vrrp_rt_priority(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    rt_priority(&mut draft.process.vrrp, lowering, line);
}

pub(super) fn vrrp_rlimit_rttime(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    rlimit_rttime(&mut draft.process.vrrp, lowering, line);
}

pub(super) fn vrrp_cpu_affinity(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    cpu_affinity(&mut draft.process.vrrp, lowering, line);
}

pub(super) fn checker_priority(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    nice(&mut draft.process.checker, lowering, line);
}

pub(super) fn checker_no_swap(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    no_swap(&mut draft.process.checker, lowering, line);
}

pub(super) fn checker_rt_priority(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    rt_priority(&mut draft.process.checker, lowering, line);
}

pub(super) fn checker_rlimit_rttime(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    rlimit_rttime(&mut draft.process.checker, lowering, line);
}

pub(super) fn checker_cpu_affinity(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    cpu_affinity(&mut draft.process.checker, lowering, line);
}

/// How a BFD process would be scheduled.
fn bfd<'d>(draft: &'d mut GlobalDraft, line: &Line<'_>) -> &'d mut Tuning {
    draft.process.bfd_rows.push(line.keyword_span());
    &mut draft.process.bfd
}

pub(super) fn bfd_priority(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    nice(bfd(draft, line), lowering, line);
}

pub(super) fn bfd_no_swap(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    no_swap(bfd(draft, line), lowering, line);
}

pub(super) fn bfd_rt_priority(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    rt_priority(bfd(draft, line), lowering, line);
}

pub(super) fn bfd_rlimit_rttime(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    rlimit_rttime(bfd(draft, line), lowering, line);
}

pub(super) fn bfd_cpu_affinity(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    cpu_affinity(bfd(draft, line), lowering, line);
}

/// Tells of the settings of a process that isn't there, in a configuration that wants it.
pub(super) fn tell_no_bfd(draft: &GlobalDraft, lowering: &mut Lowering<'_>) {
    for span in &draft.process.bfd_rows {
        let keyword = lowering.texts.text(*span);
        let message = format!("{keyword} changes nothing: there is no BFD process");
        lowering.report(Problem::warning(code::NOT_ACTIVE, *span, message));
    }
}

/// Without a number as high as the kernel lets it.
pub(super) fn max_auto_priority(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let most = match line.word(1) {
        Some(_) => lowering.number(line, 1, -1, 99),
        None => Some(99),
    };
    lowering.end(line, 2);
    draft.process.auto_priority.ceiling = match most {
        Some(-1) => Ceiling::OffSilently,
        Some(most) => u8::try_from(most).ok().filter(|most| *most > 0).map_or(Ceiling::Off, Ceiling::UpTo),
        None => return,
    };
}

pub(super) fn min_auto_priority_delay(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(delay) = lowering.unsigned(line, 1, 1, 10_000_000) {
        draft.process.auto_priority.least_delay_us = delay;
    }
    lowering.end(line, 2);
}

pub(super) fn startup_script(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.startup = lowering.command(line);
}

pub(super) fn startup_timeout(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.startup_timeout = lowering.unsigned(line, 1, 1, 1_000).map(Duration::from_secs);
    lowering.end(line, 2);
}

pub(super) fn shutdown_script(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.shutdown = lowering.command(line);
}

pub(super) fn shutdown_timeout(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.shutdown_timeout = lowering.unsigned(line, 1, 1, 1_000).map(Duration::from_secs);
    lowering.end(line, 2);
}

/// A number as in C, or names of permission bits of stat(2) without their `S_`, joined by `|`.
pub(super) fn umask(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let words: Vec<&str> = line.values().iter().map(|word| word.text).collect();
    let text = words.concat();
    if lowering.required(line, 1, "a mask").is_none() {
        return;
    }
    draft.process.umask = mask(&text);
    if draft.process.umask.is_none() {
        let message = format!("umask must be a mask up to 0777 or names such as IRWXG|IRWXO, got '{text}'");
        lowering.error(code::NOT_A_NUMBER, line.span, message);
    }
}

/// Value of a mask; `None` for what is none. Also that of `-u`.
#[must_use]
pub fn mask(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    let number = if let Some(digits) = lower.strip_prefix("0x") {
        u16::from_str_radix(digits, 16).ok()
    } else if lower.len() > 1 && lower.starts_with('0') {
        u16::from_str_radix(&lower, 8).ok()
    } else {
        lower.parse().ok()
    };
    if lower.starts_with(|letter: char| letter.is_ascii_digit()) {
        return number.filter(|mask| *mask <= 0o777);
    }
    text.split('|').try_fold(0, |mask, name| {
        let found = MASK_BITS.iter().find(|(known, _)| *known == name.trim().trim_start_matches("S_"));
        found.map(|(_, bits)| mask | bits)
    })
}

const MASK_BITS: [(&str, u16); 12] = [
    ("IRUSR", 0o400),
    ("IWUSR", 0o200),
    ("IXUSR", 0o100),
    ("IRGRP", 0o040),
    ("IWGRP", 0o020),
    ("IXGRP", 0o010),
    ("IROTH", 0o004),
    ("IWOTH", 0o002),
    ("IXOTH", 0o001),
    ("IRWXU", 0o700),
    ("IRWXG", 0o070),
    ("IRWXO", 0o007),
];

pub(super) fn use_symlink_paths(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.symlink_paths = lowering.boolean(line, 1).unwrap_or(false);
}

pub(super) fn supplementary_groups(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.supplementary_groups = lowering.boolean(line, 1).unwrap_or(false);
}

fn optional_word(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<String> {
    lowering.end(line, 2);
    line.word(1).map(|word| word.text.to_owned())
}

fn word(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<String> {
    let word = lowering.required(line, 1, "a path")?;
    lowering.end(line, 2);
    Some(word.text.to_owned())
}

pub(super) fn reload_check_config(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.reload.check_log = optional_word(lowering, line);
}

pub(super) fn reload_time_file(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.reload.time_file = word(lowering, line);
}

pub(super) fn reload_repeat(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.process.reload.repeat = true;
}

pub(super) fn reload_file(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let path = optional_word(lowering, line);
    draft.process.reload.file = Some(path.map_or(ReloadFile::BesidePidFile, ReloadFile::At));
}

pub(super) fn data_use_instance(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.dump_with_instance = lowering.boolean(line, 1).unwrap_or(false);
}

pub(super) fn state_dump_file(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.dumps.state = word(lowering, line);
}

pub(super) fn stats_dump_file(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.dumps.statistics = word(lowering, line);
}

pub(super) fn json_dump_file(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.dumps.json = word(lowering, line);
}

pub(super) fn json_version(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.dumps.layout = match lowering.unsigned::<u8>(line, 1, 1, 2) {
        Some(2) => JsonLayout::InstancesAndProcesses,
        Some(_) | None => JsonLayout::Instances,
    };
    lowering.end(line, 2);
}

pub(super) fn config_save_dir(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.process.save_dir = word(lowering, line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_octal_hexadecimal_decimal_or_names() {
        assert_eq!(mask("0177"), Some(0o177));
        assert_eq!(mask("0x7f"), Some(0o177));
        assert_eq!(mask("127"), Some(0o177));
        assert_eq!(mask("IRWXG|IRWXO"), Some(0o077));
        assert_eq!(mask("01777"), None);
        assert_eq!(mask("IRWXA"), None);
        assert_eq!(mask("089"), None);
    }
}
