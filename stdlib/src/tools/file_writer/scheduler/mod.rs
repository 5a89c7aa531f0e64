//! Decides, without I/O, which file of the sink is opened, continued, committed or closed next.
//!
//! Each directory has a queue of rows and orders, and at most one open file. Orders say that the file is to be closed
//! or committed; rows behind an order to close go into the directory's next file. A queue is *active* while new rows
//! would go into the same file as the rows before. At most `open_max` queues are active, and at most `open_max` have a
//! file.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_runtime::batch::Awaited;

/// Rows of a numbered delivery.
pub(super) trait OfDelivery {
    /// The number of the delivery.
    fn delivery(&self) -> u64;
    /// How long a peer of the source waits for the rows; none if no peer does.
    fn awaited(&self) -> Option<Awaited>;
}

/// The identifier of a queue; a directory gets a new one after its queue was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueId(u64);

/// Why a file is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The file is full or old enough, or no more rows come.
    Due,
    /// The file makes room: for another file, or in the channel.
    Early,
    /// Peers have waited for half of their time, and the file can't be committed while it is open.
    Peers,
}

/// Why a file is committed while it stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitReason {
    /// Peers wait for rows in the file.
    Peers,
    /// The commit makes room in the channel.
    Room,
}

/// The next thing to do with a file.
#[derive(Debug)]
pub(super) enum Work<T, R> {
    /// Append rows to the directory's file, or to a new file if there is none; then call [`Scheduler::appended`].
    Append { queue: QueueId, directory: Arc<str>, file: Option<T>, rows: VecDeque<R> },
    /// Complete this file. There is none if the file became full before the order to close it.
    Complete { file: Option<T>, reason: CloseReason },
    /// Commit the content of this file; then call [`Scheduler::returned`]. There is none if the file became full
    /// before the order to commit it.
    Commit { queue: QueueId, file: Option<T>, reason: CommitReason },
}

/// The queues of all directories in one run.
pub(super) struct Scheduler<T, R> {
    queues: BTreeMap<QueueId, DirectoryQueue<T, R>>,
    by_directory: HashMap<Arc<str>, QueueId>,
    next: u64,
    open_max: usize,
    /// Whether files can be committed while they are open.
    commits_open: bool,
    /// The number of queues that have a file, or whose file is being created.
    open: usize,
    /// Queues that may have work. Queues that are not active go first: they will soon close a file, while active
    /// queues may keep all files that may be open.
    ready_ending: VecDeque<QueueId>,
    ready_active: VecDeque<QueueId>,
    /// Queues that need a new file while `open_max` files are open, or while no descriptor is left.
    parked: Vec<QueueId>,
}

/// The rows of a directory that are not appended yet, and the directory's file.
struct DirectoryQueue<T, R> {
    directory: Arc<str>,
    items: VecDeque<QueueItem<R>>,
    file: FileSlot<T>,
    /// The last delivery with rows for this directory.
    used: u64,
    /// Of an active queue: the ages of its file, including the rows that will be in the file.
    active: Option<ActiveFile>,
}

#[derive(Clone, Copy)]
struct ActiveFile {
    /// The first delivery with rows that no ordered commit covers.
    oldest_delivery: Option<u64>,
    /// Of these rows, the wait of the peer that gives up first.
    awaited: Option<Awaited>,
    begun: Instant,
    /// When the last rows arrived.
    last: Instant,
}

impl ActiveFile {
    fn begun_at(now: Instant) -> ActiveFile {
        ActiveFile { oldest_delivery: None, awaited: None, begun: now, last: now }
    }

    fn add(&mut self, rows: &impl OfDelivery) {
        self.oldest_delivery.get_or_insert(rows.delivery());
        if let Some(awaited) = rows.awaited() {
            let sooner = self.awaited.filter(|earlier| earlier.until <= awaited.until);
            self.awaited = sooner.or(Some(awaited));
        }
    }

    fn mark_committed(&mut self) {
        (self.oldest_delivery, self.awaited) = (None, None);
    }

    /// Returns the time at which the peer that gives up first has waited for half of its time.
    fn half_awaited(&self) -> Option<Instant> {
        self.awaited.map(|Awaited { since, until }| since + until.saturating_duration_since(since) / 2)
    }
}

/// After how long a file is closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct CloseAfter {
    /// Since the file was begun.
    pub(super) age: Duration,
    /// Since the last rows for the file.
    pub(super) idle: Option<Duration>,
}

impl CloseAfter {
    fn time(&self, active: ActiveFile) -> Instant {
        let aged = active.begun + self.age;
        self.idle.map_or(aged, |idle| aged.min(active.last + idle))
    }
}

enum QueueItem<R> {
    Rows(R),
    Close(CloseReason),
    Commit(CommitReason),
}

impl<T, R: OfDelivery> DirectoryQueue<T, R> {
    /// Returns the state of the directory's next file, if the queue has rows for it.
    fn next_file(&self, last: Instant, now: Instant) -> Option<ActiveFile> {
        let mut next = None;
        for item in &self.items {
            match item {
                QueueItem::Rows(rows) => {
                    next.get_or_insert(ActiveFile { last, ..ActiveFile::begun_at(now) }).add(rows)
                }
                QueueItem::Commit(_) => next.iter_mut().for_each(ActiveFile::mark_committed),
                QueueItem::Close(_) => next = None,
            }
        }
        next
    }
}

enum FileSlot<T> {
    None,
    Idle(T),
    /// A task works on the file.
    Busy,
}

impl<T, R: OfDelivery> Scheduler<T, R> {
    /// Makes a scheduler of at most `open_max` open files.
    pub(super) fn new(open_max: usize, commits_open: bool) -> Scheduler<T, R> {
        Scheduler {
            queues: BTreeMap::new(),
            by_directory: HashMap::new(),
            next: 0,
            open_max,
            commits_open,
            open: 0,
            ready_ending: VecDeque::new(),
            ready_active: VecDeque::new(),
            parked: Vec::new(),
        }
    }

    /// Whether no rows wait and no file is open.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Adds rows for a directory. Returns whether another directory's file is closed to make room for its file.
    pub(super) fn push(&mut self, directory: String, rows: R, now: Instant) -> bool {
        let id = self.by_directory.get(directory.as_str()).copied().unwrap_or_else(|| self.add(directory));
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        let becomes_active = queue.active.is_none();
        let active = queue.active.get_or_insert(ActiveFile::begun_at(now));
        active.last = now;
        active.add(&rows);
        queue.used = rows.delivery();
        queue.items.push_back(QueueItem::Rows(rows));
        self.wake(id);
        becomes_active && self.active().count() > self.open_max && self.close_least_recently_used(id)
    }

    fn add(&mut self, directory: String) -> QueueId {
        let id = QueueId(self.next);
        self.next += 1;
        let directory: Arc<str> = directory.into();
        self.by_directory.insert(directory.clone(), id);
        let queue =
            DirectoryQueue { directory, items: VecDeque::new(), file: FileSlot::None, used: 0, active: None };
        self.queues.insert(id, queue);
        id
    }

    fn active(&self) -> impl Iterator<Item = (QueueId, &DirectoryQueue<T, R>, ActiveFile)> {
        self.queues.iter().filter_map(|(id, queue)| queue.active.map(|active| (*id, queue, active)))
    }

    /// Orders to close the file unused for longest, except this queue's. Returns whether there is one.
    fn close_least_recently_used(&mut self, except: QueueId) -> bool {
        self.close_unused(|id, _| id != except)
    }

    /// Orders to close, of the files that exist, the one unused for longest. Returns whether there is one.
    pub(super) fn close_an_open_file(&mut self) -> bool {
        self.close_unused(|_, queue| !matches!(queue.file, FileSlot::None))
    }

    fn close_unused(&mut self, chosen: impl Fn(QueueId, &DirectoryQueue<T, R>) -> bool) -> bool {
        let others = self.active().filter(|(id, queue, _)| chosen(*id, queue));
        let Some((unused, ..)) = others.min_by_key(|(id, queue, _)| (queue.used, *id)) else { return false };
        self.close(unused, CloseReason::Early);
        true
    }

    fn close(&mut self, id: QueueId, reason: CloseReason) {
        if let Some(queue) = self.queues.get_mut(&id)
            && queue.active.take().is_some()
        {
            queue.items.push_back(QueueItem::Close(reason));
            self.wake(id);
        }
    }

    fn close_where(&mut self, reason: CloseReason, chosen: impl Fn(ActiveFile) -> bool) -> usize {
        let ids: Vec<QueueId> =
            self.active().filter(|(.., active)| chosen(*active)).map(|(id, ..)| id).collect();
        ids.iter().for_each(|id| self.close(*id, reason));
        ids.len()
    }

    /// Orders to close all files.
    pub(super) fn close_all(&mut self) {
        self.close_where(CloseReason::Due, |_| true);
    }

    /// Orders to close the files that are due. Returns how many of them are closed only because peers wait.
    pub(super) fn close_due(&mut self, close_after: CloseAfter, now: Instant) -> usize {
        self.close_where(CloseReason::Due, |active| close_after.time(active) <= now);
        match self.commits_open {
            true => 0,
            false => self
                .close_where(CloseReason::Peers, |active| active.half_awaited().is_some_and(|at| at <= now)),
        }
    }

    /// Returns the time at which the next file is due.
    pub(super) fn next_due(&self, close_after: CloseAfter) -> Option<Instant> {
        let at = |active: ActiveFile| match active.half_awaited().filter(|_| !self.commits_open) {
            Some(half) => close_after.time(active).min(half),
            None => close_after.time(active),
        };
        self.active().map(|(.., active)| at(active)).min()
    }

    /// Whether peers wait for rows that can be committed and that no ordered commit covers.
    pub(super) fn is_awaited(&self) -> bool {
        self.commits_open && self.active().any(|(.., active)| active.awaited.is_some())
    }

    /// Orders to commit all files with rows that peers wait for. Returns how many files.
    pub(super) fn commit_awaited(&mut self) -> usize {
        self.commit_where(CommitReason::Peers, |active| active.awaited.is_some())
    }

    fn commit_where(&mut self, reason: CommitReason, chosen: impl Fn(ActiveFile) -> bool) -> usize {
        let ids = self.active().filter(|(.., active)| chosen(*active)).map(|(id, ..)| id);
        let ids: Vec<QueueId> = ids.collect();
        for id in &ids {
            if let Some(queue) = self.queues.get_mut(id) {
                queue.active.iter_mut().for_each(ActiveFile::mark_committed);
                queue.items.push_back(QueueItem::Commit(reason));
                self.wake(*id);
            }
        }
        ids.len()
    }

    /// Orders to commit the files with the oldest rows, or to close them if open files can't be committed. Returns
    /// how many.
    ///
    /// A delivery is acknowledged when all its rows are, whichever files they are in. To close the oldest files alone
    /// may free nothing. All files with rows of the older half of the deliveries are chosen, which acknowledges this
    /// half.
    pub(super) fn release_older_half(&mut self) -> usize {
        let oldest = self.active().filter_map(|(.., active)| active.oldest_delivery).min();
        let Some(oldest) = oldest else { return 0 };
        let newest = self.active().map(|(_, queue, _)| queue.used).max().unwrap_or(oldest);
        let middle = oldest + (newest - oldest) / 2;
        let is_older = |active: ActiveFile| active.oldest_delivery.is_some_and(|oldest| oldest <= middle);
        match self.commits_open {
            true => self.commit_where(CommitReason::Room, is_older),
            false => self.close_where(CloseReason::Early, is_older),
        }
    }

    /// Returns the next work, if any can be done now.
    pub(super) fn next_work(&mut self) -> Option<Work<T, R>> {
        while let Some(id) = self.ready_ending.pop_front().or_else(|| self.ready_active.pop_front()) {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            match queue.items.front() {
                None => continue,
                Some(_) if matches!(queue.file, FileSlot::Busy) => continue,
                Some(QueueItem::Close(_)) => return Some(self.complete(id)),
                Some(QueueItem::Commit(_)) => return Some(self.commit(id)),
                Some(QueueItem::Rows(_))
                    if matches!(queue.file, FileSlot::None) && self.open >= self.open_max =>
                {
                    self.parked.push(id);
                }
                Some(QueueItem::Rows(_)) => return Some(self.append(id)),
            }
        }
        None
    }

    fn append(&mut self, id: QueueId) -> Work<T, R> {
        let queue = self.queues.get_mut(&id).expect("a ready queue exists");
        let file = match std::mem::replace(&mut queue.file, FileSlot::Busy) {
            FileSlot::Idle(file) => Some(file),
            _ => {
                self.open += 1;
                None
            }
        };
        let mut rows = VecDeque::new();
        while let Some(item) = queue.items.pop_front() {
            match item {
                QueueItem::Rows(next) => rows.push_back(next),
                order => {
                    queue.items.push_front(order);
                    break;
                }
            }
        }
        Work::Append { queue: id, directory: queue.directory.clone(), file, rows }
    }

    fn complete(&mut self, id: QueueId) -> Work<T, R> {
        let queue = self.queues.get_mut(&id).expect("a ready queue exists");
        let reason = match queue.items.pop_front() {
            Some(QueueItem::Close(reason)) => reason,
            _ => CloseReason::Due,
        };
        let file = match std::mem::replace(&mut queue.file, FileSlot::None) {
            FileSlot::Idle(file) => Some(file),
            _ => None,
        };
        if file.is_some() {
            self.file_closed();
        }
        self.go_on_or_end(id);
        Work::Complete { file, reason }
    }

    fn commit(&mut self, id: QueueId) -> Work<T, R> {
        let queue = self.queues.get_mut(&id).expect("a ready queue exists");
        let reason = match queue.items.pop_front() {
            Some(QueueItem::Commit(reason)) => reason,
            _ => CommitReason::Room,
        };
        let file = match std::mem::replace(&mut queue.file, FileSlot::None) {
            FileSlot::Idle(file) => {
                queue.file = FileSlot::Busy;
                Some(file)
            }
            _ => {
                self.go_on_or_end(id);
                None
            }
        };
        Work::Commit { queue: id, file, reason }
    }

    /// Takes back a file that was committed while it stayed open.
    pub(super) fn returned(&mut self, id: QueueId, file: T) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.file = FileSlot::Idle(file);
            self.go_on_or_end(id);
        }
    }

    /// Lowers the limit of open files to the number of files that are open now, at least one.
    pub(super) fn lower_open_max(&mut self) {
        self.open_max = self.open.max(1);
    }

    /// Raises the limit of open files by one, up to `limit`.
    pub(super) fn raise_open_max(&mut self, limit: usize) {
        self.open_max = (self.open_max + 1).min(limit);
    }

    /// Takes back rows for which no file could be created, until [`Scheduler::wake_parked`] after a file was closed.
    pub(super) fn park(&mut self, id: QueueId, rows: VecDeque<R>) {
        if let Some(queue) = self.queues.get_mut(&id) {
            rows.into_iter().rev().for_each(|rows| queue.items.push_front(QueueItem::Rows(rows)));
            queue.file = FileSlot::None;
            self.open -= 1;
            self.parked.push(id);
        }
    }

    /// Has queues that need a new file try again.
    pub(super) fn wake_parked(&mut self) {
        std::mem::take(&mut self.parked).into_iter().for_each(|id| self.wake(id));
    }

    /// Returns how many queues have a file, or a file that is being created.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Takes back the file of an append and, if the file is full, the rows for the next file. Returns the full file,
    /// which is to be completed.
    pub(super) fn appended(
        &mut self,
        id: QueueId,
        file: T,
        is_full: bool,
        rest: VecDeque<R>,
        now: Instant,
    ) -> Option<T> {
        let queue = self.queues.get_mut(&id).expect("a queue stays while its file is busy");
        for rows in rest.into_iter().rev() {
            queue.items.push_front(QueueItem::Rows(rows));
        }
        if !is_full {
            queue.file = FileSlot::Idle(file);
            self.go_on_or_end(id);
            return None;
        }
        queue.file = FileSlot::None;
        // Without an order to close in the queue, all of its rows go into the next file. With one, the active file is
        // the one for the rows behind the order, and stays active.
        let is_ordered = queue.items.iter().any(|item| matches!(item, QueueItem::Close(_)));
        if let Some(active) = queue.active.filter(|_| !is_ordered) {
            queue.active = queue.next_file(active.last, now);
        } else if weir_runtime::put_back!("rows_forgotten_behind_a_full_file") {
            queue.active = None;
        }
        self.file_closed();
        self.go_on_or_end(id);
        Some(file)
    }

    fn file_closed(&mut self) {
        self.open -= 1;
        self.wake_parked();
    }

    fn wake(&mut self, id: QueueId) {
        match self.queues.get(&id).is_some_and(|queue| queue.active.is_some()) {
            true => self.ready_active.push_back(id),
            false => self.ready_ending.push_back(id),
        }
    }

    fn go_on_or_end(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get(&id) else { return };
        if !queue.items.is_empty() {
            self.wake(id);
        } else if matches!(queue.file, FileSlot::None) {
            self.by_directory.remove(&queue.directory);
            self.queues.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
