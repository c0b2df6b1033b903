//! A file system that has stopped answering, as one over a network whose server is gone: whoever looks at a path in it
//! hangs in the kernel and not even SIGKILL ends it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::Failure;

/// A silent file system over a directory. It answers again, with errors, and goes when this is dropped.
pub struct Silent {
    place: PathBuf,
    asked: Arc<AtomicUsize>,
    server: Option<JoinHandle<()>>,
}

impl Silent {
    /// Lays it over `place`, whose files can't be reached any more.
    pub fn over(place: &str) -> Result<Self, Failure> {
        let doing = |cause: io::Error| Failure::instrument("a file system that does not answer", cause);
        let kernel = File::options().read(true).write(true).open("/dev/fuse").map_err(doing)?;
        let options = format!("fd={},rootmode=40755,user_id=0,group_id=0,allow_other", kernel.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("silent"), place, Some("fuse"), flags, Some(options.as_str()))
            .map_err(|cause| doing(cause.into()))?;
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let server = thread::spawn(move || serve(kernel, &counted));
        Ok(Self { place: Path::new(place).to_owned(), asked, server: Some(server) })
    }

    /// How many questions nobody has answered.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // The connection is aborted, which ends every wait and the server.
        let _gone_already = umount2(&self.place, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH);
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

/// What the kernel asks first, and waits for before it asks anything else (fuse(4)).
const INIT: u32 = 26;
/// Bytes of a question's head, of an answer's head, and of the answer to [`INIT`].
const QUESTION: usize = 40;
const ANSWER: usize = 16;
const TERMS: usize = 64;

/// Answers the first question and takes all others.
fn serve(mut kernel: File, asked: &AtomicUsize) {
    let mut question = vec![0; 1 << 18];
    loop {
        match kernel.read(&mut question) {
            Ok(length) if length >= QUESTION => {}
            Ok(_) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        if question[4..8] == INIT.to_ne_bytes() {
            let mut answer = Vec::with_capacity(ANSWER + TERMS);
            answer.extend(u32::try_from(ANSWER + TERMS).unwrap_or(0).to_ne_bytes());
            answer.extend(0_u32.to_ne_bytes());
            answer.extend(&question[8..16]);
            // Version 7.31, nothing read ahead, no features, 4 KiB in one write.
            for number in [7_u32, 31, 0, 0, 0, 4096, 1] {
                answer.extend(number.to_ne_bytes());
            }
            answer.resize(ANSWER + TERMS, 0);
            if kernel.write_all(&answer).is_err() {
                return;
            }
        } else {
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }
}
