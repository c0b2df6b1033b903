//! Options of `keepalived`, upstream's names and meanings (keepalived(8)).

use std::path::PathBuf;

use clap::{ArgAction, Parser};

/// Options of the parent.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "keepalived",
    disable_version_flag = true,
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
    /// Log to the console too.
    #[arg(short = 'l', long = "log-console")]
    pub log_console: bool,
    /// Detailed log messages.
    #[arg(short = 'D', long = "log-detail", action = ArgAction::Count)]
    pub log_detail: u8,
    /// Facility of syslog: 0-7, local0-7, user or daemon.
    #[arg(short = 'S', long = "log-facility", value_name = "FACILITY", default_value = "daemon")]
    pub log_facility: String,
    /// Don't log to syslog.
    #[arg(short = 'G', long = "no-syslog")]
    pub no_syslog: bool,
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
    /// Pid file of the parent.
    #[arg(short = 'p', long = "pid", value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Id for lines that begin with `@`.
    #[arg(short = 'i', long = "config-id", value_name = "ID")]
    pub config_id: Option<String>,
    /// Ignore SIGINT.
    #[arg(long = "ignore-sigint")]
    pub ignore_interrupt: bool,
    /// Print the number of a signal and exit: STOP or RELOAD.
    #[arg(long = "signum", value_name = "NAME")]
    pub signal_number: Option<String>,
    /// Check the configuration and exit; problems go to FILE if given.
    #[arg(short = 't', long = "config-test", value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub config_test: Option<String>,
    /// Report problems of the configuration and go on, as keepalived does, instead of refusing it.
    #[arg(long = "compat")]
    pub compatible: bool,
    /// Directory of socket, lock and record.
    #[arg(long = "run-dir", value_name = "DIR", default_value = "/run/keepalived")]
    pub run_dir: PathBuf,
    /// Refuse to start below this confinement: fs, net or full.
    #[arg(long = "require-sandbox", value_name = "LEVEL")]
    pub require_sandbox: Option<Level>,
    /// Withdraw what a killed suite left behind, and exit.
    #[arg(long = "withdraw-leftovers")]
    pub withdraw_leftovers: bool,
    /// Print version and exit.
    #[arg(short = 'v', long = "version")]
    pub version: bool,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_usual_unit_are_understood() {
        let args =
            Args::parse_from(["keepalived", "-n", "-l", "-D", "-f", "/tmp/x.conf", "-p", "/run/x.pid"]);
        assert!(args.foreground && args.log_console);
        assert_eq!(args.config, "/tmp/x.conf");
        assert_eq!(args.log_detail, 1);
    }

    #[test]
    fn config_test_takes_its_file_only_with_an_equals_sign() {
        assert_eq!(Args::parse_from(["keepalived", "-t"]).config_test, Some(String::new()));
        assert_eq!(Args::parse_from(["keepalived", "-t=/tmp/log"]).config_test, Some("/tmp/log".to_owned()));
        assert_eq!(Args::parse_from(["keepalived"]).config_test, None);
    }
}
