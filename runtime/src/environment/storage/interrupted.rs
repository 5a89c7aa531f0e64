//! Repeats calls that a signal may interrupt (`EINTR`), as happens on network file systems and FUSE.

use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Repeats a call for as long as a signal interrupts it. Rust's library repeats opening, syncing, `read_exact` and
/// `write_all`, but not `stat`, listing, renaming, removing, locking and making directories; rustix repeats nothing.
///
/// # Errors
/// All errors of the call except [`ErrorKind::Interrupted`].
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Lists a directory and collects what `keep` returns for its entries, in no order. An interrupted listing can't be
/// continued, so it is repeated from the start.
///
/// # Errors
/// When the directory can't be listed, or `keep` fails.
pub fn list_directory<T>(
    path: &Path,
    mut keep: impl FnMut(&DirEntry) -> io::Result<Option<T>>,
) -> io::Result<Vec<T>> {
    uninterrupted(|| {
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(path)? {
            kept.extend(keep(&entry?)?);
        }
        Ok(kept)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_made_again_and_other_errors_are_returned() {
        let mut outcomes = vec![Ok(7), Err(ErrorKind::Interrupted), Err(ErrorKind::Interrupted)];
        let called = uninterrupted(|| outcomes.pop().unwrap().map_err(io::Error::from));
        assert_eq!(called.unwrap(), 7);
        let refused = uninterrupted(|| Err::<(), _>(ErrorKind::PermissionDenied.into()));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn an_interrupted_listing_gives_each_entry_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let mut seen = 0;
        let listed = list_directory(folder.path(), |entry| {
            seen += 1;
            match seen {
                2 | 5 => Err(ErrorKind::Interrupted.into()),
                _ => Ok(Some(entry.file_name())),
            }
        });
        let mut names = listed.unwrap();
        names.sort();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
