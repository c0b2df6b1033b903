//! Commands and options (keepalivectl(1)).

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use ipc::messages::ctl::Daemon;

/// Asks a running keepalived, or orders it.
#[derive(Debug, Clone, Parser)]
#[command(name = "keepalivectl", version = VERSION, about = "Ask and steer a running keepalived")]
pub struct Args {
    /// Directory of the suite's control socket.
    #[arg(long = "run-dir", value_name = "DIR", default_value = "/run/keepalived", global = true)]
    pub run_dir: PathBuf,
    /// Answers as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// As `keepalived -v` has it: what it behaves as, then its own.
const VERSION: &str = concat!("v2.4.3 (this suite: ", env!("CARGO_PKG_VERSION"), ", in Rust)");

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show daemons, instances and services.
    Status,
    /// Say why an instance, a sync group, a virtual server or a real server is as it is.
    Why {
        /// Its name as in the status, its address, or address and port.
        name: String,
    },
    /// Show what has happened lately.
    Events {
        /// Only the last so many.
        #[arg(short = 'n', long, value_name = "COUNT")]
        last: Option<u32>,
    },
    /// Show what happens, until interrupted.
    Watch {
        /// Begin behind the event of this number.
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
    },
    /// Show the counters of instances and services.
    Stats,
    /// Show the status as OpenMetrics text, for a collector.
    Metrics,
    /// Replace one daemon by a new process without anybody noticing.
    Restart {
        /// Which daemon.
        daemon: DaemonName,
    },
    /// Read the configuration again; refused as a whole on any error.
    Reload,
    /// Stop the suite and wait until it has withdrawn everything.
    Stop,
    /// Give a real server no new connections; those that it has go on. Lasts until undrain or the end of the suite.
    Drain(DrainArgs),
    /// Give a drained server new connections again.
    Undrain(DrainArgs),
    /// Have a Master give way to its peers for a while.
    Failover {
        /// A vrrp_instance or a vrrp_sync_group; members of a group go together.
        instance: String,
        /// Seconds after which it may be Master again.
        #[arg(long = "for", value_name = "SECONDS", default_value_t = 60, conflicts_with = "undo")]
        seconds: u32,
        /// End a failover before its time.
        #[arg(long)]
        undo: bool,
    },
    /// Compare the kernel's settings with what a configuration needs.
    CheckHost {
        /// The file.
        #[arg(default_value = "/etc/keepalived/keepalived.conf")]
        file: String,
        /// How to read it.
        #[command(flatten)]
        reading: Reading,
    },
    /// Print a script that completes commands and options.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Work on configuration files, without a running suite.
    Config {
        /// What to do with them.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// Which real server.
#[derive(Debug, Clone, clap::Args)]
pub struct DrainArgs {
    /// Its name as in the status, its address, or address and port.
    pub server: String,
    /// In this virtual server only.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// Work on configuration files.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Report every problem of a file.
    Check {
        /// The file.
        file: String,
        /// How to read it.
        #[command(flatten)]
        reading: Reading,
    },
    /// Print a file as canonical text, every default written out.
    Print {
        /// The file.
        file: String,
        /// How to read it.
        #[command(flatten)]
        reading: Reading,
    },
    /// List what each enabled feature needs: capabilities, sockets, programs, kernel parts.
    Privileges {
        /// The file.
        file: String,
        /// How to read it.
        #[command(flatten)]
        reading: Reading,
    },
    /// Say what a reload from one file to another would do.
    Diff {
        /// The file in use.
        old: String,
        /// The file that would replace it.
        new: String,
        /// How to read them.
        #[command(flatten)]
        reading: Reading,
    },
}

/// How to read a file.
#[derive(Debug, Clone, clap::Args)]
pub struct Reading {
    /// Don't look at users, programs and paths of this machine.
    #[arg(long)]
    pub offline: bool,
    /// Id for lines that begin with `@`; default the node name up to its first dot.
    #[arg(short = 'i', long = "config-id", value_name = "ID")]
    pub config_id: Option<String>,
    /// Judge as `keepalived --compat` does.
    #[arg(long = "compat")]
    pub compatible: bool,
}

/// Name of a daemon on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DaemonName {
    /// Elections and addresses.
    Vrrpd,
    /// Health checks.
    Checkd,
    /// The kernel's table.
    Ipvsd,
}

impl From<DaemonName> for Daemon {
    fn from(name: DaemonName) -> Self {
        match name {
            DaemonName::Vrrpd => Self::Vrrpd,
            DaemonName::Checkd => Self::Checkd,
            DaemonName::Ipvsd => Self::Ipvsd,
        }
    }
}
