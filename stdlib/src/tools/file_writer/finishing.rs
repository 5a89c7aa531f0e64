//! Completes files, and commits durable parts of open files, up to the acknowledgement of their events.
//!
//! Without a ledger a file is closed and renamed. With one, durable parts wait for an entry of the ledger. An entry
//! takes all parts that wait; parts that become durable while it is written wait for the next one. Parts of one
//! directory are committed in the order of their tickets, so that no crash leaves a later part without an earlier one.
//! Events that are redelivered after a crash then follow all events of the directory, in the order of their partition.
//!
//! With `exactly_once` every file has an entry. Otherwise only files that were committed while they were open have one,
//! which tells their length after a kill.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use weir_runtime::{Acknowledgement, Failure};

use super::error::FileError;
use super::file::{ClosedFile, Completed, DurablePart, FileWriter, OpenFile};
use super::file_system::FileSystem;
use super::ledger::{Commit, Incarnations, Ledger, LedgerError};
use super::scheduler::{CloseReason, CommitReason};
use crate::tools::arrived::{Known, Settled};

/// The position of a part in the order in which commits were requested.
pub(super) type Ticket = u64;

/// The files that are being completed or committed, and the ledger.
pub(super) struct Finishing<F: FileSystem> {
    writer: Arc<FileWriter<F>>,
    tasks: JoinSet<Outcome<F>>,
    /// The number of files that are being completed.
    files: usize,
    ledger: Option<LedgerSlot<F>>,
    /// Durable parts that are in no entry yet.
    pending: BTreeMap<Ticket, PendingPart<F>>,
    /// The tickets of each directory whose parts are in no entry yet, in their order.
    order: HashMap<Arc<str>, VecDeque<Ticket>>,
    next: Ticket,
    /// For each entry, the number of its files that have no final name yet.
    unnamed: HashMap<u64, usize>,
    /// Entries whose files all have their final names, to be reported to the ledger.
    named: Vec<u64>,
}

/// The ledger, or the fact that a task writes an entry with it.
enum LedgerSlot<F> {
    Idle(Box<Ledger<F>>),
    Committing,
}

/// A part that waits for an entry.
struct PendingPart<F: FileSystem> {
    directory: Arc<str>,
    part: CommitPart<F>,
}

/// A file, or a part of a file, that an entry commits.
enum CommitPart<F: FileSystem> {
    /// A file that is closed.
    File(CloseReason, Box<ClosedFile<F>>),
    /// The durable part of a file that stays open.
    OfOpenFile(CommitReason, DurablePart),
}

impl<F: FileSystem> CommitPart<F> {
    fn durable(&mut self) -> &mut DurablePart {
        match self {
            CommitPart::File(_, file) => &mut file.durable,
            CommitPart::OfOpenFile(_, durable) => durable,
        }
    }
}

/// The result of a task.
enum Outcome<F: FileSystem> {
    Closed(Ticket, PendingPart<F>),
    Committed(Box<Ledger<F>>, u64, Vec<CommitPart<F>>),
    Completed(Option<u64>, CloseReason, Completed),
    Failed(Failure),
}

/// A step of the work that is done.
pub(super) enum Finished {
    /// A file has its final name, and its events are acknowledged.
    File(CloseReason, Completed),
    /// A file is closed and waits for an entry.
    Closed,
    /// An entry was created.
    Entry(Created),
}

/// An entry of the ledger that was created.
#[derive(Debug, Default)]
pub(super) struct Created {
    /// The entry's number.
    pub(super) number: u64,
    /// Whether other writers have added entries to the ledger meanwhile.
    pub(super) others_changed: bool,
    /// How many parts of open files it has committed and acknowledged, by the reason of the commit.
    pub(super) for_peers: usize,
    pub(super) for_room: usize,
}

impl<F: FileSystem> Finishing<F> {
    pub(super) fn new(writer: Arc<FileWriter<F>>, ledger: Option<Box<Ledger<F>>>) -> Finishing<F> {
        Finishing {
            writer,
            tasks: JoinSet::new(),
            files: 0,
            ledger: ledger.map(LedgerSlot::Idle),
            pending: BTreeMap::new(),
            order: HashMap::new(),
            next: 0,
            unnamed: HashMap::new(),
            named: Vec::new(),
        }
    }

    /// Returns the number of files that are being completed.
    pub(super) fn files(&self) -> usize {
        self.files
    }

    /// Returns the events in files of other writers, unless an entry is being written.
    pub(super) fn others(&self) -> Option<Known> {
        match &self.ledger {
            Some(LedgerSlot::Idle(ledger)) => Some(ledger.others().clone()),
            _ => None,
        }
    }

    /// Takes the ledger out, at the end of a run.
    pub(super) fn take_ledger(&mut self) -> Option<Box<Ledger<F>>> {
        let Some(LedgerSlot::Idle(mut ledger)) = self.ledger.take() else { return None };
        self.named.drain(..).for_each(|number| ledger.renamed(number));
        Some(ledger)
    }

    /// Returns the next ticket of a file's directory.
    pub(super) fn ticket(&mut self, file: &OpenFile<F>) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let directory: Arc<str> = file.directory().into();
        self.order.entry(directory).or_default().push_back(ticket);
        ticket
    }

    /// Adds the durable part of an open file under its ticket.
    pub(super) fn add_open_part(
        &mut self,
        ticket: Ticket,
        file: &OpenFile<F>,
        reason: CommitReason,
        durable: DurablePart,
    ) {
        let part = CommitPart::OfOpenFile(reason, durable);
        self.pending.insert(ticket, PendingPart { directory: file.directory().into(), part });
    }

    /// Begins to complete a file.
    pub(super) fn add(&mut self, file: OpenFile<F>, reason: CloseReason) {
        self.files += 1;
        let writer = self.writer.clone();
        if !writer.exactly_once && !file.has_durable_part() {
            self.tasks.spawn(async move {
                let completed = async { writer.publish(writer.close(file).await?).await };
                let completed: Result<Completed, FileError> = completed.await;
                completed
                    .map_or_else(Outcome::failed, |completed| Outcome::Completed(None, reason, completed))
            });
            return;
        }
        let ticket = self.ticket(&file);
        let directory: Arc<str> = file.directory().into();
        self.tasks.spawn(async move {
            let closed = writer.close(file).await;
            closed.map_or_else(Outcome::failed, |file| {
                Outcome::Closed(
                    ticket,
                    PendingPart { directory, part: CommitPart::File(reason, Box::new(file)) },
                )
            })
        });
    }

    /// Returns the next finished step; none if no task runs.
    ///
    /// # Errors
    /// When a file or the ledger fails.
    pub(super) async fn next(&mut self) -> Option<Result<Finished, Failure>> {
        let joined = self.tasks.join_next().await?;
        Some(self.finished(joined))
    }

    fn finished(&mut self, joined: Result<Outcome<F>, JoinError>) -> Result<Finished, Failure> {
        match joined? {
            Outcome::Failed(failure) => Err(failure),
            Outcome::Closed(ticket, pending) => {
                self.pending.insert(ticket, pending);
                Ok(Finished::Closed)
            }
            Outcome::Committed(ledger, number, parts) => Ok(self.committed(ledger, number, parts)),
            Outcome::Completed(entry, reason, completed) => {
                self.files -= 1;
                if let Some(number) = entry {
                    self.named(number);
                }
                Ok(Finished::File(reason, completed))
            }
        }
    }

    fn committed(&mut self, mut ledger: Box<Ledger<F>>, number: u64, parts: Vec<CommitPart<F>>) -> Finished {
        let others_changed = ledger.take_others_changed();
        self.ledger = Some(LedgerSlot::Idle(ledger));
        let mut created = Created { number, others_changed, ..Created::default() };
        let mut files = 0;
        for part in parts {
            match part {
                CommitPart::File(reason, file) => {
                    files += 1;
                    self.publish(number, reason, *file);
                }
                CommitPart::OfOpenFile(reason, durable) => {
                    durable.shares.into_iter().for_each(Acknowledgement::done);
                    match reason {
                        CommitReason::Peers => created.for_peers += 1,
                        CommitReason::Room => created.for_room += 1,
                    }
                }
            }
        }
        if files > 0 {
            self.unnamed.insert(number, files);
        }
        Finished::Entry(created)
    }

    fn publish(&mut self, number: u64, reason: CloseReason, file: ClosedFile<F>) {
        let writer = self.writer.clone();
        self.tasks.spawn(async move {
            let completed = writer.publish(file).await;
            completed
                .map_or_else(Outcome::failed, |completed| Outcome::Completed(Some(number), reason, completed))
        });
    }

    /// Counts one more file of an entry that has its final name.
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

    /// Whether a part waits for an entry that can be written now.
    pub(super) fn can_commit(&self) -> bool {
        matches!(self.ledger, Some(LedgerSlot::Idle(_)))
            && self.pending.iter().any(|(ticket, pending)| self.is_first(*ticket, &pending.directory))
    }

    fn is_first(&self, ticket: Ticket, directory: &str) -> bool {
        weir_runtime::put_back!("files_out_of_order")
            || self.order.get(directory).and_then(VecDeque::front) == Some(&ticket)
    }

    /// Takes all parts that are first in the order of their directory.
    fn take_first(&mut self) -> Vec<CommitPart<F>> {
        let mut parts = Vec::new();
        let tickets: Vec<Ticket> = self.pending.keys().copied().collect();
        for ticket in tickets {
            if self.is_first(ticket, &self.pending[&ticket].directory)
                && let Some(pending) = self.pending.remove(&ticket)
            {
                if let Some(order) = self.order.get_mut(&pending.directory) {
                    order.pop_front();
                    if order.is_empty() {
                        self.order.remove(&pending.directory);
                    }
                }
                parts.push(pending.part);
            }
        }
        parts
    }

    /// Begins to write an entry with all parts that are first in the order of their directory.
    pub(super) fn commit(&mut self, settled: Settled, incarnations: Incarnations) {
        let Some(LedgerSlot::Idle(mut ledger)) = self.ledger.replace(LedgerSlot::Committing) else { return };
        self.named.drain(..).for_each(|number| ledger.renamed(number));
        let mut parts = self.take_first();
        let latest = self.writer.names.latest();
        let mut commit = Commit { latest, ..Commit::default() };
        if self.writer.exactly_once {
            (commit.settled, commit.incarnations) = (settled, incarnations);
        }
        for part in &mut parts {
            let durable = part.durable();
            commit.files.push(durable.record.clone());
            for (partition, positions) in std::mem::take(&mut durable.arrived) {
                *commit.arrived.entry(partition).or_default() |= positions;
            }
        }
        self.tasks.spawn(async move {
            match ledger.commit(&commit).await {
                Ok(number) => Outcome::Committed(ledger, number, parts),
                Err(error) => Outcome::Failed(LedgerError::failure(error)),
            }
        });
    }

    /// Aborts all tasks.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl<F: FileSystem> Outcome<F> {
    fn failed(error: FileError) -> Outcome<F> {
        Outcome::Failed(error.into())
    }
}
