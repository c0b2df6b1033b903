//! Options of `keepalived`, upstream's names and meanings (keepalived(8)).
//!
//! Decides what a word of the command line is; what it leads to is [`crate::boot`]'s. Who starts the suite is trusted.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Parser};

/// Options of the parent.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "keepalived",
    disable_version_flag = true,
    // As getopt(3) has it: the last one counts.
    args_override_self = true,
    // As getopt_long(3) has it: the beginning of a name is enough.
    infer_long_args = true,
    about = "VRRP failover and health-checked IPVS load balancing"
)]
#[expect(clippy::struct_excessive_bools, reason = "every flag of the command line is one of them")]
pub struct Args {
    /// Configuration file or pattern.
    #[arg(
        short = 'f',
        long = "use-file",
        value_name = "FILE",
        default_value = "/etc/keepalived/keepalived.conf"
    )]
    pub config: String,
    /// Don't run health checks.
    #[arg(short = 'P', long = "vrrp")]
    pub only_vrrp: bool,
    /// Don't run VRRP.
    #[arg(short = 'C', long = "check")]
    pub only_checks: bool,
    /// Don't run BFD, which this suite doesn't have.
    #[arg(short = 'B', long = "no_bfd", visible_alias = "no-bfd")]
    pub no_bfd: bool,
    /// Start every daemon, even without configuration for it.
    #[arg(long = "all")]
    pub all: bool,
    /// Log to the console too.
    #[arg(short = 'l', long = "log-console")]
    pub log_console: bool,
    /// Detailed log messages.
    #[arg(short = 'D', long = "log-detail", action = ArgAction::Count)]
    pub log_detail: u8,
    /// Facility of syslog: 0-7, local0-7, user or daemon.
    #[arg(
        short = 'S',
        long = "log-facility",
        value_name = "FACILITY",
        default_value = "daemon",
        allow_hyphen_values = true
    )]
    pub log_facility: String,
    /// Log to a file too, default keepalived.log in the directory for temporary files.
    #[arg(short = 'g', long = "log-file", value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub log_file: Option<String>,
    /// Accepted for keepalived's sake: no line waits in a buffer.
    #[arg(long = "flush-log-file")]
    pub flush_log_file: bool,
    /// Don't log to syslog.
    #[arg(short = 'G', long = "no-syslog")]
    pub no_syslog: bool,
    /// Permissions that no new file gets, as a number of C; comes before the configuration's.
    #[arg(short = 'u', long = "umask", value_name = "MASK", value_parser = mask)]
    pub umask: Option<u16>,
    /// Remove configured addresses of owners, too, at the start, whoever put them there.
    #[arg(short = 'X', long = "release-vips")]
    pub release_addresses: bool,
    /// Keep addresses when stopping, send no priority 0.
    #[arg(short = 'V', long = "dont-release-vrrp")]
    pub keep_addresses: bool,
    /// Keep the IPVS table when stopping.
    #[arg(short = 'I', long = "dont-release-ipvs")]
    pub keep_table: bool,
    /// The death of a daemon ends the suite.
    #[arg(short = 'R', long = "dont-respawn")]
    pub dont_respawn: bool,
    /// Stay in the foreground.
    #[arg(short = 'n', long = "dont-fork")]
    pub foreground: bool,
    /// Log the configuration that was read.
    #[arg(short = 'd', long = "dump-conf")]
    pub dump_config: bool,
    /// Pid file of the parent.
    #[arg(short = 'p', long = "pid", value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Pid file of the VRRP daemon.
    #[arg(short = 'r', long = "vrrp_pid", visible_alias = "vrrp-pid", value_name = "FILE")]
    pub vrrp_pid_file: Option<PathBuf>,
    /// Pid file of the health checker.
    #[arg(short = 'c', long = "checkers_pid", visible_alias = "checkers-pid", value_name = "FILE")]
    pub checkers_pid_file: Option<PathBuf>,
    /// Pid file of a BFD daemon, which this suite doesn't have.
    #[arg(short = 'b', long = "bfd_pid", visible_alias = "bfd-pid", value_name = "FILE")]
    pub bfd_pid_file: Option<PathBuf>,
    /// Work as genhash; must be the first option.
    #[arg(short = 'T', long = "genhash")]
    pub genhash: bool,
    /// Log addresses that others add to interfaces or remove.
    #[arg(short = 'a', long = "address-monitoring")]
    pub address_monitoring: bool,
    /// SNMP, which this suite doesn't have.
    #[arg(short = 'x', long = "snmp")]
    pub snmp: bool,
    /// Socket of an SNMP agent, which this suite doesn't have.
    #[arg(short = 'A', long = "snmp-agent-socket", value_name = "SOCKET")]
    pub snmp_socket: Option<String>,
    /// Network namespace; comes before the configuration's.
    #[arg(short = 's', long = "namespace", value_name = "NAME")]
    pub namespace: Option<String>,
    /// Core files of the parent without limit.
    #[arg(short = 'm', long = "core-dump")]
    pub core_dump: bool,
    /// The same, and the kernel's pattern for their names while the suite runs.
    #[arg(short = 'M', long = "core-dump-pattern", value_name = "PATTERN", num_args = 0..=1, require_equals = true, default_missing_value = "core")]
    pub core_pattern: Option<String>,
    /// Every include must find what it names.
    #[arg(short = 'e', long = "all-config")]
    pub strict_includes: bool,
    /// Id for lines that begin with `@`.
    #[arg(short = 'i', long = "config-id", value_name = "ID")]
    pub config_id: Option<String>,
    /// Ignore SIGINT.
    #[arg(long = "ignore-sigint")]
    pub ignore_interrupt: bool,
    /// Print the number of a signal and exit: STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON or TDUMP.
    #[arg(long = "signum", value_name = "NAME")]
    pub signal_number: Option<String>,
    /// Check the configuration and exit; problems go to FILE if given.
    #[arg(short = 't', long = "config-test", value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub config_test: Option<String>,
    /// Report problems of the configuration and go on, as keepalived does, instead of refusing it.
    #[arg(long = "compat")]
    pub compatible: bool,
    /// State files go to the directory for temporary files, as keepalived's do.
    #[arg(long = "compat-dumps")]
    pub compatible_dumps: bool,
    /// Directory of socket, lock and record, default /run/keepalived; pid files too when it is given.
    #[arg(long = "run-dir", value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Refuse to start below this confinement: fs, net or full.
    #[arg(long = "require-sandbox", value_name = "LEVEL")]
    pub require_sandbox: Option<Level>,
    /// Withdraw what a killed suite left behind, and exit.
    #[arg(long = "withdraw-leftovers")]
    pub withdraw_leftovers: bool,
    /// Print version and exit.
    #[arg(short = 'v', long = "version")]
    pub version: bool,
    /// Words that are no options; told and ignored.
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

fn mask(text: &str) -> Result<u16, String> {
    config::mask(text).ok_or_else(|| "it must be a mask up to 0777".to_owned())
}

/// Options with an optional value take it attached (`-tFILE`), as getopt(3) has it: it is given to its long form.
#[must_use]
pub fn attached(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut over = false;
    let split = |argument: OsString, over: &mut bool| {
        let Some(text) = argument.to_str().filter(|_| !*over) else { return vec![argument] };
        *over = text == "--";
        let Some(letters) = text.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
            return vec![argument];
        };
        for (at, letter) in letters.char_indices() {
            let value = letters.get(at.saturating_add(1)..).unwrap_or_default();
            let long = OPTIONAL.iter().find(|(short, _)| *short == letter).map(|(_, long)| long);
            match long {
                Some(long) if !value.is_empty() => {
                    let value = value.strip_prefix('=').unwrap_or(value);
                    let before = letters.get(..at).filter(|before| !before.is_empty());
                    let before = before.map(|before| OsString::from(format!("-{before}")));
                    return before.into_iter().chain([format!("--{long}={value}").into()]).collect();
                }
                _ if WITH_VALUE.contains(letter) => return vec![argument],
                _ => {}
            }
        }
        vec![argument]
    };
    arguments.into_iter().flat_map(|argument| split(argument, &mut over)).collect()
}

/// Options with an optional value.
const OPTIONAL: [(char, &str); 3] = [('t', "config-test"), ('g', "log-file"), ('M', "core-dump-pattern")];

/// Options whose value is the rest of the word or the next one.
const WITH_VALUE: &str = "fSuprcbAsi";

/// `--require-sandbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// Own users, capabilities, seccomp and landlock's file rules.
    Fs,
    /// And its TCP rules (ABI 4).
    Net,
    /// And its scopes for signals and abstract sockets (ABI 6).
    Full,
}

impl Level {
    /// Landlock ABI that the level needs.
    #[must_use]
    pub fn landlock_abi(self) -> u32 {
        match self {
            Self::Fs => 1,
            Self::Net => 4,
            Self::Full => 6,
        }
    }
}

/// The option that nobody knows, if that is the mistake.
#[must_use]
pub fn unknown_option(mistake: &clap::Error) -> Option<&str> {
    let is_unknown = mistake.kind() == ErrorKind::UnknownArgument;
    match mistake.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) if is_unknown => Some(option),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_option_is_named() {
        let mistake = Args::try_parse_from(["keepalived", "-n", "--nosuch=5"]).unwrap_err();
        assert_eq!(unknown_option(&mistake), Some("--nosuch"));
        let mistake = Args::try_parse_from(["keepalived", "-f"]).unwrap_err();
        assert_eq!(unknown_option(&mistake), None);
    }

    #[test]
    fn the_options_of_a_usual_unit_are_understood() {
        let args =
            Args::parse_from(["keepalived", "-n", "-l", "-D", "-f", "/tmp/x.conf", "-p", "/run/x.pid"]);
        assert!(args.foreground && args.log_console);
        assert_eq!(args.config, "/tmp/x.conf");
        assert_eq!(args.log_detail, 1);
    }

    #[test]
    fn an_optional_value_is_attached_to_its_letter() {
        let parsed = |words: &[&str]| Args::parse_from(attached(words.iter().map(OsString::from)));
        assert_eq!(parsed(&["keepalived", "-t/tmp/log"]).config_test, Some("/tmp/log".to_owned()));
        let args = parsed(&["keepalived", "-nDg/tmp/k.log", "-M", "-u", "0027"]);
        assert!(args.foreground && args.log_detail == 1);
        assert_eq!(args.log_file, Some("/tmp/k.log".to_owned()));
        assert_eq!((args.core_pattern, args.umask), (Some("core".to_owned()), Some(0o027)));
        // What looks like such a letter in the value of another option is left alone.
        assert_eq!(parsed(&["keepalived", "-f/etc/test.conf"]).config, "/etc/test.conf");
    }

    #[test]
    fn of_an_option_that_is_given_twice_the_last_one_counts() {
        let args = Args::parse_from(["keepalived", "-n", "-n", "-f", "/tmp/x.conf", "-f", "/tmp/y.conf"]);
        assert!(args.foreground);
        assert_eq!(args.config, "/tmp/y.conf");
    }

    #[test]
    fn words_that_are_no_options_are_kept_to_be_told() {
        assert_eq!(Args::parse_from(["keepalived", "-n", "stray"]).operands, ["stray"]);
    }

    #[test]
    fn the_beginning_of_a_long_option_is_enough() {
        let args = Args::parse_from(["keepalived", "--use", "/tmp/x.conf", "--log-con", "--dont-f"]);
        assert_eq!((args.config.as_str(), args.log_console), ("/tmp/x.conf", true));
        assert!(Args::try_parse_from(["keepalived", "--log"]).is_err());
    }

    #[test]
    fn config_test_takes_its_file_only_with_an_equals_sign() {
        assert_eq!(Args::parse_from(["keepalived", "-t"]).config_test, Some(String::new()));
        assert_eq!(Args::parse_from(["keepalived", "-t=/tmp/log"]).config_test, Some("/tmp/log".to_owned()));
        assert_eq!(Args::parse_from(["keepalived"]).config_test, None);
    }
}
