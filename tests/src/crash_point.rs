//! Moments of a run at which a crash is worth a test, told from what lies on disk while the run is held.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// A moment between two steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Events stand in files that nothing vouches for yet.
    Unsynced,
    /// The ledger has an entry of files that still have their temporary names.
    LedgerWritten,
    /// A new segment of the channel's log is made, and nothing stands in it.
    SegmentRoll,
    /// What the run before has left is being put in order: no input is open yet, or, without a channel on disk,
    /// the ledger has its first entry of this run.
    Recovery,
}

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Moment::Unsynced => "between a write and its sync",
            Moment::LedgerWritten => "between an entry of the ledger and the renames",
            Moment::SegmentRoll => "between a new segment and the first record in it",
            Moment::Recovery => "in recovery",
        })
    }
}

/// What a pipeline from files to files leaves on disk, by which its moments are told.
#[derive(Debug)]
pub struct Traces {
    /// Where its input lies.
    pub input: PathBuf,
    /// The root of its output, with the ledger.
    pub output: PathBuf,
    /// The directory of its channel, if it has one.
    pub channel: Option<PathBuf>,
    entries_before: BTreeSet<PathBuf>,
    /// The last entry of the ledger that was looked at.
    newest_entry: Option<PathBuf>,
}

impl Traces {
    /// Takes note of what is there before a run.
    pub fn before(input: PathBuf, output: PathBuf, channel: Option<PathBuf>) -> Traces {
        let entries_before = entries(&output).into_iter().collect();
        Traces { input, output, channel, entries_before, newest_entry: None }
    }

    /// Whether a run that is held, with these files open, has come to this moment.
    pub(crate) fn show(&mut self, moment: Moment, open: &[PathBuf]) -> bool {
        match moment {
            Moment::Unsynced => {
                let vouched = self.vouched();
                unfinished(&self.output).iter().any(|file| {
                    let written = fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0);
                    written && !vouched.iter().any(|entry| names(entry, file))
                })
            }
            Moment::LedgerWritten => {
                // All of the output is looked through only when there is a new entry.
                let newest = entries(&self.output).into_iter().max();
                if newest.is_none() || self.newest_entry == newest {
                    return false;
                }
                self.newest_entry = newest;
                let vouched = self.vouched();
                unfinished(&self.output).iter().any(|file| vouched.iter().any(|entry| names(entry, file)))
            }
            Moment::SegmentRoll => self.channel.as_deref().is_some_and(newest_segment_is_empty),
            Moment::Recovery => {
                let is_new = |entry: &&PathBuf| !self.entries_before.contains(*entry);
                match &self.channel {
                    Some(channel) => {
                        let begun = open.iter().any(|file| file.starts_with(channel));
                        begun && !open.iter().any(|file| file.starts_with(&self.input))
                    }
                    None => entries(&self.output).iter().filter(is_new).count() == 1,
                }
            }
        }
    }

    /// The entries of the ledger, as they stand there.
    fn vouched(&self) -> Vec<Vec<u8>> {
        entries(&self.output).iter().filter_map(|entry| fs::read(entry).ok()).collect()
    }
}

fn entries(output: &Path) -> Vec<PathBuf> {
    let files = WalkDir::new(output.join(".weir")).into_iter().filter_map(Result::ok);
    let entries = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "entry"));
    entries.map(walkdir::DirEntry::into_path).collect()
}

/// Files with temporary names, those of the ledger itself left out.
fn unfinished(output: &Path) -> Vec<PathBuf> {
    let outside = |file: &walkdir::DirEntry| file.file_name() != ".weir";
    let files = WalkDir::new(output).into_iter().filter_entry(outside).filter_map(Result::ok);
    let hidden = files
        .filter(|file| file.file_type().is_file() && file.file_name().as_encoded_bytes().starts_with(b"."));
    hidden.map(walkdir::DirEntry::into_path).collect()
}

/// Whether an entry holds a file's name.
fn names(entry: &[u8], file: &Path) -> bool {
    let Some(name) = file.file_name().map(|name| name.as_encoded_bytes()) else { return false };
    entry.windows(name.len()).any(|window| window == name)
}

/// Whether the log's last segment has its header (its length at byte 96, as documented) and no record behind it.
fn newest_segment_is_empty(channel: &Path) -> bool {
    let Ok(folder) = fs::read_dir(channel) else { return false };
    let paths = folder.filter_map(Result::ok).map(|file| file.path());
    let segments = paths.filter(|path| path.extension().is_some_and(|extension| extension == "segment"));
    let mut segments: Vec<PathBuf> = segments.collect();
    segments.sort();
    // A log's first segment has rolled from none.
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
