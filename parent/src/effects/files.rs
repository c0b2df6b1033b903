//! Tracked files: reads the number that each of them holds, at start and whenever it may have changed.
//!
//! Driver. The kernel tells of changes in the directories (inotify); what is read is the first integer of a regular
//! file, in C notation, 0 for a file that is missing, empty or no number. Contents are not trusted: at most 127
//! bytes are read, at most 50 times a second for one file. Errands look at the files, never this process: one at many of
//! them that stand in one directory. Whoever wants
//! the numbers asks [`Files::value`], has what [`Files::looks`] returns done and acts on what [`Files::looked`] returns;
//! what they mean is the daemons' business.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::track::WatchedFile;
use config::model::units::{FileId, MonoTime};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use serde::{Deserialize, Serialize};

use super::errand::{Answer, Errand, ErrandError, Task};

/// All tracked files of a configuration.
#[derive(Debug, Default)]
pub struct Files {
    inotify: Option<Inotify>,
    entries: Vec<Entry>,
    /// Which list this is: answers about another one are late.
    edition: u64,
    /// What the files hold that only a configuration to come has, by path; `None` while they are looked at.
    foreseen: BTreeMap<String, Option<i64>>,
    problems: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    settings: WatchedFile,
    directory: PathBuf,
    watch: Option<WatchDescriptor>,
    /// `None` before the first look.
    value: Option<i64>,
    /// The path leads through a symbolic link in its directory.
    is_link: bool,
    /// When it may be looked at again.
    rested: MonoTime,
    /// When it has to be looked at.
    due: Option<MonoTime>,
    /// A look is under way.
    is_busy: bool,
    /// `init_file` is to be seen to.
    is_new: bool,
    /// All that is known to have happened is that a file of the name was made.
    only_created: bool,
    /// Its directory or file system is out of reach, which was told.
    told: bool,
}

/// What a look has found.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Found {
    /// Why the directory can't be watched.
    unreachable: Option<String>,
    /// Its files, in the order in which they were asked for.
    files: Vec<FoundFile>,
}

/// What was found of one file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct FoundFile {
    /// `None`: nothing that counts yet.
    value: Option<i64>,
    is_link: bool,
    /// Why `init_file` failed.
    unwritten: Option<String>,
}

/// Least time between two looks at one file.
const REST: Duration = Duration::from_millis(20);
/// Time between two tries to watch a directory that isn't there, and behind a look that this machine could not start.
const RETRY: Duration = Duration::from_secs(1);
/// The same for one that doesn't answer.
const SILENT_RETRY: Duration = Duration::from_secs(30);
/// Bytes that are read of a file.
const LONGEST: u64 = 127;
/// Files that one errand looks at: what it says of them fits its answer.
const TOGETHER: usize = 32;

impl Files {
    /// Has those files looked at that only a configuration to come has, so that it begins with their numbers. Nothing is
    /// written.
    pub fn foresee(&mut self, wanted: &[WatchedFile]) -> Vec<Errand<'static>> {
        let known: BTreeSet<&str> = self.entries.iter().map(|entry| entry.settings.path.as_str()).collect();
        let mut new: BTreeMap<&Path, Vec<WatchedFile>> = BTreeMap::new();
        for file in wanted.iter().filter(|file| !known.contains(file.path.as_str())) {
            new.entry(directory_of(file)).or_default().push(file.clone());
        }
        self.foreseen = new.values().flatten().map(|file| (file.path.clone(), None)).collect();
        let mut errands = Vec::new();
        for (directory, files) in new {
            for files in files.chunks(TOGETHER).map(<[WatchedFile]>::to_vec) {
                let task = Task::Foresee(files.iter().map(|file| file.path.clone()).collect());
                errands
                    .push(Errand::new(&directory.display().to_string(), task, move || first_numbers(&files)));
            }
        }
        errands
    }

    /// Takes what the look at these files has brought.
    pub fn foretold(&mut self, paths: &[String], result: Result<Answer, ErrandError>) {
        let values: Vec<i64> =
            result.ok().and_then(|answer| serde_json::from_str(&answer.text).ok()).unwrap_or_default();
        let mut values = values.into_iter();
        for path in paths {
            match (values.next(), self.foreseen.get_mut(path)) {
                (Some(value), Some(known)) => *known = Some(value),
                // Nobody can say; what it holds is told later.
                (None, Some(_)) => drop(self.foreseen.remove(path)),
                (_, None) => {}
            }
        }
    }

    /// True while files of a configuration to come are looked at.
    #[must_use]
    pub fn is_foreseeing(&self) -> bool {
        self.foreseen.values().any(Option::is_none)
    }

    /// Takes the files of a configuration: all of them are due to be looked at. Files that the configuration before had
    /// keep their numbers until then, and what was foreseen counts. False when nothing changed.
    pub fn configure(&mut self, wanted: &[WatchedFile], now: MonoTime) -> bool {
        let foreseen = std::mem::take(&mut self.foreseen);
        if self.entries.iter().map(|entry| &entry.settings).eq(wanted) {
            return false;
        }
        let known: BTreeMap<String, Option<i64>> =
            self.entries.drain(..).map(|entry| (entry.settings.path, entry.value)).collect();
        self.inotify = None;
        self.edition = self.edition.wrapping_add(1);
        let entry = |settings: &WatchedFile| {
            let value = known.get(&settings.path);
            let begins_with = value.or_else(|| foreseen.get(&settings.path)).copied().flatten();
            Entry::new(settings.clone(), begins_with, value.is_none(), now)
        };
        self.entries = wanted.iter().map(entry).collect();
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
        self.entries.get(file.index()).and_then(|entry| entry.value).unwrap_or(0)
    }

    /// True before every file has been looked at once.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.entries.iter().any(|entry| entry.value.is_none())
    }

    /// The descriptor is readable: notes which files may have changed. True when more may be waiting.
    pub fn ready(&mut self, now: MonoTime) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let events = match inotify.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => return false,
            Err(_) => Vec::new(),
        };
        let lost =
            events.is_empty() || events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
        let mut named: BTreeMap<&OsStr, Vec<&InotifyEvent>> = BTreeMap::new();
        for event in &events {
            if let Some(name) = &event.name {
                named.entry(name).or_default().push(event);
            }
        }
        let over: BTreeSet<WatchDescriptor> =
            events.iter().filter(|event| ends_watch(event)).map(|event| event.wd).collect();
        for entry in &mut self.entries {
            let ended = entry.watch.is_some_and(|watch| over.contains(&watch));
            let mut concerning = entry.concerning(&events, &named).peekable();
            if !lost && !ended && concerning.peek().is_none() {
                continue;
            }
            let only_created = concerning.all(|event| event.mask.contains(AddWatchFlags::IN_CREATE));
            let was_due = entry.due.is_some() && !entry.only_created;
            entry.only_created = only_created && !lost && !ended && !entry.is_link && !was_due;
            entry.due = Some(entry.rested.max(now));
            if ended {
                entry.watch = None;
            }
        }
        true
    }

    /// The looks that are due.
    pub fn looks(&mut self, now: MonoTime) -> Vec<Errand<'static>> {
        let edition = self.edition;
        let is_due = |entry: &Entry| !entry.is_busy && entry.due.is_some_and(|due| now >= due);
        let mut due: BTreeMap<PathBuf, Vec<(usize, Look)>> = BTreeMap::new();
        for (position, entry) in self.entries.iter_mut().enumerate().filter(|(_, entry)| is_due(entry)) {
            entry.due = None;
            entry.rested = now + REST;
            entry.is_busy = true;
            let look = Look {
                settings: entry.settings.clone(),
                is_unwatched: entry.watch.is_none(),
                initialises: std::mem::take(&mut entry.is_new),
                only_created: std::mem::take(&mut entry.only_created),
            };
            due.entry(entry.directory.clone()).or_default().push((position, look));
        }
        let mut errands = Vec::new();
        for (directory, looks) in due {
            let mut looks = looks.into_iter();
            loop {
                let (positions, together): (Vec<usize>, Vec<Look>) = looks.by_ref().take(TOGETHER).unzip();
                if positions.is_empty() {
                    break;
                }
                // Changes of files that stand together are told in their order.
                let place = directory.display().to_string();
                let directory = directory.clone();
                let task = Task::Look(positions, edition);
                errands.push(Errand::new(&place, task, move || look(&directory, together)));
            }
        }
        errands
    }

    /// Takes what a look at the files at these positions has brought; the files whose numbers have changed by it.
    pub fn looked(
        &mut self,
        positions: &[usize],
        edition: u64,
        result: Result<Answer, ErrandError>,
        now: MonoTime,
    ) -> Vec<FileId> {
        if edition != self.edition {
            return Vec::new();
        }
        let found = result.and_then(|answer| {
            let found: Found = serde_json::from_str(&answer.text)?;
            Ok((found, answer.fd))
        });
        let (found, directory) = match found {
            Ok(known) => known,
            Err(why) => {
                positions.iter().for_each(|position| self.miss(*position, &why, now));
                return Vec::new();
            }
        };
        let watched = match (&self.inotify, directory, found.unreachable) {
            (None, ..) => Err(None),
            (Some(inotify), Some(directory), _) => watch(inotify, &directory).map_err(Some),
            (Some(_), None, why) => Err(why),
        };
        let pairs = positions.iter().zip(found.files);
        pairs.filter_map(|(position, found)| self.note(*position, found, &watched, now)).collect()
    }

    /// A file that can't be looked at. What it was counts on: nobody can say that it has changed.
    fn miss(&mut self, position: usize, why: &ErrandError, now: MonoTime) {
        let Some(entry) = self.entries.get_mut(position) else { return };
        entry.is_busy = false;
        entry.due = Some(now + if matches!(why, ErrandError::Silent) { SILENT_RETRY } else { RETRY });
        entry.value.get_or_insert(0);
        if !std::mem::replace(&mut entry.told, true) {
            self.problems.push(format!("track_file {}: {}: {why}", entry.settings.name, entry.settings.path));
        }
    }

    /// What was found of one file, and of the watch over its directory; its name if its number has changed.
    fn note(
        &mut self,
        position: usize,
        found: FoundFile,
        watched: &Result<WatchDescriptor, Option<String>>,
        now: MonoTime,
    ) -> Option<FileId> {
        let entry = self.entries.get_mut(position)?;
        entry.is_busy = false;
        entry.is_link = found.is_link;
        if let Some(why) = found.unwritten {
            let text = format!("track_file {}: writing {}: {why}", entry.settings.name, entry.settings.path);
            self.problems.push(text);
        }
        if entry.watch.is_none() {
            match watched {
                Ok(watch) => {
                    entry.watch = Some(*watch);
                    entry.told = false;
                    // It may have changed between the look and the watch.
                    entry.due = Some(now);
                }
                Err(why) => {
                    entry.due = Some(now + RETRY);
                    if let Some(why) = why
                        && !std::mem::replace(&mut entry.told, true)
                    {
                        let directory = entry.directory.display();
                        self.problems.push(format!("track_file {}: {directory}: {why}", entry.settings.name));
                    }
                }
            }
        }
        let before = entry.value;
        let value = found.value.or(before).unwrap_or(0);
        entry.value = Some(value);
        let changed = before.unwrap_or(0) != value;
        changed.then(|| u32::try_from(position).ok().map(FileId::new)).flatten()
    }

    /// When [`Self::looks`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.entries.iter().filter(|entry| !entry.is_busy).filter_map(|entry| entry.due).min()
    }

    /// What went wrong since the last call, in words.
    pub fn problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }
}

impl Entry {
    fn new(settings: WatchedFile, value: Option<i64>, is_new: bool, now: MonoTime) -> Self {
        let directory = directory_of(&settings).to_owned();
        Self {
            settings,
            directory,
            watch: None,
            value,
            is_link: false,
            rested: MonoTime::default(),
            due: Some(now),
            is_busy: false,
            is_new,
            only_created: false,
            told: false,
        }
    }

    /// Events of the file, and any other one of its directory when the path leads through a symbolic link there, which
    /// may lead elsewhere now.
    fn concerning<'e>(
        &self,
        events: &'e [InotifyEvent],
        named: &'e BTreeMap<&OsStr, Vec<&'e InotifyEvent>>,
    ) -> impl Iterator<Item = &'e InotifyEvent> + use<'e> {
        let watch = self.watch;
        let name = Path::new(&self.settings.path).file_name().filter(|_| !self.is_link);
        let of_name = name.and_then(|name| named.get(name)).into_iter().flatten().copied();
        let all = self.is_link.then_some(events).into_iter().flatten();
        of_name.chain(all).filter(move |event| Some(event.wd) == watch)
    }
}

fn directory_of(file: &WatchedFile) -> &Path {
    Path::new(&file.path).parent().unwrap_or(Path::new("/"))
}

/// What files hold, or will once `init_file` has been seen to, in their order.
fn first_numbers(files: &[WatchedFile]) -> Result<Answer, String> {
    let numbers = files.iter().map(|file| {
        let path = Path::new(&file.path);
        match file.initial {
            Some(initial) if initial.overwrite || !path.exists() => initial.value,
            Some(_) | None => number(path).unwrap_or(0),
        }
    });
    let text = serde_json::to_string(&numbers.collect::<Vec<i64>>()).map_err(|error| error.to_string())?;
    Ok(Answer { text, fd: None })
}

/// What an errand does for a file.
#[derive(Debug)]
struct Look {
    settings: WatchedFile,
    /// Its directory is to be opened, so that it can be watched.
    is_unwatched: bool,
    initialises: bool,
    only_created: bool,
}

/// What an errand does for files of one directory.
fn look(directory: &Path, looks: Vec<Look>) -> Result<Answer, String> {
    let is_unwatched = looks.iter().any(|look| look.is_unwatched);
    let mut found = Found { unreachable: None, files: looks.into_iter().map(Look::run).collect() };
    let directory = is_unwatched.then(|| open_directory(directory)).transpose().unwrap_or_else(|why| {
        found.unreachable = Some(why.to_string());
        None
    });
    let text = serde_json::to_string(&found).map_err(|error| error.to_string())?;
    Ok(Answer { text, fd: directory })
}

impl Look {
    fn run(self) -> FoundFile {
        let path = Path::new(&self.settings.path);
        let mut found = FoundFile { is_link: path.is_symlink(), ..FoundFile::default() };
        if self.initialises {
            found.unwritten = initialise(&self.settings).err().map(|error| error.to_string());
        }
        // A file that was only created has no contents yet, unless it is another name of one that has.
        let counts = || path.metadata().is_ok_and(|found| found.nlink() > 1 || found.len() > 0);
        if !self.only_created || counts() {
            found.value = Some(number(path).unwrap_or(0));
        }
        found
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    Ok(OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?.into())
}

/// Watches a directory that an errand has just reached.
fn watch(inotify: &Inotify, directory: &OwnedFd) -> Result<WatchDescriptor, String> {
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    inotify.add_watch(path.as_str(), EVENTS).map_err(|errno| errno.desc().to_owned())
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
mod tests;
