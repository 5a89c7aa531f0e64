//! Reads a ledger, and begins to write it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::{Entry, Kind};
use super::{
    Commit, FileNumbers, FileRecord, FileState, Incarnations, Ledger, LedgerError, entry_name, numbers,
};
use crate::tools::arrived::Known;
use crate::tools::file_writer::error::{FileError, Operation};
use crate::tools::file_writer::file_system::FileSystem;
use crate::tools::file_writer::names::{below, file_name, join};

/// The end of an entry's temporary name.
const TEMPORARY: &str = ".tmp";

/// Reads the entry of this number; none if it does not exist. The names of its files are relative to the root.
pub(super) async fn read<F: FileSystem>(
    files: &F,
    root: &str,
    directory: &str,
    number: u64,
) -> Result<Option<Entry>, LedgerError> {
    let path = join(directory, &entry_name(number));
    let bytes = files.read(&path).await.map_err(FileError::of(Operation::Read, &path))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let entry = Entry::decode(&bytes).and_then(|entry| match entry.number == number {
        true => Ok(entry),
        false => Err("it is another entry under this name"),
    });
    let mut entry = entry.map_err(|what| LedgerError::Damaged { path, what })?;
    if entry.version == 1 && !weir_runtime::put_back!("old_root_believed") {
        for file in &mut entry.files {
            place_below(files, root, file).await?;
        }
    }
    Ok(Some(entry))
}

/// Makes the names of a file in an entry of version 1 relative to the root. The entry has paths with the root as it was
/// spelled then, and the root may have been renamed since. File names are never used twice, so the file is at the end
/// of its path that leads from the root to a file of this name.
async fn place_below<F: FileSystem>(files: &F, root: &str, file: &mut FileRecord) -> Result<(), LedgerError> {
    let directory = |path: &str| path.rsplit_once('/').map_or("", |(directory, _)| directory).to_string();
    let unchanged = below(root, &file.complete).map(&directory);
    let path = directory(&file.complete);
    let mut ends: Vec<&str> = unchanged.iter().map(String::as_str).collect();
    let mut end = path.trim_start_matches('/');
    loop {
        ends.push(end);
        match end.split_once('/') {
            Some((_, rest)) => end = rest,
            None if end.is_empty() => break,
            None => end = "",
        }
    }
    // A file that is found nowhere has been moved away, and its place does not matter.
    let mut place = ends[0];
    for end in &ends {
        let names = [&file.temporary, &file.complete].map(|path| join(end, file_name(path)));
        let mut found = false;
        for path in names.map(|name| join(root, &name)) {
            let length = files.length(&path).await.map_err(FileError::of(Operation::Read, &path))?;
            found |= length.is_some();
        }
        if found {
            place = end;
            break;
        }
    }
    file.temporary = join(place, file_name(&file.temporary));
    file.complete = join(place, file_name(&file.complete));
    Ok(())
}

/// Reads the entries that count, the oldest first: from the last whole entry, or from number 1.
async fn read_all<F: FileSystem>(files: &F, root: &str, directory: &str) -> Result<Vec<Entry>, LedgerError> {
    loop {
        let numbers = numbers(files, directory).await?;
        let Some(highest) = numbers.last().copied() else { return Ok(Vec::new()) };
        match read_down(files, root, directory, highest).await? {
            Some(entries) => return Ok(entries),
            // Another writer has written a whole entry and removed previous ones between listing and reading.
            None if numbers_moved(files, directory, highest).await? => {}
            None => {
                let directory = directory.to_string();
                return Err(LedgerError::Missing { number: highest, directory });
            }
        }
    }
}

async fn numbers_moved<F: FileSystem>(files: &F, directory: &str, highest: u64) -> Result<bool, LedgerError> {
    Ok(numbers(files, directory).await?.last().is_some_and(|last| *last > highest))
}

/// Reads from this number down to the last whole entry; none if an entry between them is missing.
async fn read_down<F: FileSystem>(
    files: &F,
    root: &str,
    directory: &str,
    highest: u64,
) -> Result<Option<Vec<Entry>>, LedgerError> {
    let mut entries = Vec::new();
    for number in (1..=highest).rev() {
        let Some(entry) = read(files, root, directory, number).await? else { return Ok(None) };
        let is_whole = entry.kind == Kind::Whole;
        entries.push(entry);
        if is_whole {
            break;
        }
    }
    entries.reverse();
    Ok(Some(entries))
}

/// Makes the names of the existing entries durable before the agent relies on them: the writer of the last entry may
/// have been killed before it did.
pub(super) async fn sync_entry<F: FileSystem>(
    files: &F,
    directory: &str,
    number: u64,
) -> Result<(), LedgerError> {
    if weir_runtime::put_back!("seen_entry_believed") {
        return Ok(());
    }
    let path = join(directory, &entry_name(number));
    Ok(files.sync_name(&path).await.map_err(FileError::of(Operation::Rename, &path))?)
}

/// The temporary names, without their directories, of the files that entries name, as the ledger stands now, and whether
/// the files are complete.
///
/// # Errors
/// When it can't be read.
pub(in crate::tools::file_writer) async fn named_files<F: FileSystem>(
    files: &F,
    root: &str,
    directory: &str,
) -> Result<BTreeMap<String, FileState>, LedgerError> {
    let entries = read_all(files, root, directory).await?;
    let named = entries.iter().flat_map(|entry| &entry.files);
    let named = named
        .filter(|file| file.state == FileState::Complete || !weir_runtime::put_back!("open_files_unnamed"));
    // The last record of a file counts, which may name a copy.
    let last: BTreeMap<&str, &FileRecord> = named.map(|file| (&*file.complete, file)).collect();
    Ok(last.into_values().map(|file| (file_name(&file.temporary).to_string(), file.state)).collect())
}

impl<F: FileSystem> Ledger<F> {
    /// Reads the ledger below this root, or finds that there is none yet. Nothing is changed.
    ///
    /// # Errors
    /// When it can't be read, is damaged or not whole.
    pub(in crate::tools::file_writer) async fn read(
        file_system: Arc<F>,
        component: Arc<str>,
        root: String,
        directory: String,
        instance: u32,
    ) -> Result<Ledger<F>, LedgerError> {
        let entries = read_all(&*file_system, &root, &directory).await?;
        if let Some(last) = entries.last() {
            sync_entry(&*file_system, &directory, last.number).await?;
        }
        Ok(Ledger::of(file_system, component, root, directory, instance, entries))
    }

    /// Makes the ledger of these entries.
    pub(super) fn of(
        file_system: Arc<F>,
        component: Arc<str>,
        root: String,
        directory: String,
        instance: u32,
        entries: Vec<Entry>,
    ) -> Ledger<F> {
        let (mut known, mut numbers) = (Known::default(), FileNumbers::default());
        for entry in &entries {
            entry.add_to(&mut known);
            numbers.learn(entry);
        }
        let latest = entries.iter().map(|entry| entry.latest).max().unwrap_or(i64::MIN);
        let whole = entries.iter().find(|entry| entry.kind == Kind::Whole).map_or(0, |entry| entry.number);
        let next = entries.last().map_or(1, |entry| entry.number + 1);
        let files = entries.into_iter().flat_map(|entry| entry.files);
        // The last record of a file counts.
        let foreign = files.map(|file| (file.complete.clone(), file)).collect();
        Ledger {
            file_system,
            component,
            root,
            directory,
            instance,
            next,
            whole,
            numbers,
            others: known.clone(),
            known,
            latest,
            others_changed: false,
            unrenamed: BTreeMap::new(),
            open: BTreeMap::new(),
            foreign,
            begun: None,
        }
    }

    /// Does the renames that the ledger names and that are not done, completes the files that were left open, and
    /// writes an entry that says all. These durable channels are read from now on.
    ///
    /// # Errors
    /// When one of these fails.
    pub(in crate::tools::file_writer) async fn begin(
        &mut self,
        incarnations: Incarnations,
    ) -> Result<(), LedgerError> {
        if self.begun.is_some() {
            return Ok(());
        }
        self.rename_complete().await?;
        // A commit of an earlier run that is still on its way finds its number taken, and names nothing.
        self.compact(Commit { incarnations, ..Commit::default() }).await?;
        remove_temporary(&*self.file_system, &self.directory, self.whole).await?;
        self.begun = Some(self.mark());
        Ok(())
    }
}

/// Removes temporary entries whose numbers are taken, since they can't become entries. Whether they have a writer does
/// not matter, and to ask HDFS could open an entry that its writer renames at this moment.
async fn remove_temporary<F: FileSystem>(
    files: &F,
    directory: &str,
    taken_through: u64,
) -> Result<(), LedgerError> {
    let entries = files.list(directory).await.map_err(FileError::of(Operation::List, directory))?;
    let number = |name: &str| {
        let (number, _nonce) = name.strip_prefix('.')?.strip_suffix(TEMPORARY)?.split_once('-')?;
        number.parse::<u64>().ok()
    };
    let is_taken = |name: &str| number(name).is_some_and(|number| number <= taken_through);
    for entry in entries.iter().filter(|entry| is_taken(&entry.name)) {
        let path = join(directory, &entry.name);
        files.remove(&path).await.map_err(FileError::of(Operation::Remove, &path))?;
    }
    Ok(())
}
