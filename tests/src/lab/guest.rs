//! Starts one of our programs as root of another kernel that has IPVS.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::sandbox::build_directory;
use super::{Failure, pause};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// User-mode Linux: starts in two seconds, has no landlock.
    UserMode,
    /// Debian's own kernel in an emulated machine: slow, has everything.
    Emulated,
    /// The kernel of Debian's backports in an emulated machine.
    EmulatedNewer,
}

/// Boots the kernel, runs `program` of the build directory in it, and shows what it prints as it comes. True when it
/// exited with 0. The guest writes its results to `out`.
pub fn boot(
    guest: Guest,
    seconds: u32,
    out: &Path,
    program: &str,
    arguments: &[&str],
    show: &mut dyn Write,
) -> Result<bool, Failure> {
    let (doing, script, kernel) = match guest {
        Guest::UserMode => ("user-mode kernel", "lab/uml.sh", ""),
        Guest::Emulated => ("emulated machine", "lab/qemu.sh", "qemu"),
        Guest::EmulatedNewer => ("emulated machine", "lab/qemu.sh", "qemu-newer"),
    };
    drop(fs::remove_dir_all(out));
    fs::create_dir_all(out).map_err(|cause| Failure::instrument(doing, cause))?;
    let mut child = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .arg(seconds.to_string())
        .arg(out)
        .arg(build_directory().join(program))
        .args(arguments)
        .env("QEMU_KERNEL", kernel)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|cause| Failure::instrument(doing, cause))?;
    let mut shown = 0;
    loop {
        let ended = child.try_wait().map_err(|cause| Failure::instrument(doing, cause))?;
        shown = pass_on(&out.join("stdout"), shown, show);
        if let Some(status) = ended {
            let errors = fs::read_to_string(out.join("stderr")).unwrap_or_default();
            show.write_all(errors.as_bytes()).ok();
            return Ok(status.success());
        }
        pause(std::time::Duration::from_millis(100));
    }
}

/// Copies what has been added to a file; returns how far it has been read.
fn pass_on(file: &Path, from: u64, show: &mut dyn Write) -> u64 {
    let Ok(file) = fs::File::open(file) else { return from };
    let mut buffer = [0_u8; 8192];
    let mut at = from;
    while let Ok(length) = file.read_at(&mut buffer, at) {
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { break };
        show.write_all(piece).ok();
        at += u64::try_from(length).unwrap_or(0);
    }
    show.flush().ok();
    at
}
