//! Named pipes that tell every change of state, byte for byte as upstream writes them.
//!
//! Driver. A reader that stands still costs lines, never time: what the pipe doesn't take is dropped and counted. Pipes
//! are opened and removed by errands; what is written meanwhile waits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use config::model::process::{FifoSettings, Fifos};
use config::model::units::Priority;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::errand::{Answer, Errand, ErrandError, Task};
use crate::broker::Whose;

/// One pipe.
#[derive(Debug)]
struct Pipe {
    settings: FifoSettings,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It is being opened, and these records wait for it.
    Opening(Vec<Vec<u8>>),
    Open {
        file: File,
        made_here: bool,
    },
    Failed,
}

/// The pipes of a configuration: one for everything, one for VRRP, one for virtual and real servers.
#[derive(Debug, Default)]
pub struct Pipes {
    all: Option<Pipe>,
    vrrp: Option<Pipe>,
    checks: Option<Pipe>,
    dropped: u64,
}

/// One of the pipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `notify_fifo`.
    All,
    /// `vrrp_notify_fifo`.
    Vrrp,
    /// `lvs_notify_fifo`.
    Checks,
}

/// Which pipe beside the one for everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// `vrrp_notify_fifo`.
    Vrrp,
    /// `lvs_notify_fifo`.
    Checks,
}

/// Why a pipe is not open.
#[derive(Debug)]
pub enum NotOpened {
    /// The errand failed.
    Failed(ErrandError),
    /// A reload has replaced it meanwhile: it is to be removed, if it was made for nobody else.
    Unwanted(Option<Errand<'static>>),
}

/// Records that wait for a pipe that is being opened.
const MOST_WAITING: usize = 1024;

impl Pipes {
    /// Takes what the configuration names; pipes that stay the same stay open. Returns what there is to do for the
    /// others.
    pub fn configure(&mut self, wanted: &Fifos) -> Vec<Errand<'static>> {
        let mut errands = self.close(|pipe, place| Some(&pipe.settings) != Self::wanted(wanted, place));
        for place in [Place::All, Place::Vrrp, Place::Checks] {
            let (Some(settings), None) = (Self::wanted(wanted, place).cloned(), self.at(place).as_ref())
            else {
                continue;
            };
            let asked = settings.clone();
            errands.push(Errand::new(&settings.path, Task::Pipe(place, settings.path.clone()), move || {
                open(&asked).map_err(|error| error.to_string())
            }));
            *self.at(place) = Some(Pipe { settings, state: State::Opening(Vec::new()) });
        }
        errands
    }

    /// Takes an errand's answer. A pipe that a reload has replaced meanwhile is not taken for its successor.
    ///
    /// # Errors
    /// The pipe can't be opened, or nobody wants it any more.
    pub fn opened(
        &mut self,
        place: Place,
        path: &str,
        result: Result<Answer, ErrandError>,
    ) -> Result<(), NotOpened> {
        let is_wanted = [&self.all, &self.vrrp, &self.checks]
            .into_iter()
            .flatten()
            .any(|pipe| pipe.settings.path == path);
        let Some(pipe) = self.at(place).as_mut().filter(|pipe| pipe.settings.path == path) else {
            let made_here = result.is_ok_and(|answer| answer.text == MADE);
            return Err(NotOpened::Unwanted((made_here && !is_wanted).then(|| removal(path.to_owned()))));
        };
        let answer =
            result.and_then(|answer| Ok((answer.fd.ok_or(ErrandError::NotOpened)?, answer.text == MADE)));
        let waiting = match (answer, std::mem::replace(&mut pipe.state, State::Failed)) {
            (Err(why), _) => return Err(NotOpened::Failed(why)),
            (Ok((fd, made_here)), before) => {
                let was_made = matches!(before, State::Open { made_here: true, .. });
                pipe.state = State::Open { file: File::from(fd), made_here: made_here || was_made };
                if let State::Opening(waiting) = before { waiting } else { Vec::new() }
            }
        };
        let lost = waiting.iter().filter(|record| !pipe.write(record)).count();
        self.dropped = self.dropped.saturating_add(u64::try_from(lost).unwrap_or(u64::MAX));
        Ok(())
    }

    /// At the end of the suite: removes the pipes that were made here.
    pub fn remove(&mut self) -> Vec<Errand<'static>> {
        self.close(|_, _| true)
    }

    /// The settings of a pipe.
    #[must_use]
    pub fn wanted(fifos: &Fifos, place: Place) -> Option<&FifoSettings> {
        match place {
            Place::All => fifos.all.as_ref(),
            Place::Vrrp => fifos.vrrp.as_ref(),
            Place::Checks => fifos.checks.as_ref(),
        }
    }

    fn at(&mut self, place: Place) -> &mut Option<Pipe> {
        match place {
            Place::All => &mut self.all,
            Place::Vrrp => &mut self.vrrp,
            Place::Checks => &mut self.checks,
        }
    }

    /// Closes pipes; those made here are to be removed, and no others.
    fn close(&mut self, which: impl Fn(&Pipe, Place) -> bool) -> Vec<Errand<'static>> {
        let mut errands = Vec::new();
        for place in [Place::All, Place::Vrrp, Place::Checks] {
            let closed = self.at(place).take_if(|pipe| which(pipe, place));
            if let Some(Pipe { settings, state: State::Open { made_here: true, .. } }) = closed {
                errands.push(removal(settings.path));
            }
        }
        errands
    }

    /// Writes a record to the pipe for everything and to that of its subject.
    pub fn write(&mut self, subject: Subject, record: &[u8]) {
        let special = match subject {
            Subject::Vrrp => &mut self.vrrp,
            Subject::Checks => &mut self.checks,
        };
        for pipe in [&mut self.all, special].into_iter().flatten() {
            if !pipe.write(record) {
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
    /// False when the record is lost.
    fn write(&mut self, record: &[u8]) -> bool {
        match &mut self.state {
            State::Open { file, .. } => matches!(file.write(record), Ok(written) if written == record.len()),
            State::Opening(waiting) if waiting.len() < MOST_WAITING => {
                waiting.push(record.to_vec());
                true
            }
            State::Opening(_) | State::Failed => false,
        }
    }
}

fn removal(path: String) -> Errand<'static> {
    Errand::untold(&path.clone(), format!("FIFO {path}"), move || fs::remove_file(path))
}

/// Answer of an errand that made the pipe which it opened.
const MADE: &str = "made";

/// Opens a pipe and makes it if it isn't there: the errand.
fn open(settings: &FifoSettings) -> io::Result<Answer> {
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
    Ok(Answer { text: if made_here { MADE } else { "" }.to_owned(), fd: Some(OwnedFd::from(file)) })
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
    use crate::scratch::Scratch;
    use std::io::Read;

    fn settings(directory: &Scratch, name: &str) -> FifoSettings {
        FifoSettings {
            path: directory.join(name).display().to_string(),
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
        let here = Scratch::new("fifo");
        let (all, vrrp, checks) =
            (settings(&here, "all"), settings(&here, "vrrp"), settings(&here, "checks"));
        let mut pipes = Pipes::default();
        let fifos = Fifos { all: Some(all.clone()), vrrp: Some(vrrp.clone()), checks: Some(checks.clone()) };
        assert_eq!(pipes.configure(&fifos).len(), 3);
        // What is written before a pipe is open waits.
        pipes.write(Subject::Vrrp, b"x\n");
        let places = [(Place::All, &all), (Place::Vrrp, &vrrp), (Place::Checks, &checks)];
        for (place, settings) in places {
            let answer = open(settings).map_err(ErrandError::from);
            pipes.opened(place, &settings.path, answer).unwrap();
        }
        let open = |settings: &FifoSettings| {
            OpenOptions::new()
                .read(true)
                .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
                .open(&settings.path)
                .unwrap()
        };
        let (mut all_end, mut vrrp_end, mut checks_end) = (open(&all), open(&vrrp), open(&checks));
        let mut bytes = [0; 16];
        assert_eq!(all_end.read(&mut bytes).unwrap(), 2);
        assert_eq!(vrrp_end.read(&mut bytes).unwrap(), 2);
        assert_eq!(checks_end.read(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(pipes.remove().len(), 3);
    }

    #[test]
    fn a_reader_that_stands_still_costs_records_and_no_time() {
        let mut pipes = Pipes::default();
        let here = Scratch::new("fifo-full");
        let settings = settings(&here, "full");
        drop(pipes.configure(&Fifos { vrrp: Some(settings.clone()), ..Fifos::default() }));
        pipes.opened(Place::Vrrp, &settings.path, open(&settings).map_err(ErrandError::from)).unwrap();
        for _ in 0..10_000 {
            pipes.write(Subject::Vrrp, &[b'x'; 64]);
        }
        assert!(pipes.dropped() > 8_000);
    }

    #[test]
    fn the_answer_for_a_pipe_that_a_reload_has_replaced_is_not_taken_for_its_successor() {
        let here = Scratch::new("fifo-late");
        let (old, new) = (settings(&here, "before"), settings(&here, "after"));
        let mut pipes = Pipes::default();
        drop(pipes.configure(&Fifos { vrrp: Some(old.clone()), ..Fifos::default() }));
        drop(pipes.configure(&Fifos { vrrp: Some(new.clone()), ..Fifos::default() }));
        pipes.write(Subject::Vrrp, b"1\n");
        let late = open(&old).map_err(ErrandError::from);
        let Err(NotOpened::Unwanted(Some(removal))) = pipes.opened(Place::Vrrp, &old.path, late) else {
            panic!("it is to be removed");
        };
        removal.done_here().1.unwrap();
        assert!(!Path::new(&old.path).exists());
        let answer = open(&new).map_err(ErrandError::from);
        let mut end = File::options().read(true).write(true).open(&new.path).unwrap();
        pipes.opened(Place::Vrrp, &new.path, answer).unwrap();
        let mut bytes = [0; 16];
        assert_eq!(end.read(&mut bytes).unwrap(), 2);
    }

    #[test]
    fn a_late_pipe_that_was_there_before_or_that_another_place_wants_stays() {
        let here = Scratch::new("fifo-stays");
        let settings = settings(&here, "stays");
        let late = || Ok(Answer { text: MADE.to_owned(), fd: None });
        let mut pipes = Pipes::default();
        drop(pipes.configure(&Fifos { vrrp: Some(settings.clone()), ..Fifos::default() }));
        drop(pipes.configure(&Fifos { all: Some(settings.clone()), ..Fifos::default() }));
        let stays = |answer| matches!(answer, Err(NotOpened::Unwanted(None)));
        assert!(stays(pipes.opened(Place::Vrrp, &settings.path, late())));
        drop(pipes.configure(&Fifos::default()));
        assert!(stays(pipes.opened(Place::All, &settings.path, Ok(Answer::default()))));
        assert!(stays(pipes.opened(Place::All, &settings.path, Err(ErrandError::Failed("no".to_owned())))));
        assert!(!stays(pipes.opened(Place::All, &settings.path, late())));
    }

    #[test]
    fn a_file_in_the_place_of_a_pipe_is_refused() {
        let here = Scratch::new("fifo-file");
        let settings = settings(&here, "file");
        fs::write(&settings.path, "").unwrap();
        assert!(open(&settings).is_err());
    }
}
