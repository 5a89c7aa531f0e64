//! The ledger: which events are in which files, so that each is in one, whatever happens between.
//!
//! It is a directory of numbered entries. To complete files, the sink writes and syncs them under
//! their temporary names, creates the next entry with their names and the identities of their rows
//! by a rename that refuses to overwrite, and only then renames and acknowledges them. *Creating the
//! entry is the commit*: a crash before it leaves temporary files that nobody names, and their events
//! come again; a crash behind it leaves renames that recovery does, and events that are skipped when
//! they come again. Since two writers can't create the same number, a writer that has missed an entry
//! learns of it before it does harm.
//!
//! ```text
//! close, sync ──► create entry N ──► rename files ──► acknowledge
//!                    │ exists: read it; its rows among ours? fail, and write them again without
//!                    │ error: read N; it is ours? created. It is not there? fail
//!                    ▼ the entry before is not there: the run is over, recover
//! ```
//!
//! Every so many entries one says all that is known, and those before it are removed. A writer that
//! slept through that could create a number that was removed: so it looks, having created it, whether
//! the one before is there, before it renames anything. The lowest are removed first.
//!
//! Recovery ends with such an entry, before anything is removed that no entry names: a commit of an
//! earlier run that is still on its way finds its number taken.
//!
//! docs/ledger-format.md has the whole of it, [`entry`] the bytes.

mod entry;
mod known;
mod recovery;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;
use tracing::{debug, info, warn};
use weir_runtime::Failure;

use super::error::{FileError, Operation};
use super::file_system::FileSystem;
use super::names::{join, word};
pub(super) use entry::FileRecord;
use entry::{Entry, Kind, PartitionRecord};
pub(super) use known::{Arrived, Known, Settled, note};
pub(super) use recovery::named_files;

/// The folder of ledgers within the sink's root.
const FOLDER: &str = ".weir";

/// What the name of an entry ends in.
const ENTRY: &str = ".entry";

/// After so many entries one says all that is known.
const STEPS_MAX: u64 = 64;

/// How often an entry is tried under the next number because another writer was faster.
const ATTEMPTS_MAX: u32 = 100;

/// Why the ledger can't go on.
#[derive(Debug, Error)]
pub(super) enum LedgerError {
    /// An operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// No random numbers.
    #[error("the machine has no random numbers: {0}")]
    Random(getrandom::Error),
    /// Another writer has some of the rows.
    #[error(
        "another writer of {directory} has written some of these events meanwhile: the files are written again without them"
    )]
    Overlap {
        /// The ledger's directory.
        directory: String,
    },
    /// Another writer went on before this one could look.
    #[error("another writer of {directory} has gone on meanwhile: what is in it is read again")]
    Overtaken {
        /// The ledger's directory.
        directory: String,
    },
    /// Somebody has removed what was being worked on.
    #[error("{path} was removed under way: its events are written again")]
    Removed {
        /// What is not there any more.
        path: String,
    },
    /// Somebody has removed entries.
    #[error(
        "entries before {number} are missing in {directory}: without them nobody knows which events have arrived; put them back, or remove the directory to begin anew, after which some events may be written twice"
    )]
    Missing {
        /// The first entry that is there.
        number: u64,
        /// The ledger's directory.
        directory: String,
    },
    /// An entry can't be read.
    #[error(
        "{path} is damaged: {what}; put back a copy, or remove the directory to begin anew, after which some events may be written twice"
    )]
    Damaged {
        /// The entry.
        path: String,
        /// In which way.
        what: &'static str,
    },
    /// A file that is committed is not the one that was written.
    #[error(
        "{path} is not as it was written: the ledger says {length} bytes with the checksum {checksum:016x}; put back a copy as {complete}"
    )]
    Changed {
        /// Where it is.
        path: String,
        /// What it would be called.
        complete: String,
        /// What it was.
        length: u64,
        /// Of what it was.
        checksum: u64,
    },
    /// The core gave events without identities.
    #[error("events came that do not say which they are, although `exactly_once` is promised")]
    Unidentified,
}

impl LedgerError {
    /// What it means for the sink: what no attempt can mend is permanent.
    pub(super) fn failure(self) -> Failure {
        match self {
            LedgerError::Missing { .. }
            | LedgerError::Damaged { .. }
            | LedgerError::Changed { .. }
            | LedgerError::Unidentified => Failure::permanent(self),
            LedgerError::File(_) => Failure::from(self),
            LedgerError::Random(_)
            | LedgerError::Removed { .. }
            | LedgerError::Overlap { .. }
            | LedgerError::Overtaken { .. } => Failure::transient(self),
        }
    }
}

/// One sink's ledger, read and ready to be written.
pub(super) struct Ledger<F> {
    file_system: Arc<F>,
    /// The sink's name, for messages.
    component: Arc<str>,
    directory: String,
    instance: u32,
    /// The number of the next entry.
    next: u64,
    /// The lowest number that may still be there.
    first: u64,
    /// The last entry that says all that is known; 0 if there is none.
    whole: u64,
    known: Known,
    /// The latest time in the name of a file.
    latest: i64,
    /// What was known before this writer began, and what others have added.
    others: Known,
    /// Whether others have added to it since it was last asked for.
    others_changed: bool,
    /// Files of this writer's entries that are not renamed yet.
    unrenamed: BTreeMap<u64, Vec<FileRecord>>,
    /// Files of other writers' entries since the last whole one.
    foreign: Vec<FileRecord>,
}

/// Files that are committed together.
#[derive(Debug, Default)]
pub(super) struct Commit {
    /// They are synced under their temporary names.
    pub(super) files: Vec<FileRecord>,
    /// What is in them.
    pub(super) arrived: Arrived,
    /// What the channel says.
    pub(super) settled: Settled,
    /// The latest time in the name of a file.
    pub(super) latest: i64,
}

/// The directory of a sink's ledger.
pub(super) fn directory(root: &str, program: &str, sink: &str) -> String {
    join(&join(root, FOLDER), &format!("{}.{}", word(program), word(sink)))
}

fn entry_name(number: u64) -> String {
    format!("{number:020}{ENTRY}")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENTRY)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

impl<F: FileSystem> Ledger<F> {
    /// What had arrived when this writer began, and what other writers have added since: the rows
    /// that have to be left out.
    pub(super) fn others(&self) -> &Known {
        &self.others
    }

    /// Whether other writers have added to [`Ledger::others`] since this was last asked.
    pub(super) fn take_others_changed(&mut self) -> bool {
        std::mem::take(&mut self.others_changed)
    }

    /// The latest time in the name of a file, in microseconds.
    pub(super) fn latest(&self) -> i64 {
        self.latest
    }

    /// Through which positions everything has arrived everywhere.
    pub(super) fn settled(&self) -> Settled {
        self.known.settled()
    }

    /// Commits files that are synced under their temporary names. Then they may be renamed, and not
    /// before. Gives the number to say so by.
    ///
    /// # Errors
    /// When they are not committed, or nobody can know yet: the ledger has to be recovered.
    pub(super) async fn commit(&mut self, commit: &Commit) -> Result<u64, LedgerError> {
        for FileRecord { temporary, length, .. } in &commit.files {
            let found = self.file_system.length(temporary).await;
            if found.map_err(FileError::of(Operation::Read, temporary))? != Some(*length) {
                return Err(LedgerError::Removed { path: temporary.clone() });
            }
        }
        #[cfg(weir_bug = "renamed_before_entry")]
        for file in &commit.files {
            recovery::rename(&*self.file_system, file).await?;
        }
        let number = self.create(Kind::Step, commit).await?;
        self.unrenamed.insert(number, commit.files.clone());
        if self.next - self.whole > STEPS_MAX {
            self.compact(&Settled::new()).await?;
        }
        Ok(number)
    }

    /// Says that the files of an entry have their final names.
    pub(super) fn renamed(&mut self, number: u64) {
        self.unrenamed.remove(&number);
    }

    /// Writes down what is settled at the end of a run, if that is news.
    ///
    /// # Errors
    /// When it could not be written.
    pub(super) async fn finish(&mut self, settled: &Settled) -> Result<(), LedgerError> {
        let is_news =
            settled.iter().any(|(partition, through)| self.known.settled_of(partition) < Some(*through));
        match is_news || self.next - self.whole > 1 {
            true => self.compact(settled).await,
            false => Ok(()),
        }
    }

    /// Creates an entry that says all, and removes those before it.
    async fn compact(&mut self, settled: &Settled) -> Result<(), LedgerError> {
        // Who has written these may have died before the renames.
        for file in std::mem::take(&mut self.foreign) {
            recovery::rename(&*self.file_system, &file).await?;
        }
        let commit = Commit { settled: settled.clone(), ..Commit::default() };
        let number = self.create(Kind::Whole, &commit).await?;
        self.whole = number;
        self.remove_before(number).await;
        Ok(())
    }

    /// Removes the entries before this one, the lowest first, as far as that goes.
    async fn remove_before(&mut self, number: u64) {
        while self.first < number {
            let path = join(&self.directory, &entry_name(self.first));
            if let Err(error) = self.file_system.remove(&path).await {
                debug!(path, "an entry that is not needed any more stays for now: {error}");
                return;
            }
            self.first += 1;
        }
    }

    async fn create(&mut self, kind: Kind, commit: &Commit) -> Result<u64, LedgerError> {
        let Ledger { directory, .. } = &*self;
        let directory = directory.clone();
        for _ in 0..ATTEMPTS_MAX {
            if self.others.overlaps(&commit.arrived) {
                return Err(LedgerError::Overlap { directory });
            }
            let entry = self.entry(kind, commit)?;
            if self.put(&entry).await? {
                self.check_place(entry.number).await?;
                self.next = entry.number + 1;
                self.learn(&entry);
                return Ok(entry.number);
            }
            self.catch_up().await?;
        }
        Err(LedgerError::Overtaken { directory })
    }

    fn entry(&self, kind: Kind, commit: &Commit) -> Result<Entry, LedgerError> {
        let mut known = match kind {
            Kind::Step => Known::default(),
            Kind::Whole => self.known.clone(),
        };
        let nothing = roaring::RoaringTreemap::new();
        for (partition, positions) in &commit.arrived {
            known.add(partition, 0, positions, self.next);
        }
        for (partition, through) in &commit.settled {
            if self.known.settled_of(partition) < Some(*through) {
                known.add(partition, *through, &nothing, self.next);
            }
        }
        known.forget();
        let partitions = known.extents().map(|(partition, extent)| {
            let mut arrived = extent.arrived.clone();
            arrived.optimize();
            PartitionRecord { partition: partition.clone(), settled: extent.settled, arrived }
        });
        let files = match kind {
            Kind::Step => commit.files.clone(),
            Kind::Whole => self.unrenamed.values().flatten().cloned().collect(),
        };
        Ok(Entry {
            kind,
            instance: self.instance,
            number: self.next,
            nonce: getrandom::u64().map_err(LedgerError::Random)?,
            latest: self.latest.max(commit.latest),
            partitions: partitions.collect(),
            files,
        })
    }

    /// Creates an entry; `false` if another has its number.
    async fn put(&self, entry: &Entry) -> Result<bool, LedgerError> {
        let path = join(&self.directory, &entry_name(entry.number));
        let temporary = join(&self.directory, &format!(".{:020}-{:016x}.tmp", entry.number, entry.nonce));
        let (bytes, files) = (entry.encode(), &*self.file_system);
        let create = files.create_new(&temporary).await;
        let mut file = create.map_err(FileError::of(Operation::Create, &temporary))?;
        let written = files.write(&mut file, bytes.clone().into()).await;
        written.map_err(FileError::of(Operation::Write, &temporary))?;
        files.close(&mut file).await.map_err(FileError::of(Operation::Close, &temporary))?;
        let renamed = files.rename_no_replace(&temporary, &path).await;
        let Err(error) = renamed else { return Ok(true) };
        // Whether it was this rename or another writer's, the entry itself tells.
        match files.read(&path).await.map_err(FileError::of(Operation::Read, &path))? {
            None => Err(FileError::of(Operation::Rename, &temporary)(error).into()),
            Some(found) if found == bytes => {
                let synced = files.sync_name(&path).await;
                synced.map_err(FileError::of(Operation::Rename, &temporary))?;
                Ok(true)
            }
            Some(_) => {
                if let Err(error) = files.remove(&temporary).await {
                    debug!(path = temporary, "it stays until the ledger is recovered: {error}");
                }
                Ok(false)
            }
        }
    }

    /// Looks whether an entry that was just created has the ledger before it. Entries are removed the
    /// lowest first: where the one before is there, this one can't have been there and been removed.
    async fn check_place(&self, number: u64) -> Result<(), LedgerError> {
        let numbers = numbers(&*self.file_system, &self.directory).await?;
        let is_last = numbers.iter().all(|other| *other <= number);
        if numbers.contains(&(number - 1)) || (number == 1 && is_last) {
            return Ok(());
        }
        // Nobody relies on it: it lies below an entry that says all, or the ledger was taken away. It
        // is taken back, so that nobody takes it for the ledger's beginning.
        let path = join(&self.directory, &entry_name(number));
        self.file_system.remove(&path).await.map_err(FileError::of(Operation::Remove, &path))?;
        let directory = self.directory.clone();
        Err(match is_last {
            true => LedgerError::Removed { path: directory },
            false => LedgerError::Overtaken { directory },
        })
    }

    /// Reads what other writers have added.
    async fn catch_up(&mut self) -> Result<(), LedgerError> {
        while let Some(entry) = recovery::read(&*self.file_system, &self.directory, self.next).await? {
            recovery::sync_entry(&*self.file_system, &self.directory, entry.number).await?;
            let Ledger { component, directory, .. } = self;
            info!(
                component = &**component,
                "another writer ({:08x}) of {directory} has added entry {}; its events are left out here",
                entry.instance,
                entry.number
            );
            for record in &entry.partitions {
                self.others.add(&record.partition, record.settled, &record.arrived, entry.number);
            }
            self.others_changed = true;
            if entry.kind == Kind::Whole {
                self.whole = entry.number;
            }
            self.foreign.extend_from_slice(&entry.files);
            self.learn(&entry);
            self.next += 1;
        }
        Ok(())
    }

    fn learn(&mut self, entry: &Entry) {
        self.latest = self.latest.max(entry.latest);
        let forgotten = self.known.learn(entry);
        if forgotten > 0 {
            warn!(
                component = &*self.component,
                "too many partitions are known in {}: the {forgotten} that moved longest ago are forgotten; what \
                 is still there of them is written again when its source begins again",
                self.directory
            );
        }
    }
}

/// The numbers of the entries that are there.
async fn numbers<F: FileSystem>(files: &F, directory: &str) -> Result<Vec<u64>, LedgerError> {
    let entries = files.list(directory).await.map_err(FileError::of(Operation::List, directory))?;
    let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| number_of(&entry.name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
