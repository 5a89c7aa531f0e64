//! Decides when a file on HDFS is complete.
//!
//! The client does not know whether a file is open. A file counts as complete when its length and modification time have
//! been the same for a while. While a complete file changes again, it is reported with its previous stamp.
//!
//! The length of an open file without syncs has complete blocks only. So a file that ends with a block may be one whose
//! writer is slow, and has to stay unchanged for longer.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::components::files::source::seam::Stamp;

/// How long a file that ends with a block has to stay unchanged at least.
const BLOCK_END_WAIT: Duration = Duration::from_secs(3600);

/// The files that the scans have found, with their lengths and times of change.
#[derive(Debug)]
pub(super) struct Settling {
    settle: Duration,
    files: HashMap<PathBuf, Seen>,
    /// The number of the present scan.
    scan: u64,
    /// Whether no scan has been complete yet, so that it is unknown which files are new.
    first: bool,
}

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    since: Instant,
    /// The stamp with which the file was complete.
    settled: Option<Stamp>,
    /// Whether the file was not there at an earlier scan, and was not reported since.
    returned: bool,
    scan: u64,
}

/// The result of a look at a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sighting {
    /// It is not complete, and was not since the source runs.
    Unsettled,
    /// It is complete, or was complete with this stamp and changes again.
    Settled {
        stamp: Stamp,
        /// Whether the path was free before, so that this is another file than one that was read there.
        returned: bool,
    },
}

impl Settling {
    pub(super) fn new(settle: Duration) -> Settling {
        Settling { settle, files: HashMap::new(), scan: 0, first: true }
    }

    /// Begins a scan.
    pub(super) fn begin(&mut self) {
        self.scan += 1;
    }

    /// Notes a file that the present scan has found.
    pub(super) fn see(&mut self, path: &Path, stamp: Stamp, block_bytes: u64, now: Instant) -> Sighting {
        let (scan, first) = (self.scan, self.first);
        let new = || Seen { stamp, since: now, settled: None, returned: !first, scan };
        let seen = self.files.entry(path.to_path_buf()).or_insert_with(new);
        seen.scan = scan;
        if seen.stamp != stamp {
            (seen.stamp, seen.since) = (stamp, now);
        }
        let ends_with_block = block_bytes > 0 && stamp.length.is_multiple_of(block_bytes);
        let wait = if ends_with_block { self.settle.max(BLOCK_END_WAIT) } else { self.settle };
        if now.duration_since(seen.since) >= wait {
            seen.settled = Some(stamp);
        }
        match seen.settled {
            None => Sighting::Unsettled,
            Some(stamp) => Sighting::Settled { stamp, returned: std::mem::take(&mut seen.returned) },
        }
    }

    /// Ends a scan. If it was complete, files that it has not found are gone.
    pub(super) fn end(&mut self, complete: bool) {
        if complete {
            self.first = false;
            let scan = self.scan;
            self.files.retain(|_, seen| seen.scan == scan);
        }
    }

    /// The stamp with which a file is complete now; none if it is not.
    pub(super) fn settled(&self, path: &Path) -> Option<Stamp> {
        let seen = self.files.get(path)?;
        seen.settled.filter(|settled| *settled == seen.stamp)
    }

    /// Notes that a file is not complete although it did not change.
    pub(super) fn unsettle(&mut self, path: &Path, now: Instant) {
        if let Some(seen) = self.files.get_mut(path) {
            (seen.settled, seen.since) = (None, now);
        }
    }

    /// Notes that the source has renamed or removed a file: a file that is found at its path is another one.
    pub(super) fn forget(&mut self, path: &Path) {
        self.files.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 100;

    fn stamp(length: u64, modified: i128) -> Stamp {
        Stamp { length, modified }
    }

    struct Scans {
        settling: Settling,
        begin: Instant,
    }

    impl Scans {
        fn new() -> Scans {
            Scans { settling: Settling::new(Duration::from_secs(10)), begin: Instant::now() }
        }

        /// A scan at this second that finds these files.
        fn scan(&mut self, second: u64, files: &[(&str, Stamp)]) -> Vec<Sighting> {
            let now = self.begin + Duration::from_secs(second);
            self.settling.begin();
            let seen =
                files.iter().map(|(path, stamp)| self.settling.see(Path::new(path), *stamp, BLOCK, now));
            let seen = seen.collect();
            self.settling.end(true);
            seen
        }
    }

    fn settled(stamp: Stamp) -> Sighting {
        Sighting::Settled { stamp, returned: false }
    }

    #[test]
    fn a_file_is_complete_when_it_has_not_changed_for_a_while() {
        let mut scans = Scans::new();
        assert_eq!(scans.scan(0, &[("/a", stamp(7, 1))]), [Sighting::Unsettled]);
        assert_eq!(scans.scan(9, &[("/a", stamp(8, 2))]), [Sighting::Unsettled]);
        assert_eq!(scans.scan(18, &[("/a", stamp(8, 2))]), [Sighting::Unsettled]);
        assert_eq!(scans.scan(19, &[("/a", stamp(8, 2))]), [settled(stamp(8, 2))]);
        assert_eq!(scans.settling.settled(Path::new("/a")), Some(stamp(8, 2)));
    }

    #[test]
    fn a_complete_file_that_grows_keeps_its_stamp_until_it_is_complete_again() {
        let mut scans = Scans::new();
        scans.scan(0, &[("/a", stamp(7, 1))]);
        scans.scan(10, &[("/a", stamp(7, 1))]);
        assert_eq!(scans.scan(20, &[("/a", stamp(9, 2))]), [settled(stamp(7, 1))]);
        assert_eq!(scans.settling.settled(Path::new("/a")), None, "it is not opened meanwhile");
        assert_eq!(scans.scan(30, &[("/a", stamp(9, 2))]), [settled(stamp(9, 2))]);
    }

    #[test]
    fn a_file_at_a_path_that_was_free_is_another_one() {
        let mut scans = Scans::new();
        scans.scan(0, &[("/a", stamp(7, 1)), ("/b", stamp(7, 1))]);
        scans.scan(10, &[("/a", stamp(7, 1)), ("/b", stamp(7, 1))]);
        scans.settling.forget(Path::new("/a"));
        scans.scan(20, &[("/a", stamp(9, 2))]);
        scans.scan(30, &[("/a", stamp(9, 2)), ("/b", stamp(9, 2))]);
        let seen = scans.scan(40, &[("/a", stamp(9, 2)), ("/b", stamp(9, 2))]);
        assert_eq!(seen[1], Sighting::Settled { stamp: stamp(9, 2), returned: true });
        assert_eq!(seen[0], settled(stamp(9, 2)), "it was reported by the scan before");
    }

    #[test]
    fn a_file_that_ends_with_a_block_may_be_open_for_long() {
        let mut scans = Scans::new();
        scans.scan(0, &[("/a", stamp(200, 1))]);
        assert_eq!(scans.scan(1_000, &[("/a", stamp(200, 1))]), [Sighting::Unsettled]);
        assert_eq!(scans.scan(3_600, &[("/a", stamp(200, 1))]), [settled(stamp(200, 1))]);
    }
}
