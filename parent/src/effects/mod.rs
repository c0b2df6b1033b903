//! What the parent does for its daemons: runs scripts, in order and bounded, opens sockets, and changes
//! settings of the kernel.

pub mod addresses;
pub mod errand;
pub mod fifo;
pub mod files;
pub mod kernel_settings;
pub mod mail;
pub mod notify;
pub mod pace;
pub mod ping_range;
pub mod presence;
pub mod processes;
pub mod script;
pub mod sockets;
