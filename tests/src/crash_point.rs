//! Moments of a run at which a test crashes it, recognised by the files on disk while the process is stopped.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// A moment of a run at which a crash is worth a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// Events are in files that the ledger does not name yet.
    Unsynced,
    /// The ledger has an entry of files that still have their temporary names.
    LedgerWritten,
    /// The channel's log has a new segment without records.
    SegmentRoll,
    /// The run recovers the state of the previous run: no input file is open yet or, without a channel on disk, the ledger
    /// has its first entry of this run.
    Recovery,
}

impl Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CrashPoint::Unsynced => "between a write and its sync",
            CrashPoint::LedgerWritten => "between an entry of the ledger and the renames",
            CrashPoint::SegmentRoll => "between a new segment and the first record in it",
            CrashPoint::Recovery => "in recovery",
        })
    }
}

/// The directories of a pipeline from files to files, whose content shows its crash points.
#[derive(Debug)]
pub struct PipelineFiles {
    /// The directory of the input.
    pub input: PathBuf,
    /// The root directory of the output, with the ledger.
    pub output: PathBuf,
    /// The directory of the channel, if the channel is on disk.
    pub channel: Option<PathBuf>,
    entries_before: BTreeSet<PathBuf>,
    /// The newest entry of the ledger that was examined.
    newest_entry: Option<PathBuf>,
}

impl PipelineFiles {
    /// Records the entries of the ledger before a run.
    pub fn before(input: PathBuf, output: PathBuf, channel: Option<PathBuf>) -> PipelineFiles {
        let entries_before = entries(&output).into_iter().collect();
        PipelineFiles { input, output, channel, entries_before, newest_entry: None }
    }

    /// Returns whether a stopped run that has these files open is at this crash point.
    pub(crate) fn show(&mut self, point: CrashPoint, open: &[PathBuf]) -> bool {
        match point {
            CrashPoint::Unsynced => {
                let entries = self.entry_contents();
                unfinished(&self.output).iter().any(|file| {
                    let written = fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0);
                    written && !entries.iter().any(|entry| names(entry, file))
                })
            }
            CrashPoint::LedgerWritten => {
                // The complete output is searched only if there is a new entry.
                let newest = entries(&self.output).into_iter().max();
                if newest.is_none() || self.newest_entry == newest {
                    return false;
                }
                self.newest_entry = newest;
                let entries = self.entry_contents();
                unfinished(&self.output).iter().any(|file| entries.iter().any(|entry| names(entry, file)))
            }
            CrashPoint::SegmentRoll => self.channel.as_deref().is_some_and(newest_segment_is_empty),
            CrashPoint::Recovery => {
                let is_new = |entry: &&PathBuf| !self.entries_before.contains(*entry);
                match &self.channel {
                    Some(channel) => {
                        let has_channel = open.iter().any(|file| file.starts_with(channel));
                        has_channel && !open.iter().any(|file| file.starts_with(&self.input))
                    }
                    None => entries(&self.output).iter().filter(is_new).count() == 1,
                }
            }
        }
    }

    /// Reads the entries of the ledger.
    fn entry_contents(&self) -> Vec<Vec<u8>> {
        entries(&self.output).iter().filter_map(|entry| fs::read(entry).ok()).collect()
    }
}

fn entries(output: &Path) -> Vec<PathBuf> {
    let files = WalkDir::new(output.join(".weir")).into_iter().filter_map(Result::ok);
    let entries = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "entry"));
    entries.map(walkdir::DirEntry::into_path).collect()
}

/// Lists the output files with temporary names, without files of the ledger.
fn unfinished(output: &Path) -> Vec<PathBuf> {
    let outside = |file: &walkdir::DirEntry| file.file_name() != ".weir";
    let files = WalkDir::new(output).into_iter().filter_entry(outside).filter_map(Result::ok);
    let hidden = files
        .filter(|file| file.file_type().is_file() && file.file_name().as_encoded_bytes().starts_with(b"."));
    hidden.map(walkdir::DirEntry::into_path).collect()
}

/// Returns whether an entry contains a file's name.
fn names(entry: &[u8], file: &Path) -> bool {
    let Some(name) = file.file_name().map(|name| name.as_encoded_bytes()) else { return false };
    entry.windows(name.len()).any(|window| window == name)
}

/// Returns whether the log's last segment has a header (its length is at byte 96) and no record after it.
fn newest_segment_is_empty(channel: &Path) -> bool {
    let Ok(folder) = fs::read_dir(channel) else { return false };
    let paths = folder.filter_map(Result::ok).map(|file| file.path());
    let segments = paths.filter(|path| path.extension().is_some_and(|extension| extension == "segment"));
    let mut segments: Vec<PathBuf> = segments.collect();
    segments.sort();
    // The first segment of a log is no roll, since there is no earlier segment.
    if segments.first().is_none_or(|path| path.ends_with("0000000000000001.segment") && segments.len() == 1) {
        return false;
    }
    let Some(Ok(file)) = segments.last().map(fs::File::open) else { return false };
    let (mut header, mut record) = ([0; 100], [0; 64]);
    if file.read_exact_at(&mut header, 0).is_err() || &header[..8] != b"WEIRSEGM" {
        return false;
    }
    let length = u32::from_le_bytes([header[96], header[97], header[98], header[99]]);
    file.read_exact_at(&mut record, u64::from(length)).is_ok() && record == [0; 64]
}
