//! Files, and beginnings of files, on their way from their last row to their acknowledgement.
//!
//! Without a ledger a file is closed and renamed. With one, what is durable waits for an entry, which takes all
//! that is there: while one is written, the next gather. What a directory has is committed in its order, so that
//! no crash leaves something later without something earlier: what comes again then is put behind all that is
//! there, in the order of its partition.
//!
//! Where `exactly_once` is promised, every file has an entry; otherwise only a file that was committed while it
//! was open, so that its length is known after a kill.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use weir_runtime::{Acknowledgement, Failure};

use super::error::FileError;
use super::file::{ClosedFile, Completed, Durable, OpenFile, Workshop};
use super::file_system::FileSystem;
use super::lanes::{Close, Reason};
use super::ledger::{Commit, Incarnations, Known, Ledger, LedgerError, Settled};

/// A place in the order in which commits were asked for here.
pub(super) type Ticket = u64;

/// Files that are being finished, and the ledger that does it.
pub(super) struct Finishing<F: FileSystem> {
    workshop: Arc<Workshop<F>>,
    tasks: JoinSet<Outcome<F>>,
    /// How many files are here.
    files: usize,
    ledger: Option<Keeper<F>>,
    /// Durable, and in no entry yet.
    waiting: BTreeMap<Ticket, Waiting<F>>,
    /// What each directory has that is in no entry yet, in its order.
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
    part: Part<F>,
}

/// What an entry commits.
enum Part<F: FileSystem> {
    /// A file that is closed.
    File(Close, Box<ClosedFile<F>>),
    /// What is durable of a file that stays open.
    Beginning(Reason, Durable),
}

impl<F: FileSystem> Part<F> {
    fn durable(&mut self) -> &mut Durable {
        match self {
            Part::File(_, file) => &mut file.durable,
            Part::Beginning(_, durable) => durable,
        }
    }
}

/// What a task comes back with.
enum Outcome<F: FileSystem> {
    Closed(Ticket, Waiting<F>),
    Committed(Box<Ledger<F>>, u64, Vec<Part<F>>),
    Completed(Option<u64>, Close, Completed),
    Failed(Failure),
}

/// What has come of what was given here.
pub(super) enum Finished {
    /// A file has its final name, and its events are acknowledged.
    File(Close, Completed),
    /// A file is closed and waits for an entry.
    Closed,
    /// An entry was created.
    Entry(Created),
}

/// What an entry has done.
#[derive(Debug, Default)]
pub(super) struct Created {
    /// Its number.
    pub(super) number: u64,
    /// Other writers of the ledger have added to it meanwhile.
    pub(super) others_changed: bool,
    /// How many beginnings of files it has committed, and acknowledged, for each of the reasons.
    pub(super) for_peers: usize,
    pub(super) for_room: usize,
}

impl<F: FileSystem> Finishing<F> {
    pub(super) fn new(workshop: Arc<Workshop<F>>, ledger: Option<Box<Ledger<F>>>) -> Finishing<F> {
        Finishing {
            workshop,
            tasks: JoinSet::new(),
            files: 0,
            ledger: ledger.map(Keeper::Idle),
            waiting: BTreeMap::new(),
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

    /// The next place in the order of a file's directory.
    pub(super) fn ticket(&mut self, file: &OpenFile<F>) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let directory: Arc<str> = file.directory().into();
        self.order.entry(directory).or_default().push_back(ticket);
        ticket
    }

    /// Takes what is durable of an open file, in the place of its ticket.
    pub(super) fn add_beginning(
        &mut self,
        ticket: Ticket,
        file: &OpenFile<F>,
        reason: Reason,
        durable: Durable,
    ) {
        let waiting = Waiting { directory: file.directory().into(), part: Part::Beginning(reason, durable) };
        self.waiting.insert(ticket, waiting);
    }

    /// Begins to finish a file.
    pub(super) fn add(&mut self, file: OpenFile<F>, close: Close) {
        self.files += 1;
        let workshop = self.workshop.clone();
        if !workshop.exactly_once && !file.has_durable_part() {
            self.tasks.spawn(async move {
                let completed = async { workshop.publish(workshop.close(file).await?).await };
                let completed: Result<Completed, FileError> = completed.await;
                completed.map_or_else(Outcome::failed, |completed| Outcome::Completed(None, close, completed))
            });
            return;
        }
        let ticket = self.ticket(&file);
        let directory: Arc<str> = file.directory().into();
        self.tasks.spawn(async move {
            let closed = workshop.close(file).await;
            closed.map_or_else(Outcome::failed, |file| {
                Outcome::Closed(ticket, Waiting { directory, part: Part::File(close, Box::new(file)) })
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
                self.waiting.insert(ticket, waiting);
                Ok(Finished::Closed)
            }
            Outcome::Committed(ledger, number, parts) => Ok(self.committed(ledger, number, parts)),
            Outcome::Completed(entry, close, completed) => {
                self.files -= 1;
                if let Some(number) = entry {
                    self.named(number);
                }
                Ok(Finished::File(close, completed))
            }
        }
    }

    fn committed(&mut self, mut ledger: Box<Ledger<F>>, number: u64, parts: Vec<Part<F>>) -> Finished {
        let others_changed = ledger.take_others_changed();
        self.ledger = Some(Keeper::Idle(ledger));
        let mut created = Created { number, others_changed, ..Created::default() };
        let mut files = 0;
        for part in parts {
            match part {
                Part::File(close, file) => {
                    files += 1;
                    self.publish(number, close, *file);
                }
                Part::Beginning(reason, durable) => {
                    durable.shares.into_iter().for_each(Acknowledgement::done);
                    match reason {
                        Reason::Peers => created.for_peers += 1,
                        Reason::Room => created.for_room += 1,
                    }
                }
            }
        }
        if files > 0 {
            self.unnamed.insert(number, files);
        }
        Finished::Entry(created)
    }

    fn publish(&mut self, number: u64, close: Close, file: ClosedFile<F>) {
        let workshop = self.workshop.clone();
        self.tasks.spawn(async move {
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

    /// Whether something waits for an entry that can be written now.
    pub(super) fn can_commit(&self) -> bool {
        matches!(self.ledger, Some(Keeper::Idle(_)))
            && self.waiting.iter().any(|(ticket, waiting)| self.is_first(*ticket, &waiting.directory))
    }

    fn is_first(&self, ticket: Ticket, directory: &str) -> bool {
        weir_runtime::put_back!("files_out_of_order")
            || self.order.get(directory).and_then(VecDeque::front) == Some(&ticket)
    }

    /// Takes everything whose turn it is.
    fn take_first(&mut self) -> Vec<Part<F>> {
        let mut parts = Vec::new();
        let tickets: Vec<Ticket> = self.waiting.keys().copied().collect();
        for ticket in tickets {
            if self.is_first(ticket, &self.waiting[&ticket].directory)
                && let Some(waiting) = self.waiting.remove(&ticket)
            {
                if let Some(order) = self.order.get_mut(&waiting.directory) {
                    order.pop_front();
                    if order.is_empty() {
                        self.order.remove(&waiting.directory);
                    }
                }
                parts.push(waiting.part);
            }
        }
        parts
    }

    /// Begins to write an entry with everything whose turn it is.
    pub(super) fn commit(&mut self, settled: Settled, incarnations: Incarnations) {
        let Some(Keeper::Idle(mut ledger)) = self.ledger.replace(Keeper::AtWork) else { return };
        self.named.drain(..).for_each(|number| ledger.renamed(number));
        let mut parts = self.take_first();
        let latest = self.workshop.names.latest();
        let mut commit = Commit { latest, ..Commit::default() };
        if self.workshop.exactly_once {
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
