//! Tracked files: reads the number that each of them holds, at start and whenever it may have changed.
//!
//! Driver. The kernel tells of changes in the directories (inotify); what is read is the first integer of a regular
//! file, in C notation, 0 for a file that is missing, empty or no number. Contents are not trusted: at most 127
//! bytes are read, at most 50 times a second for one file. Whoever wants the numbers asks [`Files::value`] and acts
//! on what [`Files::ready`] and [`Files::tick`] return; what they mean is the daemons' business.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::track::WatchedFile;
use config::model::units::{FileId, MonoTime};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

/// All tracked files of a configuration.
#[derive(Debug, Default)]
pub struct Files {
    inotify: Option<Inotify>,
    entries: Vec<Entry>,
    problems: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    settings: WatchedFile,
    directory: PathBuf,
    watch: Option<WatchDescriptor>,
    value: i64,
    /// When it may be read again.
    rested: MonoTime,
    /// When it has to be read.
    due: Option<MonoTime>,
    /// Its directory is missing, which was told.
    told: bool,
}

/// Least time between two looks at one file.
const REST: Duration = Duration::from_millis(20);
/// Time between two tries to watch a directory that isn't there.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes that are read of a file.
const LONGEST: u64 = 127;

impl Files {
    /// Takes the files of a configuration: writes what `init_file` asks for, for files that the configuration before
    /// did not have, reads all of them and watches their directories. False when nothing changed.
    pub fn configure(&mut self, wanted: &[WatchedFile], now: MonoTime) -> bool {
        if self.entries.iter().map(|entry| &entry.settings).eq(wanted) {
            return false;
        }
        let known: BTreeSet<&str> = self.entries.iter().map(|entry| entry.settings.path.as_str()).collect();
        for file in wanted.iter().filter(|file| !known.contains(file.path.as_str())) {
            if let Err(error) = initialise(file) {
                self.problems.push(format!("track_file {}: writing {}: {error}", file.name, file.path));
            }
        }
        self.inotify = None;
        self.entries = wanted.iter().cloned().map(Entry::new).collect();
        if self.entries.is_empty() {
            return true;
        }
        match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            Ok(inotify) => self.inotify = Some(inotify),
            Err(errno) => {
                let text = format!("tracked files are looked at once a second only: {}", errno.desc());
                self.problems.push(text);
            }
        }
        for position in 0..self.entries.len() {
            self.look(position, now);
        }
        true
    }

    /// The descriptor to watch for reading; another one after each [`Self::configure`].
    #[must_use]
    pub fn fd(&self) -> Option<RawFd> {
        self.inotify.as_ref().map(|inotify| inotify.as_fd().as_raw_fd())
    }

    /// The number that a file holds.
    #[must_use]
    pub fn value(&self, file: FileId) -> i64 {
        self.entries.get(file.index()).map_or(0, |entry| entry.value)
    }

    /// The descriptor is readable: notes which files may have changed. [`Self::tick`] reads them. True when more may
    /// be waiting.
    pub fn ready(&mut self, now: MonoTime) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let events = match inotify.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => return false,
            Err(_) => Vec::new(),
        };
        let lost =
            events.is_empty() || events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
        for entry in &mut self.entries {
            if lost || events.iter().any(|event| entry.concerns(event)) {
                entry.due = Some(entry.rested.max(now));
            }
            if events.iter().any(|event| Some(event.wd) == entry.watch && ends_watch(event)) {
                entry.watch = None;
                entry.due = Some(entry.rested.max(now));
            }
        }
        true
    }

    /// Reads what is due; returns the files whose number has changed.
    pub fn tick(&mut self, now: MonoTime) -> Vec<FileId> {
        let mut changed = Vec::new();
        for position in 0..self.entries.len() {
            let is_due = |entry: &Entry| entry.due.is_some_and(|due| now >= due);
            if self.entries.get(position).is_some_and(is_due)
                && self.look(position, now)
                && let Ok(id) = u32::try_from(position)
            {
                changed.push(FileId::new(id));
            }
        }
        changed
    }

    /// When [`Self::tick`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.entries.iter().filter_map(|entry| entry.due).min()
    }

    /// What went wrong since the last call, in words.
    pub fn problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    /// Watches the directory of a file if nothing does yet, then reads the file; true when its number has changed.
    fn look(&mut self, position: usize, now: MonoTime) -> bool {
        let Some(entry) = self.entries.get_mut(position) else { return false };
        entry.due = None;
        entry.rested = now + REST;
        if entry.watch.is_none() {
            let watched = match &self.inotify {
                Some(inotify) => inotify.add_watch(&entry.directory, EVENTS),
                None => Err(Errno::ENOSYS),
            };
            match watched {
                Ok(watch) => {
                    entry.watch = Some(watch);
                    entry.told = false;
                }
                Err(errno) => {
                    entry.due = Some(now + RETRY);
                    if self.inotify.is_some() && !std::mem::replace(&mut entry.told, true) {
                        let directory = entry.directory.display();
                        let text =
                            format!("track_file {}: {directory}: {}", entry.settings.name, errno.desc());
                        self.problems.push(text);
                    }
                }
            }
        }
        let value = number(Path::new(&entry.settings.path)).unwrap_or(0);
        std::mem::replace(&mut entry.value, value) != value
    }
}

impl Entry {
    fn new(settings: WatchedFile) -> Self {
        let directory = Path::new(&settings.path).parent().unwrap_or(Path::new("/")).to_owned();
        let (rested, value) = (MonoTime::default(), 0);
        Self { settings, directory, watch: None, value, rested, due: None, told: false }
    }

    /// True for events of the file, and for any other one of its directory when the path leads through a symbolic
    /// link there, which may lead elsewhere now. A file that was only created has no contents yet, unless it is another
    /// name of one that has.
    fn concerns(&self, event: &InotifyEvent) -> bool {
        if Some(event.wd) != self.watch {
            return false;
        }
        let path = Path::new(&self.settings.path);
        if path.is_symlink() {
            return true;
        }
        if event.name.as_deref() != path.file_name() {
            return false;
        }
        let only_created = event.mask.contains(AddWatchFlags::IN_CREATE);
        !only_created || path.metadata().is_ok_and(|found| found.nlink() > 1 || found.len() > 0)
    }
}

/// The directory itself has gone.
fn ends_watch(event: &InotifyEvent) -> bool {
    let ends = AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_UNMOUNT
        | AddWatchFlags::IN_IGNORED;
    event.mask.intersects(ends)
}

/// What the kernel is to tell of a directory.
const EVENTS: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);

/// `init_file`: a new file, or one that is there already where that is asked for; never through a symbolic link, and
/// never a file that has another name elsewhere.
fn initialise(settings: &WatchedFile) -> io::Result<()> {
    let Some(initial) = settings.initial else { return Ok(()) };
    let mut options = OpenOptions::new();
    options.write(true).mode(0o644).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let mut file = match options.create_new(true).open(&settings.path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !initial.overwrite {
                return Ok(());
            }
            options.create_new(false).open(&settings.path)?
        }
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() != 1 {
        return Err(io::Error::other("it is no regular file of one name"));
    }
    file.set_len(0)?;
    file.write_all(format!("{}\n", initial.value).as_bytes())
}

/// The number that a file holds.
fn number(path: &Path) -> io::Result<i64> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(0);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(first_integer(&bytes))
}

/// The integer at the start of some text as strtol(3) reads it with base 0: blanks, a sign, `0x` for hexadecimal, `0`
/// for octal; 0 without one, the nearest one beyond its range.
fn first_integer(bytes: &[u8]) -> i64 {
    let text = bytes.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    let value = digits
        .iter()
        .map_while(|byte| char::from(*byte).to_digit(radix))
        .fold(0_i64, |sum, digit| sum.saturating_mul(i64::from(radix)).saturating_add(i64::from(digit)));
    if negative { value.saturating_neg() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::model::track::{Audience, InitialValue};

    const FILE: FileId = FileId::new(0);

    fn at(milliseconds: u64) -> MonoTime {
        MonoTime::from_nanos(milliseconds * 1_000_000)
    }

    /// A directory that goes with its test.
    struct Directory(PathBuf);

    impl Drop for Directory {
        fn drop(&mut self) {
            let _gone_already = std::fs::remove_dir_all(&self.0);
        }
    }

    impl std::ops::Deref for Directory {
        type Target = Path;

        fn deref(&self) -> &Path {
            &self.0
        }
    }

    fn directory(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("keepalived-files-{}-{name}", std::process::id()));
        let _none_yet = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn file(directory: &Path, initial: Option<InitialValue>) -> WatchedFile {
        let path = directory.join("load").display().to_string();
        WatchedFile { name: "load".to_owned(), path, initial, audience: Audience::default() }
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, value) in [
            ("12\n", 12),
            (" -7 rest", -7),
            ("+0x1f", 31),
            ("010", 8),
            ("0x", 0),
            ("", 0),
            ("high", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(first_integer(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_renamed_and_deleted_is_noticed_and_read_at_most_every_20_ms() {
        let directory = directory("seen");
        let path = directory.join("load");
        let mut files = Files::default();
        files.configure(&[file(&directory, None)], at(1_000));
        assert_eq!((files.value(FILE), files.deadline()), (0, None), "{:?}", files.problems());
        std::fs::write(&path, "5").unwrap();
        assert!(files.ready(at(1_001)));
        assert_eq!(files.deadline(), Some(at(1_020)));
        assert_eq!(files.tick(at(1_019)), []);
        assert_eq!((files.tick(at(1_020)), files.value(FILE)), (vec![FILE], 5));
        std::fs::write(directory.join("new"), "6").unwrap();
        std::fs::rename(directory.join("new"), &path).unwrap();
        files.ready(at(2_000));
        assert_eq!((files.tick(at(2_000)), files.value(FILE)), (vec![FILE], 6));
        std::fs::remove_file(&path).unwrap();
        files.ready(at(3_000));
        assert_eq!((files.tick(at(3_000)), files.value(FILE)), (vec![FILE], 0));
        assert!(!files.ready(at(3_000)));
    }

    #[test]
    fn a_directory_that_comes_later_is_watched_from_then_on() {
        let directory = directory("late");
        std::fs::remove_dir(&*directory).unwrap();
        let mut files = Files::default();
        files.configure(&[file(&directory, None)], at(0));
        assert_eq!(files.problems().len(), 1);
        std::fs::create_dir(&*directory).unwrap();
        std::fs::write(directory.join("load"), "5").unwrap();
        assert_eq!(files.tick(at(1_000)), [FILE]);
        std::fs::remove_dir_all(&*directory).unwrap();
        while files.ready(at(2_000)) {}
        assert_eq!((files.tick(at(2_000)), files.value(FILE)), (vec![FILE], 0));
        std::fs::create_dir(&*directory).unwrap();
        std::fs::write(directory.join("load"), "7").unwrap();
        assert_eq!(files.tick(at(3_000)), [FILE]);
    }

    #[test]
    fn init_file_makes_a_file_and_replaces_one_only_when_asked_to() {
        let directory = directory("init");
        let path = directory.join("load");
        let with = |value, overwrite| file(&directory, Some(InitialValue { value, overwrite }));
        Files::default().configure(&[with(3, false)], at(0));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
        Files::default().configure(&[with(4, false)], at(0));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
        let mut files = Files::default();
        files.configure(&[with(4, true)], at(0));
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), files.value(FILE)), ("4\n", 4));
        std::fs::write(&path, "5").unwrap();
        files.configure(&[with(6, true)], at(0));
        assert_eq!(files.value(FILE), 5, "a reload leaves a file alone that was tracked before");
    }

    #[test]
    fn init_file_writes_through_no_link() {
        let directory = directory("link");
        std::fs::write(directory.join("precious"), "x").unwrap();
        std::os::unix::fs::symlink(directory.join("precious"), directory.join("load")).unwrap();
        let mut files = Files::default();
        files.configure(&[file(&directory, Some(InitialValue { value: 1, overwrite: true }))], at(0));
        assert_eq!(files.problems().len(), 1);
        assert_eq!(std::fs::read_to_string(directory.join("precious")).unwrap(), "x");
    }
}
