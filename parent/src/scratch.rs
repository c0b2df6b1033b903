//! A directory for one test, which goes with it however the test ends.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// An empty directory.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it; `name` tells the tests of one process apart.
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("keepalived-test-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _moved_by_the_test = fs::remove_dir_all(&self.0);
    }
}
