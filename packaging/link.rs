//! How the programs are linked; cargo runs this before it builds each of them. Reads the version of this machine's C
//! library and decides nothing else.
//!
//! Addresses that the loader puts right at each start take 24 bytes each in the usual table, which stays in memory: a
//! megabyte over four processes. The packed table (DT_RELR) takes a thirtieth of that. glibc reads it from 2.36 on; a
//! program with one doesn't start where it is older, so it is made only where this machine's is new enough and the
//! program is for this machine.
#![expect(clippy::disallowed_macros, reason = "cargo reads orders from the standard output of this program")]

use std::process::Command;

/// First version of glibc that reads the packed table.
const FIRST: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=../packaging/link.rs");
    let is_for_here =
        std::env::var("HOST").is_ok_and(|host| std::env::var("TARGET").is_ok_and(|target| host == target));
    if is_for_here && glibc().is_some_and(|version| version >= FIRST) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Of `glibc 2.36`; `None` with another C library.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
