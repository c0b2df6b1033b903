//! Numbers in files as they are written, replaced, linked and removed.

use super::*;
use crate::scratch::Scratch;
use config::model::track::{Audience, InitialValue};

const FILE: FileId = FileId::new(0);

fn at(milliseconds: u64) -> MonoTime {
    MonoTime::from_nanos(milliseconds * 1_000_000)
}

/// Does the looks that are due, here; the files whose numbers have changed.
fn tick(files: &mut Files, now: MonoTime) -> Vec<FileId> {
    let mut changed = Vec::new();
    loop {
        let looks = files.looks(now);
        if looks.is_empty() {
            return changed;
        }
        for look in looks {
            let (task, result) = look.done_here();
            let Task::Look(positions, edition) = task else { panic!("{task:?}") };
            changed.extend(files.looked(&positions, edition, result, now));
        }
    }
}

fn configured(files: &mut Files, wanted: &[WatchedFile], now: MonoTime) {
    files.configure(wanted, now);
    tick(files, now);
}

fn file(directory: &Path, initial: Option<InitialValue>) -> WatchedFile {
    let path = directory.join("load").display().to_string();
    WatchedFile {
        name: "load".to_owned(),
        path,
        initial,
        audience: Audience::default(),
        weight: 1,
        reverse: false,
    }
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
    let directory = Scratch::new("files-seen");
    let path = directory.join("load");
    let mut files = Files::default();
    configured(&mut files, &[file(&directory, None)], at(1_000));
    assert_eq!((files.value(FILE), files.deadline()), (0, None), "{:?}", files.problems());
    std::fs::write(&path, "5").unwrap();
    assert!(files.ready(at(1_001)));
    assert_eq!(files.deadline(), Some(at(1_020)));
    assert_eq!(tick(&mut files, at(1_019)), []);
    assert_eq!((tick(&mut files, at(1_020)), files.value(FILE)), (vec![FILE], 5));
    std::fs::write(directory.join("new"), "6").unwrap();
    std::fs::rename(directory.join("new"), &path).unwrap();
    files.ready(at(2_000));
    assert_eq!((tick(&mut files, at(2_000)), files.value(FILE)), (vec![FILE], 6));
    std::fs::remove_file(&path).unwrap();
    files.ready(at(3_000));
    assert_eq!((tick(&mut files, at(3_000)), files.value(FILE)), (vec![FILE], 0));
    assert!(!files.ready(at(3_000)));
}

#[test]
fn a_hundred_files_of_one_directory_are_few_errands_and_each_has_its_number() {
    let directory = Scratch::new("files-many");
    let wanted: Vec<WatchedFile> = (0..100)
        .map(|number| {
            let path = directory.join(format!("f{number}")).display().to_string();
            std::fs::write(&path, number.to_string()).unwrap();
            WatchedFile { path, ..file(&directory, None) }
        })
        .collect();
    let mut files = Files::default();
    files.configure(&wanted, at(0));
    let looks = files.looks(at(0));
    assert_eq!(looks.len(), 4);
    for look in looks {
        let (task, result) = look.done_here();
        let Task::Look(positions, edition) = task else { panic!("{task:?}") };
        // The longest answer that there is.
        let answer = result.as_ref().unwrap();
        assert!(answer.text.len() + positions.len() * 120 < 8 * 1024);
        files.looked(&positions, edition, result, at(0));
    }
    assert!(!files.is_unread());
    assert_eq!(files.value(FileId::new(77)), 77);
    tick(&mut files, at(100));
    std::fs::write(&wanted[40].path, "7").unwrap();
    std::fs::write(&wanted[3].path, "7").unwrap();
    while files.ready(at(200)) {}
    assert_eq!(tick(&mut files, at(200)), [FileId::new(3), FileId::new(40)]);
}

#[test]
fn a_directory_that_comes_later_is_watched_from_then_on() {
    let directory = Scratch::new("files-late");
    std::fs::remove_dir(&*directory).unwrap();
    let mut files = Files::default();
    configured(&mut files, &[file(&directory, None)], at(0));
    assert_eq!(files.problems().len(), 1);
    std::fs::create_dir(&*directory).unwrap();
    std::fs::write(directory.join("load"), "5").unwrap();
    assert_eq!(tick(&mut files, at(1_000)), [FILE]);
    std::fs::remove_dir_all(&*directory).unwrap();
    while files.ready(at(2_000)) {}
    assert_eq!((tick(&mut files, at(2_000)), files.value(FILE)), (vec![FILE], 0));
    std::fs::create_dir(&*directory).unwrap();
    std::fs::write(directory.join("load"), "7").unwrap();
    assert_eq!(tick(&mut files, at(3_000)), [FILE]);
}

#[test]
fn init_file_makes_a_file_and_replaces_one_only_when_asked_to() {
    let directory = Scratch::new("files-init");
    let path = directory.join("load");
    let with = |value, overwrite| file(&directory, Some(InitialValue { value, overwrite }));
    configured(&mut Files::default(), &[with(3, false)], at(0));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
    configured(&mut Files::default(), &[with(4, false)], at(0));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
    let mut files = Files::default();
    configured(&mut files, &[with(4, true)], at(0));
    assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), files.value(FILE)), ("4\n", 4));
    std::fs::write(&path, "5").unwrap();
    configured(&mut files, &[with(6, true)], at(0));
    assert_eq!(files.value(FILE), 5, "a reload leaves a file alone that was tracked before");
}

#[test]
fn init_file_writes_through_no_link() {
    let directory = Scratch::new("files-link");
    std::fs::write(directory.join("precious"), "x").unwrap();
    std::os::unix::fs::symlink(directory.join("precious"), directory.join("load")).unwrap();
    let mut files = Files::default();
    configured(&mut files, &[file(&directory, Some(InitialValue { value: 1, overwrite: true }))], at(0));
    assert_eq!(files.problems().len(), 1);
    assert_eq!(std::fs::read_to_string(directory.join("precious")).unwrap(), "x");
}

#[test]
fn what_could_not_be_looked_at_is_tried_again_soon_unless_its_file_system_is_silent() {
    let folder = Scratch::new("missed");
    std::fs::write(folder.join("load"), "7").unwrap();
    let busy = ErrandError::NotStarted(io::Error::from_raw_os_error(11));
    for (why, next) in [(ErrandError::Silent, at(30_000)), (busy, at(1_000))] {
        let mut files = Files::default();
        files.configure(&[file(&folder, None)], at(0));
        assert_eq!(files.looks(at(0)).len(), 1);
        let words = why.to_string();
        assert_eq!(files.looked(&[0], 1, Err(why), at(0)), []);
        assert_eq!(files.deadline(), Some(next), "{words}");
        assert_eq!(tick(&mut files, next), [FILE], "{words}");
        assert_eq!(files.value(FILE), 7);
    }
}

#[test]
fn a_configuration_to_come_begins_with_what_its_files_hold_and_writes_nothing_before() {
    let directory = Scratch::new("foreseen");
    let initial = |value, overwrite| Some(InitialValue { value, overwrite });
    let of = |name: &str, initial| {
        let path = directory.join(name).display().to_string();
        WatchedFile { path, ..file(&directory, initial) }
    };
    std::fs::write(directory.join("known"), "1").unwrap();
    std::fs::write(directory.join("new"), "5").unwrap();
    std::fs::write(directory.join("written"), "6").unwrap();
    let mut files = Files::default();
    configured(&mut files, &[of("known", None)], at(0));
    std::fs::write(directory.join("known"), "2").unwrap();
    let wanted = [
        of("known", None),
        of("new", None),
        of("written", initial(7, true)),
        of("kept", initial(8, false)),
        of("missing", None),
    ];
    let looks = files.foresee(&wanted);
    assert!(files.is_foreseeing());
    for look in looks {
        let (task, result) = look.done_here();
        let Task::Foresee(paths) = task else { panic!("{task:?}") };
        files.foretold(&paths, result);
    }
    assert!(!files.is_foreseeing());
    assert_eq!(std::fs::read_to_string(directory.join("written")).unwrap(), "6");
    assert!(!directory.join("kept").exists());
    files.configure(&wanted, at(1));
    assert_eq!((0..5).map(|file| files.value(FileId::new(file))).collect::<Vec<_>>(), [1, 5, 7, 8, 0]);
    assert_eq!(tick(&mut files, at(1)), [FILE]);
    assert_eq!((0..5).map(|file| files.value(FileId::new(file))).collect::<Vec<_>>(), [2, 5, 7, 8, 0]);
}

#[test]
fn a_file_that_does_not_answer_is_not_foreseen() {
    let mut files = Files::default();
    let wanted = [file(Path::new("/somewhere"), None)];
    assert_eq!(files.foresee(&wanted).len(), 1);
    let paths = [wanted[0].path.clone()];
    files.foretold(&paths, Err(ErrandError::Died));
    assert!(!files.is_foreseeing());
    files.configure(&wanted, at(0));
    assert!(files.is_unread());
}
