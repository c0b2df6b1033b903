//! Which protocol and which build: the first thing a daemon says.

use crate::messages::{FromDaemon, Hello};

/// Version of the conversation between the parent and its daemons. Raised with every change of a message;
/// an incompatible daemon is refused and the old one keeps running.
pub const PROTOCOL: u32 = 1;

/// Version of this build.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");

/// The greeting of this process.
#[must_use]
pub fn hello() -> FromDaemon {
    FromDaemon::Hello(Hello { protocol: PROTOCOL, build: BUILD.to_owned(), pid: std::process::id() })
}

/// True when the parent can talk to the daemon that sent this.
#[must_use]
pub fn is_compatible(hello: &Hello) -> bool {
    hello.protocol == PROTOCOL && hello.build.len() <= 64
}
