//! The typed, valid model of a configuration: what the daemons see.
//!
//! Holds no parser and no text of the file. The config worker makes a [`Model`] and splits it into one part
//! per process ([`parts`]), so that each process sees only what it needs: commands, users and paths stay in
//! the parent's part; the daemons know identifiers.

pub mod buffers;
pub mod check;
pub mod defaults;
pub mod hmac;
pub mod identity;
pub mod ipvs;
pub mod lent;
pub mod mail;
pub mod network;
pub mod parts;
pub mod process;
pub mod succession;
pub mod tls;
pub mod track;
pub mod units;
pub mod vrrp;

use serde::{Deserialize, Serialize};

/// A whole configuration after all references are resolved and all ranges checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Model {
    /// `global_defs` and root keywords that concern the processes themselves.
    pub process: process::ProcessSettings,
    /// Every command that may run, indexed by [`units::ScriptId`].
    pub scripts: Vec<process::Script>,
    /// Settings that all instances share.
    pub vrrp_global: vrrp::VrrpGlobal,
    /// `vrrp_script` blocks that an instance tracks, indexed by [`vrrp::TrackedScript`] position.
    pub tracked_scripts: Vec<vrrp::TrackedScript>,
    /// `track_file` blocks that something tracks, indexed by [`units::FileId`].
    pub files: Vec<track::WatchedFile>,
    /// `vrrp_track_process` blocks that an instance tracks, as the parent sees them, indexed by
    /// [`units::ProcessId`].
    pub process_patterns: Vec<track::ProcessPattern>,
    /// The same as vrrpd sees them.
    pub tracked_processes: Vec<track::TrackedProcess>,
    /// `vrrp_instance` blocks, indexed by [`units::InstanceId`].
    pub instances: Vec<vrrp::Instance>,
    /// Commands that follow the state of each instance, same order as `instances`.
    pub instance_notify: Vec<process::InstanceNotify>,
    /// Addresses and routes that follow no instance.
    pub statics: network::Statics,
    /// Settings of the kernel's table as a whole.
    pub ipvs: ipvs::IpvsSettings,
    /// `vrrp_sync_group` blocks.
    pub sync_groups: Vec<vrrp::SyncGroup>,
    /// Commands that follow the state of each group, same order as `sync_groups`.
    pub group_notify: Vec<process::InstanceNotify>,
    /// `rs_init_notifies`: servers that are up at the start are told of.
    pub init_notifies: bool,
    /// Where mail about changes goes, if any does.
    pub mail: Option<mail::MailSettings>,
    /// Certificates and keys that checks need.
    pub tls: tls::TlsFiles,
    /// `virtual_server` blocks, indexed by [`units::ServiceId`].
    pub virtual_servers: Vec<check::VirtualServer>,
}
