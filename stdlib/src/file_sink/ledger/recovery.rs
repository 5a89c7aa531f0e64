//! Reading a ledger, and doing what it says was begun.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::info;

use super::entry::{Entry, Kind};
use super::known::Known;
use super::{FileRecord, Ledger, LedgerError, Settled, entry_name, numbers};
use crate::file_sink::error::{FileError, Operation};
use crate::file_sink::file_system::FileSystem;
use crate::file_sink::names::join;

/// What an entry's temporary name ends in.
const TEMPORARY: &str = ".tmp";

/// Reads the entry of this number; none if it is not there.
pub(super) async fn read<F: FileSystem>(
    files: &F,
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
    entry.map(Some).map_err(|what| LedgerError::Damaged { path, what })
}

/// The entries that count, the oldest first: from the last that says all, or from the first of all.
async fn read_all<F: FileSystem>(files: &F, directory: &str) -> Result<(Vec<Entry>, u64), LedgerError> {
    loop {
        let numbers = numbers(files, directory).await?;
        let Some((lowest, highest)) = numbers.first().copied().zip(numbers.last().copied()) else {
            return Ok((Vec::new(), 1));
        };
        match read_down(files, directory, highest).await? {
            Some(entries) => return Ok((entries, lowest)),
            // Another writer has made a whole one and removed others between listing and reading.
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

/// Reads from this number down to the last entry that says all; none if one is missing on the way.
async fn read_down<F: FileSystem>(
    files: &F,
    directory: &str,
    highest: u64,
) -> Result<Option<Vec<Entry>>, LedgerError> {
    let mut entries = Vec::new();
    for number in (1..=highest).rev() {
        let Some(entry) = read(files, directory, number).await? else { return Ok(None) };
        let is_whole = entry.kind == Kind::Whole;
        entries.push(entry);
        if is_whole {
            break;
        }
    }
    entries.reverse();
    Ok(Some(entries))
}

/// Gives a committed file its final name, if it has not got it yet.
///
/// A file that has neither name had its final one, and somebody has taken it away since: that is what
/// files are for.
pub(super) async fn rename<F: FileSystem>(files: &F, file: &FileRecord) -> Result<bool, LedgerError> {
    let FileRecord { temporary, complete, length, checksum } = file;
    let found = files.length(temporary).await.map_err(FileError::of(Operation::Read, temporary))?;
    let Some(found) = found else {
        sync_name(files, complete).await?;
        return Ok(false);
    };
    let same = found == *length
        && files.checksum(temporary).await.map_err(FileError::of(Operation::Read, temporary))? == *checksum;
    if !same {
        return Err(LedgerError::Changed {
            path: temporary.clone(),
            complete: complete.clone(),
            length: *length,
            checksum: *checksum,
        });
    }
    let renamed = files.rename_no_replace(temporary, complete).await;
    match renamed {
        Ok(()) => Ok(true),
        // Its writer, or an earlier attempt whose answer was lost, was faster.
        Err(error) => match files.length(temporary).await {
            Ok(None) => {
                sync_name(files, complete).await?;
                Ok(true)
            }
            Ok(Some(_)) | Err(_) => Err(FileError::of(Operation::Rename, temporary)(error).into()),
        },
    }
}

/// Makes a final name durable that is there already: whoever gave it may have been killed before that, and the
/// entry that could do it again is about to go.
async fn sync_name<F: FileSystem>(files: &F, complete: &str) -> Result<(), LedgerError> {
    if cfg!(weir_bug = "given_name_not_synced") {
        return Ok(());
    }
    let there = files.length(complete).await.map_err(FileError::of(Operation::Read, complete))?.is_some();
    if there {
        files.sync_name(complete).await.map_err(FileError::of(Operation::Rename, complete))?;
    }
    Ok(())
}

/// Makes the names of the entries that can be seen durable, before anything is done that rests on them: whoever wrote
/// the last one may have been killed before that.
pub(super) async fn sync_entry<F: FileSystem>(
    files: &F,
    directory: &str,
    number: u64,
) -> Result<(), LedgerError> {
    if cfg!(weir_bug = "seen_entry_believed") {
        return Ok(());
    }
    let path = join(directory, &entry_name(number));
    Ok(files.sync_name(&path).await.map_err(FileError::of(Operation::Rename, &path))?)
}

/// The temporary names of the files that entries name, as the ledger stands now.
///
/// # Errors
/// When it can't be read.
pub(in crate::file_sink) async fn named_files<F: FileSystem>(
    files: &F,
    directory: &str,
) -> Result<BTreeSet<String>, LedgerError> {
    let (entries, _) = read_all(files, directory).await?;
    Ok(entries.into_iter().flat_map(|entry| entry.files).map(|file| file.temporary).collect())
}

impl<F: FileSystem> Ledger<F> {
    /// Reads a ledger, and does the renames that it names and that are not done. Where there is none,
    /// it begins with the first commit.
    ///
    /// # Errors
    /// When it can't be read, is damaged or not whole, or a rename fails.
    pub(in crate::file_sink) async fn recover(
        file_system: Arc<F>,
        component: Arc<str>,
        directory: String,
        instance: u32,
    ) -> Result<Ledger<F>, LedgerError> {
        let (entries, first) = read_all(&*file_system, &directory).await?;
        if let Some(last) = entries.last() {
            sync_entry(&*file_system, &directory, last.number).await?;
        }
        let (mut known, mut renamed) = (Known::default(), 0);
        let latest = entries.iter().map(|entry| entry.latest).max().unwrap_or(i64::MIN);
        for entry in &entries {
            known.learn(entry);
            #[cfg(not(weir_bug = "recovery_renames_nothing"))]
            for file in &entry.files {
                renamed += u64::from(rename(&*file_system, file).await?);
            }
        }
        if renamed > 0 {
            info!(
                component = &*component,
                "gave {renamed} files their final names that an earlier run had completed"
            );
        }
        remove_temporary(&*file_system, &directory).await?;
        let whole = entries.iter().find(|entry| entry.kind == Kind::Whole).map_or(0, |entry| entry.number);
        let next = entries.last().map_or(1, |entry| entry.number + 1);
        let mut ledger = Ledger {
            file_system,
            component,
            directory,
            instance,
            next,
            first,
            whole,
            others: known.clone(),
            known,
            latest,
            others_changed: false,
            unrenamed: Default::default(),
            foreign: Vec::new(),
        };
        // A commit of an earlier run that is still on its way finds its number taken, and names nothing.
        ledger.compact(&Settled::new()).await?;
        Ok(ledger)
    }
}

/// Removes entries that were never created, unless their writer lives.
async fn remove_temporary<F: FileSystem>(files: &F, directory: &str) -> Result<(), LedgerError> {
    let entries = files.list(directory).await.map_err(FileError::of(Operation::List, directory))?;
    for entry in entries.iter().filter(|entry| entry.name.ends_with(TEMPORARY)) {
        let path = join(directory, &entry.name);
        let abandoned = files.is_abandoned(&path).await;
        if abandoned.map_err(FileError::of(Operation::Remove, &path))? {
            files.remove(&path).await.map_err(FileError::of(Operation::Remove, &path))?;
        }
    }
    Ok(())
}
