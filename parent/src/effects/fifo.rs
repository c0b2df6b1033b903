//! Named pipes that tell every change of state, byte for byte as upstream writes them.
//!
//! Driver. A reader that stands still costs lines, never time: what the pipe doesn't take is dropped and counted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use config::model::process::{FifoSettings, Fifos};
use config::model::units::Priority;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::broker::Whose;

/// One open pipe.
#[derive(Debug)]
struct Pipe {
    settings: FifoSettings,
    file: File,
    made_here: bool,
}

/// The pipes of a configuration: one for everything, one for VRRP, one for virtual and real servers.
#[derive(Debug, Default)]
pub struct Pipes {
    all: Option<Pipe>,
    vrrp: Option<Pipe>,
    checks: Option<Pipe>,
    dropped: u64,
}

/// Which pipe beside the one for everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// `vrrp_notify_fifo`.
    Vrrp,
    /// `lvs_notify_fifo`.
    Checks,
}

impl Pipes {
    /// Opens what the configuration names; pipes that stay the same stay open. Problems come back as words.
    pub fn configure(&mut self, wanted: &Fifos) -> Vec<String> {
        let mut problems = Vec::new();
        for (pipe, settings) in
            [(&mut self.all, &wanted.all), (&mut self.vrrp, &wanted.vrrp), (&mut self.checks, &wanted.checks)]
        {
            if pipe.as_ref().map(|pipe| &pipe.settings) == settings.as_ref() {
                continue;
            }
            *pipe = None;
            let Some(settings) = settings else { continue };
            match Pipe::open(settings) {
                Ok(opened) => *pipe = Some(opened),
                Err(error) => problems.push(format!("FIFO {}: {error}", settings.path)),
            }
        }
        problems
    }

    /// Writes a record to the pipe for everything and to that of its subject.
    pub fn write(&mut self, subject: Subject, record: &[u8]) {
        let special = match subject {
            Subject::Vrrp => &self.vrrp,
            Subject::Checks => &self.checks,
        };
        for pipe in [&self.all, special].into_iter().flatten() {
            if !matches!((&pipe.file).write(record), Ok(written) if written == record.len()) {
                self.dropped = self.dropped.saturating_add(1);
            }
        }
    }

    /// Records that found a pipe full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Pipe {
    fn open(settings: &FifoSettings) -> io::Result<Self> {
        let path = Path::new(&settings.path);
        let made_here = match mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) => true,
            Err(nix::errno::Errno::EEXIST) => false,
            Err(errno) => return Err(errno.into()),
        };
        let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOFOLLOW;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)?;
        let found = file.metadata()?;
        if !found.file_type().is_fifo() {
            return Err(io::Error::other("it is there already and no pipe"));
        }
        let own = nix::unistd::getuid().as_raw();
        if !made_here && found.uid() != own && found.uid() != settings.uid {
            return Err(io::Error::other("it is there already and belongs to somebody else"));
        }
        std::os::unix::fs::fchown(&file, Some(settings.uid), Some(settings.gid))?;
        if made_here {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        Ok(Self { settings: settings.clone(), file, made_here })
    }
}

impl Drop for Pipe {
    /// Only pipes made here are removed.
    fn drop(&mut self) {
        if self.made_here {
            let _already_gone = fs::remove_file(&self.settings.path);
        }
    }
}

/// `INSTANCE "NAME" STATE PRIORITY` or `GROUP "NAME" STATE 0`, and a newline.
#[must_use]
pub fn record(whose: Whose, name: &str, state: &str, priority: Priority) -> Vec<u8> {
    format!("{} \"{name}\" {state} {priority}\n", whose.word()).into_bytes()
}

/// `VS <vs> UP|DOWN` or `RS <rs> <vs> UP|DOWN`, a newline, and the NUL byte that upstream writes behind it.
#[must_use]
pub fn service_record(service: &str, server: Option<&str>, up: bool) -> Vec<u8> {
    let word = if up { "UP" } else { "DOWN" };
    match server {
        Some(server) => format!("RS {server} {service} {word}\n\0"),
        None => format!("VS {service} {word}\n\0"),
    }
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn settings(name: &str) -> FifoSettings {
        let path = std::env::temp_dir().join(format!("keepalived-fifo-{}-{name}", std::process::id()));
        FifoSettings {
            path: path.display().to_string(),
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            script: None,
        }
    }

    #[test]
    fn records_are_upstreams_bytes() {
        assert_eq!(
            record(Whose::Instance, "VI_1", "MASTER", Priority::new(150)),
            b"INSTANCE \"VI_1\" MASTER 150\n"
        );
        assert_eq!(record(Whose::Group, "VG", "FAULT", Priority::RESIGN), b"GROUP \"VG\" FAULT 0\n");
        assert_eq!(service_record("[192.0.2.1]:tcp:80", None, true), b"VS [192.0.2.1]:tcp:80 UP\n\0");
        let record = service_record("[192.0.2.1]:tcp:80", Some("[192.0.2.2]:tcp:80"), false);
        assert_eq!(record, b"RS [192.0.2.2]:tcp:80 [192.0.2.1]:tcp:80 DOWN\n\0");
    }

    #[test]
    fn a_record_reaches_its_pipe_and_the_one_for_everything_and_no_other() {
        let (all, vrrp, checks) = (settings("all"), settings("vrrp"), settings("checks"));
        let mut pipes = Pipes::default();
        let fifos = Fifos { all: Some(all.clone()), vrrp: Some(vrrp.clone()), checks: Some(checks.clone()) };
        assert_eq!(pipes.configure(&fifos), Vec::<String>::new());
        let open = |settings: &FifoSettings| {
            OpenOptions::new()
                .read(true)
                .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
                .open(&settings.path)
                .unwrap()
        };
        let (mut all_end, mut vrrp_end, mut checks_end) = (open(&all), open(&vrrp), open(&checks));
        pipes.write(Subject::Vrrp, b"x\n");
        let mut bytes = [0; 16];
        assert_eq!(all_end.read(&mut bytes).unwrap(), 2);
        assert_eq!(vrrp_end.read(&mut bytes).unwrap(), 2);
        assert_eq!(checks_end.read(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(pipes);
        assert!(!Path::new(&all.path).exists());
    }

    #[test]
    fn a_reader_that_stands_still_costs_records_and_no_time() {
        let mut pipes = Pipes::default();
        pipes.configure(&Fifos { vrrp: Some(settings("full")), ..Fifos::default() });
        for _ in 0..10_000 {
            pipes.write(Subject::Vrrp, &[b'x'; 64]);
        }
        assert!(pipes.dropped() > 8_000);
    }

    #[test]
    fn a_file_in_the_place_of_a_pipe_is_refused() {
        let settings = settings("file");
        fs::write(&settings.path, "").unwrap();
        let problems = Pipes::default().configure(&Fifos { all: Some(settings.clone()), ..Fifos::default() });
        fs::remove_file(&settings.path).unwrap();
        assert_eq!(problems.len(), 1);
    }
}
