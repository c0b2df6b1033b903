//! Commands and options (keepalivectl(1)).

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use ipc::messages::ctl::Daemon;

/// Asks a running keepalived, or orders it.
#[derive(Debug, Clone, Parser)]
#[command(name = "keepalivectl", version, about = "Ask and steer a running keepalived")]
pub struct Args {
    /// Directory of the suite's control socket.
    #[arg(long = "run-dir", value_name = "DIR", default_value = "/run/keepalived")]
    pub run_dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show daemons, instances and services.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Replace one daemon by a new process without anybody noticing.
    Restart {
        /// Which daemon.
        daemon: DaemonName,
    },
    /// Read the configuration again; refused as a whole on any error.
    Reload,
    /// Stop the suite and wait until it has withdrawn everything.
    Stop,
    /// Work on configuration files, without a running suite.
    Config {
        /// What to do with them.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// Work on configuration files.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Report every problem of a file.
    Check {
        /// The file.
        file: String,
        /// Don't look at users, programs and paths of this machine.
        #[arg(long)]
        offline: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
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
