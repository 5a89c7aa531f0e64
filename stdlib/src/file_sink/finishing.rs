//! Files on their way from their last row to their final name.
//!
//! Without a ledger a file is closed and renamed. With one, files that are closed wait for an entry,
//! which takes all that are there: while one is written, the next ones gather. Files of a directory
//! are committed in their order, so that no crash leaves a later one without an earlier one: what
//! comes again then is put behind all that is there, in the order of its partition.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use weir_runtime::Failure;

use super::error::FileError;
use super::file::{ClosedFile, Completed, OpenFile, Workshop};
use super::file_system::FileSystem;
use super::lanes::Close;
use super::ledger::{Commit, Known, Ledger, LedgerError, Settled};

/// A file's place in the order in which files were given here.
type Ticket = u64;

/// Files that are being finished, and the ledger that does it.
pub(super) struct Finishing<F: FileSystem> {
    workshop: Arc<Workshop<F>>,
    tasks: JoinSet<Outcome<F>>,
    /// How many files are here.
    files: usize,
    ledger: Option<Keeper<F>>,
    /// Closed, and in no entry yet.
    closed: BTreeMap<Ticket, Waiting<F>>,
    /// The files of each directory that are in no entry yet, in their order.
    order: HashMap<Arc<str>, VecDeque<Ticket>>,
    next: Ticket,
    /// Files of each entry that have no final name yet.
    unnamed: HashMap<u64, usize>,
    /// Entries whose files all have theirs, which the ledger has not been told of.
    named: Vec<u64>,
}

/// Where the ledger is.
enum Keeper<F> {
    /// Here.
    Idle(Box<Ledger<F>>),
    /// In a task that writes an entry.
    AtWork,
}

struct Waiting<F: FileSystem> {
    directory: Arc<str>,
    close: Close,
    file: ClosedFile<F>,
}

/// What a task comes back with.
enum Outcome<F: FileSystem> {
    Closed(Ticket, Waiting<F>),
    Committed(Box<Ledger<F>>, u64, Vec<Waiting<F>>),
    Completed(Option<u64>, Close, Completed),
    Failed(Failure),
}

/// What has come of a file.
pub(super) enum Finished {
    /// It has its final name, and its events are acknowledged.
    File(Close, Completed),
    /// Something on the way: other writers of the ledger have added to it, if so.
    Step { others_changed: bool },
}

impl<F: FileSystem> Finishing<F> {
    pub(super) fn new(workshop: Arc<Workshop<F>>, ledger: Option<Box<Ledger<F>>>) -> Finishing<F> {
        Finishing {
            workshop,
            tasks: JoinSet::new(),
            files: 0,
            ledger: ledger.map(Keeper::Idle),
            closed: BTreeMap::new(),
            order: HashMap::new(),
            next: 0,
            unnamed: HashMap::new(),
            named: Vec::new(),
        }
    }

    /// How many files are here.
    pub(super) fn files(&self) -> usize {
        self.files
    }

    /// What other writers of the ledger have, unless it is being written.
    pub(super) fn others(&self) -> Option<Known> {
        match &self.ledger {
            Some(Keeper::Idle(ledger)) => Some(ledger.others().clone()),
            _ => None,
        }
    }

    /// Takes the ledger away, at the end of a run.
    pub(super) fn take_ledger(&mut self) -> Option<Box<Ledger<F>>> {
        let Some(Keeper::Idle(mut ledger)) = self.ledger.take() else { return None };
        self.named.drain(..).for_each(|number| ledger.renamed(number));
        Some(ledger)
    }

    /// Begins to finish a file.
    pub(super) fn add(&mut self, file: OpenFile<F>, close: Close) {
        let directory: Arc<str> = file.directory().into();
        self.files += 1;
        let (workshop, ticket) = (self.workshop.clone(), self.next);
        self.next += 1;
        if self.ledger.is_none() {
            self.tasks.spawn(async move {
                let completed = async { workshop.publish(workshop.close(file).await?).await };
                let completed: Result<Completed, FileError> = completed.await;
                completed.map_or_else(Outcome::failed, |completed| Outcome::Completed(None, close, completed))
            });
            return;
        }
        self.order.entry(directory.clone()).or_default().push_back(ticket);
        self.tasks.spawn(async move {
            let closed = workshop.close(file).await;
            closed.map_or_else(Outcome::failed, |file| {
                Outcome::Closed(ticket, Waiting { directory, close, file })
            })
        });
    }

    /// The next thing that has happened; never, if nothing is being done.
    ///
    /// # Errors
    /// When one file fails, or the ledger does.
    pub(super) async fn next(&mut self) -> Option<Result<Finished, Failure>> {
        let joined = self.tasks.join_next().await?;
        Some(self.finished(joined))
    }

    fn finished(&mut self, joined: Result<Outcome<F>, JoinError>) -> Result<Finished, Failure> {
        match joined? {
            Outcome::Failed(failure) => Err(failure),
            Outcome::Closed(ticket, waiting) => {
                self.closed.insert(ticket, waiting);
                Ok(Finished::Step { others_changed: false })
            }
            Outcome::Committed(mut ledger, number, files) => {
                let others_changed = ledger.take_others_changed();
                self.ledger = Some(Keeper::Idle(ledger));
                self.unnamed.insert(number, files.len());
                files.into_iter().for_each(|waiting| self.publish(number, waiting));
                Ok(Finished::Step { others_changed })
            }
            Outcome::Completed(entry, close, completed) => {
                self.files -= 1;
                if let Some(number) = entry {
                    self.named(number);
                }
                Ok(Finished::File(close, completed))
            }
        }
    }

    fn publish(&mut self, number: u64, waiting: Waiting<F>) {
        let workshop = self.workshop.clone();
        self.tasks.spawn(async move {
            let Waiting { close, file, .. } = waiting;
            let completed = workshop.publish(file).await;
            completed
                .map_or_else(Outcome::failed, |completed| Outcome::Completed(Some(number), close, completed))
        });
    }

    /// One more file of an entry has its final name.
    fn named(&mut self, number: u64) {
        let left = self.unnamed.get_mut(&number).map_or(0, |left| {
            *left -= 1;
            *left
        });
        if left == 0 {
            self.unnamed.remove(&number);
            self.named.push(number);
        }
    }

    /// Whether files wait for an entry that can be written now.
    pub(super) fn can_commit(&self) -> bool {
        matches!(self.ledger, Some(Keeper::Idle(_)))
            && self.closed.iter().any(|(ticket, waiting)| self.is_first(*ticket, &waiting.directory))
    }

    fn is_first(&self, ticket: Ticket, directory: &str) -> bool {
        cfg!(weir_bug = "files_out_of_order")
            || self.order.get(directory).and_then(VecDeque::front) == Some(&ticket)
    }

    /// Begins to write an entry with all files whose turn it is.
    pub(super) fn commit(&mut self, settled: Settled) {
        let Some(Keeper::Idle(mut ledger)) = self.ledger.replace(Keeper::AtWork) else { return };
        self.named.drain(..).for_each(|number| ledger.renamed(number));
        let mut files = Vec::new();
        let tickets: Vec<Ticket> = self.closed.keys().copied().collect();
        for ticket in tickets {
            if self.is_first(ticket, &self.closed[&ticket].directory)
                && let Some(waiting) = self.closed.remove(&ticket)
            {
                if let Some(order) = self.order.get_mut(&waiting.directory) {
                    order.pop_front();
                    if order.is_empty() {
                        self.order.remove(&waiting.directory);
                    }
                }
                files.push(waiting);
            }
        }
        let latest = self.workshop.names.latest();
        let mut commit = Commit { settled, latest, ..Commit::default() };
        for Waiting { file, .. } in &mut files {
            commit.files.push(file.record.clone());
            for (partition, positions) in std::mem::take(&mut file.arrived) {
                *commit.arrived.entry(partition).or_default() |= positions;
            }
        }
        self.tasks.spawn(async move {
            match ledger.commit(&commit).await {
                Ok(number) => Outcome::Committed(ledger, number, files),
                Err(error) => Outcome::Failed(LedgerError::failure(error)),
            }
        });
    }

    /// Stops everything where it stands.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl<F: FileSystem> Outcome<F> {
    fn failed(error: FileError) -> Outcome<F> {
        Outcome::Failed(error.into())
    }
}
