//! `weir check --watch`: waits until a file of the programs changes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::{Duration, SystemTime};

use crate::files::programs_in;

/// The time between two looks at the files.
const PAUSE: Duration = Duration::from_millis(200);

/// Clears the screen and what has been scrolled out of it, and moves to its upper left corner (ECMA-48, xterm).
const CLEAR: &str = "\x1b[2J\x1b[3J\x1b[H";

/// The state of the files on the disk: the time of the last change, and the size; `None` for a file that is missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    files: BTreeMap<String, Option<(SystemTime, u64)>>,
}

impl Snapshot {
    /// Takes the state of the programs that the paths stand for, and of further files.
    pub(crate) fn take(paths: &[String], more: &BTreeSet<String>) -> Snapshot {
        let programs = programs_in(paths).unwrap_or_default();
        let names = programs.into_iter().chain(more.iter().cloned()).chain(paths.iter().cloned());
        let files = names.map(|name| {
            let metadata = std::fs::metadata(&name).ok();
            let state = metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len())));
            (name, state)
        });
        Snapshot { files: files.collect() }
    }

    /// Waits until the state differs from this one.
    pub(crate) fn wait(&self, paths: &[String], more: &BTreeSet<String>) {
        while Snapshot::take(paths, more) == *self {
            std::thread::sleep(PAUSE);
        }
    }

    /// Adds the state of files that this snapshot does not have.
    pub(crate) fn extend(&mut self, paths: &[String], more: &BTreeSet<String>) {
        for (name, state) in Snapshot::take(paths, more).files {
            self.files.entry(name).or_insert(state);
        }
    }
}

/// Clears a terminal; leaves other outputs alone.
pub(crate) fn clear_screen() {
    let mut error = std::io::stderr();
    if error.is_terminal() {
        let _closed = error.write_all(CLEAR.as_bytes());
    }
}
