//! The ledger records which events are in which files, so that each event is in exactly one file.
//!
//! It is a directory of numbered entries. To complete files, the sink writes and syncs them under their temporary
//! names. It creates the next entry, which has the names of the files and the identities of their rows, by a rename
//! that refuses to overwrite. Only then it renames the files and acknowledges their events. *Creating the entry is the
//! commit*. After a crash before it, no entry names the temporary files, and their events are redelivered. After a
//! crash behind it, recovery does the renames, and redelivered events are skipped. Two writers can't create the same
//! number, so a writer that has missed an entry learns of it before it commits.
//!
//! ```text
//! close, sync ──► create entry N ──► rename files ──► acknowledge
//!                    │ exists: read it; does it have rows of ours? fail, and write the files again without them
//!                    │ error: read N; is it ours? created. Is it missing? fail
//!                    ▼ the previous entry is missing: fail, and recover
//! ```
//!
//! Now and then a *whole* entry has the complete state, and all previous entries are removed, the lowest first. A
//! writer that was suspended meanwhile could create a number that was removed. So after it has created an entry, a
//! writer checks that the previous entry exists, before it renames a file.
//!
//! A file may also be committed while it is open, up to a length. Later records of a file replace earlier ones. The
//! writer that finds the file without its writer cuts it to the last committed length and gives it its final name
//! ([`completing`]).
//!
//! Reading changes nothing ([`Ledger::read`]), so that the state can be compared with the channel's. Then a writer
//! begins the ledger ([`Ledger::begin`]) with a whole entry, before it removes or cuts a file: a commit of an earlier
//! run that still hangs finds its number taken.
//!
//! docs/ledger-format.md describes the ledger, [`entry`] its bytes.

mod completing;
mod entry;
mod error;
mod file_numbers;
mod reading;
mod recovery;
mod repair;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{debug, info, warn};
use weir_runtime::batch::Partition;
use weir_runtime::channel::{Incarnation, Reached};

use super::error::{FileError, Operation};
use super::file_system::FileSystem;
use super::names::{folder, join};
use crate::tools::arrived::{Arrived, Extent, Known, Settled};
pub(super) use completing::retire;
use entry::{Entry, Kind, PartitionRecord, VERSION};
pub(super) use entry::{FileRecord, FileState};
pub(super) use error::LedgerError;
pub(super) use file_numbers::FileNumbers;
pub(super) use recovery::named_files;
use repair::BEYOND;

/// The folder of ledgers within the sink's root.
pub(super) const FOLDER: &str = ".weir";

/// The end of an entry's name.
const ENTRY: &str = ".entry";

/// A whole entry is written after this many steps.
const STEPS_MAX: u64 = 64;

/// How often a commit tries the next number because another writer has taken one.
const ATTEMPTS_MAX: u32 = 100;

/// The incarnation of the durable channel that numbers each partition.
pub(super) type Incarnations = BTreeMap<Partition, Incarnation>;

/// The ledger of a sink.
pub(super) struct Ledger<F> {
    file_system: Arc<F>,
    /// The sink's name, for messages.
    component: Arc<str>,
    /// The directory that the names of files are relative to.
    root: String,
    directory: String,
    instance: u32,
    /// The number of the next entry.
    next: u64,
    /// The number of the last whole entry; 0 if there is none.
    whole: u64,
    known: Known,
    /// The files that were ever named.
    numbers: FileNumbers,
    /// The latest time in the name of a file.
    latest: i64,
    /// The events that had arrived before this writer began, and the events of other writers.
    others: Known,
    /// Whether `others` has changed since [`Ledger::take_others_changed`].
    others_changed: bool,
    /// Complete files of this writer's entries that are not renamed yet, by the number of the entry.
    unrenamed: BTreeMap<u64, Vec<FileRecord>>,
    /// Open files of this writer that are committed up to a length, by their temporary names.
    open: BTreeMap<String, FileRecord>,
    /// Files that earlier runs or other writers have committed and that may lack their final names, by these names: a copy
    /// takes the place of a file that can't be cut.
    foreign: BTreeMap<String, FileRecord>,
    /// The entry with which this writer began; none before that.
    begun: Option<u64>,
}

/// The content of an entry that commits files.
#[derive(Debug, Default)]
pub(super) struct Commit {
    /// Files that are synced under their temporary names. If a file has several records, the last one counts.
    pub(super) files: Vec<FileRecord>,
    /// The last record of the file whose place a copy takes. If an entry says something newer of it, the commit fails.
    pub(super) replaced: Option<FileRecord>,
    /// The events in these files that are in no earlier entry.
    pub(super) arrived: Arrived,
    /// The settled positions of the channel.
    pub(super) settled: Settled,
    /// Which lives of durable channels have numbered what has arrived.
    pub(super) incarnations: Incarnations,
    /// Durable channels of which nothing is known, and which are read from now on.
    pub(super) adopted: BTreeSet<Partition>,
    /// The latest time in the name of a file.
    pub(super) latest: i64,
}

/// Returns the directory of a sink's ledger.
pub(super) fn directory(root: &str, program: &str, sink: &str) -> String {
    join(&join(root, FOLDER), &folder(program, sink))
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
    /// Returns the events that had arrived before this writer began, and the events of other writers. Rows with these
    /// events have to be left out.
    pub(super) fn others(&self) -> &Known {
        &self.others
    }

    /// Whether other writers have added to [`Ledger::others`] since the last call.
    pub(super) fn take_others_changed(&mut self) -> bool {
        std::mem::take(&mut self.others_changed)
    }

    /// Returns the latest time in the name of a file, in microseconds.
    pub(super) fn latest(&self) -> i64 {
        self.latest
    }

    /// Returns the positions through which all events have arrived everywhere.
    pub(super) fn settled(&self) -> Settled {
        self.known.settled()
    }

    /// Returns the furthest position of each partition.
    pub(super) fn reached(&self) -> BTreeMap<Partition, Reached> {
        self.known.reached()
    }

    /// Returns the files that were ever named.
    pub(super) fn numbers(&self) -> &FileNumbers {
        &self.numbers
    }

    /// A file that has its final name and is longer than the ledger, which knows its beginning, says: the path, how
    /// much of it is known, and how long it is.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub(super) async fn outgrown(&self) -> Result<Option<(String, u64, u64)>, LedgerError> {
        for file in self.foreign.values().filter(|file| file.state == FileState::Open) {
            let path = join(&self.root, &file.complete);
            let found = self.file_system.length(&path).await;
            let found = found.map_err(FileError::of(Operation::Read, &path))?;
            if let Some(found) = found.filter(|found| *found > file.length) {
                return Ok(Some((path, file.length, found)));
            }
        }
        Ok(None)
    }

    /// Returns the number of the last entry; 0 if there is none.
    pub(super) fn mark(&self) -> u64 {
        self.next - 1
    }

    /// Whether this is the temporary name of a file that is committed and may lack its final name.
    pub(super) fn names(&self, temporary: &str) -> bool {
        let complete = || self.unrenamed.values().flatten().any(|file| file.temporary == temporary);
        self.open.contains_key(temporary) || self.foreign_of(temporary).is_some() || complete()
    }

    /// Returns the last record of the file of another run or writer that has this temporary name.
    fn foreign_of(&self, temporary: &str) -> Option<&FileRecord> {
        self.foreign.values().find(|file| file.temporary == temporary)
    }

    /// Commits files, or their beginnings, that are synced under their temporary names. Then complete ones may
    /// be renamed, and not before. Gives the entry's number, to say so by.
    ///
    /// # Errors
    /// When they are not committed, or nobody can know yet: the ledger has to be recovered.
    pub(super) async fn commit(&mut self, commit: &Commit) -> Result<u64, LedgerError> {
        #[cfg(weir_bug)]
        if weir_runtime::put_back!("renamed_before_entry") {
            for file in commit.files.iter().filter(|file| file.state == FileState::Complete) {
                completing::rename(&*self.file_system, &self.root, file).await?;
            }
        }
        let number = self.create(Kind::Step, commit).await?;
        for file in &commit.files {
            match file.state {
                FileState::Open => drop(self.open.insert(file.temporary.clone(), file.clone())),
                FileState::Complete => {
                    self.open.remove(&file.temporary);
                    self.unrenamed.entry(number).or_default().push(file.clone());
                }
            }
        }
        if self.next - self.whole > STEPS_MAX {
            self.compact(Commit::default()).await?;
        }
        Ok(number)
    }

    /// Notes that the complete files of an entry have their final names.
    pub(super) fn renamed(&mut self, number: u64) {
        self.unrenamed.remove(&number);
    }

    /// Writes down at the end of a run what is settled, if that is news, and that these channels were read until now.
    ///
    /// # Errors
    /// When it could not be written.
    pub(super) async fn finish(
        &mut self,
        settled: Settled,
        incarnations: Incarnations,
    ) -> Result<(), LedgerError> {
        // Another writer may have come with a channel of its own, and this one's is still read.
        self.catch_up().await?;
        let is_news =
            settled.iter().any(|(partition, through)| self.known.settled_of(partition) < Some(*through));
        match is_news || self.next - self.whole > 1 || self.is_read_beside(&incarnations) {
            true => self.compact(Commit { settled, incarnations, ..Commit::default() }).await,
            false => Ok(()),
        }
    }

    /// Creates an entry that says all, and removes those before it.
    async fn compact(&mut self, commit: Commit) -> Result<(), LedgerError> {
        self.rename_complete().await?;
        let number = self.create(Kind::Whole, &commit).await?;
        self.whole = number;
        self.remove_before(number).await;
        self.complete_open().await
    }

    /// Removes the entries before this one, the lowest first. Stops at the first failure, which is harmless.
    async fn remove_before(&self, number: u64) {
        let stays = |path: &str, error: &dyn std::error::Error| {
            debug!(path, "an entry that is not needed any more stays for now: {error}");
        };
        let found = match numbers(&*self.file_system, &self.directory).await {
            Ok(found) => found,
            Err(error) => return stays(&self.directory, &error),
        };
        for before in found.into_iter().filter(|found| *found < number) {
            let path = join(&self.directory, &entry_name(before));
            if let Err(error) = self.file_system.remove(&path).await {
                return stays(&path, &error);
            }
        }
    }

    /// Creates an entry that says nothing. The search for leftovers calls this after it has retired files: a writer
    /// looks for its files after it has read the entry before its own. So if no entry before this one has named a
    /// retired file, none behind it will. Afterwards the ledger knows all entries before this one.
    ///
    /// # Errors
    /// When it could not be created.
    pub(super) async fn fence(&mut self) -> Result<(), LedgerError> {
        self.create(Kind::Step, &Commit::default()).await.map(drop)
    }

    /// Checks that the files of a commit have their temporary names and lengths.
    async fn check_files(&self, files: &[FileRecord]) -> Result<(), LedgerError> {
        for FileRecord { temporary, length, state, .. } in files {
            let path = join(&self.root, temporary);
            let found = self.file_system.length(&path).await;
            let found = found.map_err(FileError::of(Operation::Read, &path))?;
            let is_there = found.is_some_and(|found| match state {
                FileState::Complete => found == *length,
                FileState::Open => found >= *length,
            });
            if !is_there {
                return Err(LedgerError::Removed { path });
            }
        }
        Ok(())
    }

    async fn create(&mut self, kind: Kind, commit: &Commit) -> Result<u64, LedgerError> {
        let Ledger { directory, .. } = &*self;
        let directory = directory.clone();
        for attempt in 0..ATTEMPTS_MAX {
            // The files may have been retired before another writer took the number of the last attempt.
            let looks = attempt == 0 || !weir_runtime::put_back!("retirements_unseen_at_the_next_number");
            if looks && !weir_runtime::put_back!("renamed_before_entry") {
                self.check_files(&commit.files).await?;
            }
            if self.others.overlaps(&commit.arrived) {
                return Err(LedgerError::Overlap { directory });
            }
            if let Some(replaced) = &commit.replaced
                && self.foreign.get(&replaced.complete) != Some(replaced)
            {
                return Err(LedgerError::Overtaken { directory });
            }
            let entry = self.entry(kind, commit)?;
            if self.put(&entry).await? {
                self.check_predecessor(entry.number).await?;
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
        for (partition, incarnation) in &commit.incarnations {
            known.numbered_by(partition, Some(*incarnation));
        }
        self.note_reads(&mut known, commit);
        known.forget();
        let partitions = known.extents().map(|(partition, extent)| {
            let mut arrived = extent.arrived.clone();
            arrived.optimize();
            let Extent { settled, incarnation, reads, .. } = *extent;
            PartitionRecord { partition: partition.clone(), settled, arrived, incarnation, reads }
        });
        let unnamed = || self.unrenamed.values().flatten().chain(self.open.values());
        let files = match kind {
            Kind::Step => commit.files.clone(),
            Kind::Whole => unnamed().chain(self.foreign.values()).cloned().collect(),
        };
        Ok(Entry {
            version: VERSION,
            kind,
            instance: self.instance,
            number: self.next,
            nonce: self.file_system.random().map_err(LedgerError::Random)?,
            latest: self.latest.max(commit.latest),
            partitions: partitions.collect(),
            files,
            numbers: match kind {
                Kind::Step => FileNumbers::default(),
                Kind::Whole => self.numbers.optimized(),
            },
        })
    }

    /// Creates an entry; `false` if its number is taken.
    async fn put(&self, entry: &Entry) -> Result<bool, LedgerError> {
        let path = join(&self.directory, &entry_name(entry.number));
        let temporary = join(&self.directory, &format!(".{:020}-{:016x}.tmp", entry.number, entry.nonce));
        let (bytes, files) = (entry.encode(), &*self.file_system);
        // With an entry that can't be read, all of the ledger would be lost.
        match Entry::decode(&bytes) {
            Ok(read) if read == *entry => {}
            Ok(_) => return Err(LedgerError::Unreadable { path, what: "it would say something else" }),
            Err(what) => return Err(LedgerError::Unreadable { path, what }),
        }
        let create = files.create_new(&temporary).await;
        let mut file = create.map_err(FileError::of(Operation::Create, &temporary))?;
        let written = files.write(&mut file, bytes.clone().into()).await;
        written.map_err(FileError::of(Operation::Write, &temporary))?;
        files.close(&mut file).await.map_err(FileError::of(Operation::Close, &temporary))?;
        let renamed = files.rename_no_replace(&temporary, &path).await;
        let Err(error) = renamed else { return Ok(true) };
        // The content of the entry tells whether this rename created it, or another writer's.
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

    /// Checks that the entry before a new one exists. Entries are removed the lowest first, so if the previous entry
    /// exists, the number of the new one was never taken and removed before.
    async fn check_predecessor(&self, number: u64) -> Result<(), LedgerError> {
        let numbers = numbers(&*self.file_system, &self.directory).await?;
        let last = numbers.last().copied().unwrap_or_default();
        let (is_last, repaired) = (last <= number, last >= number.saturating_add(BEYOND / 2));
        if (numbers.contains(&(number - 1)) && !repaired) || (number == 1 && is_last) {
            return Ok(());
        }
        // The entry counts for nothing: it is below a whole entry, or the ledger was moved away. It is removed, so that
        // no reader takes it for the beginning of the ledger.
        let path = join(&self.directory, &entry_name(number));
        self.file_system.remove(&path).await.map_err(FileError::of(Operation::Remove, &path))?;
        let directory = self.directory.clone();
        Err(match is_last {
            true => LedgerError::Removed { path: directory },
            false => LedgerError::Overtaken { directory },
        })
    }

    /// Reads the entries that other writers have added.
    async fn catch_up(&mut self) -> Result<(), LedgerError> {
        while let Some(entry) =
            recovery::read(&*self.file_system, &self.root, &self.directory, self.next).await?
        {
            recovery::sync_entry(&*self.file_system, &self.directory, entry.number).await?;
            // The search for leftovers of this sink adds entries that say nothing.
            if entry.instance != self.instance {
                info!(
                    component = &*self.component,
                    "another writer ({:08x}) of {} has added entry {}; events that it names are left out here",
                    entry.instance,
                    self.directory,
                    entry.number
                );
            }
            entry.partitions.iter().for_each(|record| record.add_to(&mut self.others, entry.number));
            self.others_changed |= !entry.partitions.is_empty();
            if entry.kind == Kind::Whole {
                self.whole = entry.number;
            }
            // An entry of another writer may repeat older records of this writer's files, which are ignored.
            let foreign = entry.files.iter().filter(|file| !self.open.contains_key(&file.temporary));
            self.foreign.extend(foreign.map(|file| (file.complete.clone(), file.clone())));
            self.learn(&entry);
            self.next += 1;
        }
        Ok(())
    }

    fn learn(&mut self, entry: &Entry) {
        self.latest = self.latest.max(entry.latest);
        self.numbers.learn(entry);
        let forgotten = entry.add_to(&mut self.known);
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

/// Returns the numbers of the existing entries, in ascending order.
async fn numbers<F: FileSystem>(files: &F, directory: &str) -> Result<Vec<u64>, LedgerError> {
    let entries = files.list(directory).await.map_err(FileError::of(Operation::List, directory))?;
    let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| number_of(&entry.name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
