//! Lanes: for each directory the rows that wait, and the file that is being written.
//!
//! This is the bookkeeping of the sink, without any I/O: what is to be opened, continued and
//! closed, in which order. A lane's queue holds rows and orders to close or to commit; rows behind an order
//! to close go into the lane's next file. A lane is *active* while rows that come now would go into the
//! same file as the rows before; at most `open_max` lanes are, and have a file.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_runtime::batch::Awaited;

/// Rows that came with a numbered delivery.
pub(super) trait Delivered {
    /// The delivery's number.
    fn delivery(&self) -> u64;
    /// Whether a peer of their source waits for them.
    fn awaited(&self) -> Option<Awaited>;
}

/// A lane's name while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(u64);

/// Whether a file is closed because its time has come, or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// It is full or old enough, or there is nothing more to come.
    Due,
    /// To make room: for other files, or in the channel.
    Early,
    /// Peers have waited for half of their time, and the file can't be committed while it is open.
    Peers,
}

/// Why a file is committed while it stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Peers wait for what is in it.
    Peers,
    /// To make room in the channel.
    Room,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Work<T, R> {
    /// Append rows to the lane's file, or to a new one; then [`Lanes::appended`].
    Append { lane: LaneId, directory: Arc<str>, file: Option<T>, rows: VecDeque<R> },
    /// Complete this file; there is none if it was full just when it was to be closed.
    Complete { file: Option<T>, close: Close },
    /// Commit what is in this file, likewise; then [`Lanes::returned`].
    Commit { lane: LaneId, file: Option<T>, reason: Reason },
}

/// The lanes of one run.
pub(super) struct Lanes<T, R> {
    lanes: BTreeMap<LaneId, Lane<T, R>>,
    by_directory: HashMap<Arc<str>, LaneId>,
    next: u64,
    open_max: usize,
    /// Whether files can be committed while they are open.
    commits_open: bool,
    /// Lanes that have a file, which may be at work.
    open: usize,
    /// Lanes that may have work: those that are not active, which will soon give a file back,
    /// go before the others, which may keep as many files as there may be.
    ready_ending: VecDeque<LaneId>,
    ready_active: VecDeque<LaneId>,
    /// Lanes that need a new file while there are `open_max`, or no descriptor for one.
    parked: Vec<LaneId>,
}

struct Lane<T, R> {
    directory: Arc<str>,
    queue: VecDeque<Item<R>>,
    file: Slot<T>,
    /// The last delivery that had rows for it.
    used: u64,
    /// Of an active lane: what its file, and the rows that will be in it, go back to.
    active: Option<Active>,
}

#[derive(Clone, Copy)]
struct Active {
    /// The first delivery with rows that no commit was ordered for.
    oldest_delivery: Option<u64>,
    /// The first of these rows that a peer waits for: since when, and until when at most.
    awaited: Option<Awaited>,
    begun: Instant,
    /// When the last rows came.
    last: Instant,
}

impl Active {
    fn begun_at(now: Instant) -> Active {
        Active { oldest_delivery: None, awaited: None, begun: now, last: now }
    }

    fn add(&mut self, rows: &impl Delivered) {
        self.oldest_delivery.get_or_insert(rows.delivery());
        if let Some(awaited) = rows.awaited() {
            let sooner = self.awaited.filter(|earlier| earlier.until <= awaited.until);
            self.awaited = sooner.or(Some(awaited));
        }
    }

    fn is_committed(&mut self) {
        (self.oldest_delivery, self.awaited) = (None, None);
    }

    /// When the peers have waited for half of their time.
    fn half_awaited(&self) -> Option<Instant> {
        self.awaited.map(|Awaited { since, until }| since + until.saturating_duration_since(since) / 2)
    }
}

/// How long a file stays open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// Since it was begun.
    pub(super) age: Duration,
    /// Since rows came last.
    pub(super) idle: Option<Duration>,
}

impl Due {
    fn at(&self, active: Active) -> Instant {
        let aged = active.begun + self.age;
        self.idle.map_or(aged, |idle| aged.min(active.last + idle))
    }
}

enum Item<R> {
    Rows(R),
    Close(Close),
    Commit(Reason),
}

impl<T, R: Delivered> Lane<T, R> {
    /// What the next file is going to be, if there are rows for it in the queue.
    fn next_file(&self, last: Instant, now: Instant) -> Option<Active> {
        let mut next = None;
        for item in &self.queue {
            match item {
                Item::Rows(rows) => next.get_or_insert(Active { last, ..Active::begun_at(now) }).add(rows),
                Item::Commit(_) => next.iter_mut().for_each(Active::is_committed),
                Item::Close(_) => next = None,
            }
        }
        next
    }
}

enum Slot<T> {
    None,
    Idle(T),
    AtWork,
}

impl<T, R: Delivered> Lanes<T, R> {
    /// No lanes, and at most so many files, which can be committed while they are open or not.
    pub(super) fn new(open_max: usize, commits_open: bool) -> Lanes<T, R> {
        Lanes {
            lanes: BTreeMap::new(),
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

    /// Whether nothing waits and no file is open.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Adds rows for a directory. Says whether another directory's file has to be closed for it.
    pub(super) fn push(&mut self, directory: String, rows: R, now: Instant) -> bool {
        let id = self.by_directory.get(directory.as_str()).copied().unwrap_or_else(|| self.add(directory));
        let Some(lane) = self.lanes.get_mut(&id) else { return false };
        let becomes_active = lane.active.is_none();
        let active = lane.active.get_or_insert(Active::begun_at(now));
        active.last = now;
        active.add(&rows);
        lane.used = rows.delivery();
        lane.queue.push_back(Item::Rows(rows));
        self.wake(id);
        becomes_active && self.active().count() > self.open_max && self.close_least_recently_used(id)
    }

    fn add(&mut self, directory: String) -> LaneId {
        let id = LaneId(self.next);
        self.next += 1;
        let directory: Arc<str> = directory.into();
        self.by_directory.insert(directory.clone(), id);
        let lane = Lane { directory, queue: VecDeque::new(), file: Slot::None, used: 0, active: None };
        self.lanes.insert(id, lane);
        id
    }

    fn active(&self) -> impl Iterator<Item = (LaneId, &Lane<T, R>, Active)> {
        self.lanes.iter().filter_map(|(id, lane)| lane.active.map(|active| (*id, lane, active)))
    }

    /// Orders that the file unused for longest be closed, but not this lane's. Says whether there is one.
    fn close_least_recently_used(&mut self, except: LaneId) -> bool {
        self.close_unused(|id, _| id != except)
    }

    /// Orders that of the files that are there the one unused for longest be closed. Says whether there is one.
    pub(super) fn close_one_that_is_open(&mut self) -> bool {
        self.close_unused(|_, lane| !matches!(lane.file, Slot::None))
    }

    fn close_unused(&mut self, chosen: impl Fn(LaneId, &Lane<T, R>) -> bool) -> bool {
        let others = self.active().filter(|(id, lane, _)| chosen(*id, lane));
        let Some((unused, ..)) = others.min_by_key(|(id, lane, _)| (lane.used, *id)) else { return false };
        self.close(unused, Close::Early);
        true
    }

    fn close(&mut self, id: LaneId, close: Close) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && lane.active.take().is_some()
        {
            lane.queue.push_back(Item::Close(close));
            self.wake(id);
        }
    }

    fn close_where(&mut self, close: Close, chosen: impl Fn(Active) -> bool) -> usize {
        let ids: Vec<LaneId> =
            self.active().filter(|(.., active)| chosen(*active)).map(|(id, ..)| id).collect();
        ids.iter().for_each(|id| self.close(*id, close));
        ids.len()
    }

    /// Orders that every file be closed.
    pub(super) fn close_all(&mut self) {
        self.close_where(Close::Due, |_| true);
    }

    /// Orders that the files be closed that are due. Says how many are closed only for peers that wait.
    pub(super) fn close_due(&mut self, due: Due, now: Instant) -> usize {
        self.close_where(Close::Due, |active| due.at(active) <= now);
        match self.commits_open {
            true => 0,
            false => {
                self.close_where(Close::Peers, |active| active.half_awaited().is_some_and(|at| at <= now))
            }
        }
    }

    /// When the next file is due.
    pub(super) fn next_due(&self, due: Due) -> Option<Instant> {
        let at = |active: Active| match active.half_awaited().filter(|_| !self.commits_open) {
            Some(half) => due.at(active).min(half),
            None => due.at(active),
        };
        self.active().map(|(.., active)| at(active)).min()
    }

    /// Whether peers wait for rows that can be committed and that no commit was ordered for.
    pub(super) fn is_awaited(&self) -> bool {
        self.commits_open && self.active().any(|(.., active)| active.awaited.is_some())
    }

    /// Orders that all be committed that peers wait for. Says how many files.
    pub(super) fn commit_awaited(&mut self) -> usize {
        self.commit_where(Reason::Peers, |active| active.awaited.is_some())
    }

    fn commit_where(&mut self, reason: Reason, chosen: impl Fn(Active) -> bool) -> usize {
        let ids = self.active().filter(|(.., active)| chosen(*active)).map(|(id, ..)| id);
        let ids: Vec<LaneId> = ids.collect();
        for id in &ids {
            if let Some(lane) = self.lanes.get_mut(id) {
                lane.active.iter_mut().for_each(Active::is_committed);
                lane.queue.push_back(Item::Commit(reason));
                self.wake(*id);
            }
        }
        ids.len()
    }

    /// Orders that the files with the oldest rows be committed, or closed where they can't be. Says how many.
    ///
    /// A delivery is acknowledged when all its rows are, whichever files they are in. So it is
    /// of no use to close the oldest files alone: it has to be all that have rows of the older
    /// half of the deliveries, which then is given back for certain.
    pub(super) fn give_back_older_half(&mut self) -> usize {
        let oldest = self.active().filter_map(|(.., active)| active.oldest_delivery).min();
        let Some(oldest) = oldest else { return 0 };
        let newest = self.active().map(|(_, lane, _)| lane.used).max().unwrap_or(oldest);
        let middle = oldest + (newest - oldest) / 2;
        let is_older = |active: Active| active.oldest_delivery.is_some_and(|oldest| oldest <= middle);
        match self.commits_open {
            true => self.commit_where(Reason::Room, is_older),
            false => self.close_where(Close::Early, is_older),
        }
    }

    /// What is to be done next, if anything can be done now.
    pub(super) fn next_work(&mut self) -> Option<Work<T, R>> {
        while let Some(id) = self.ready_ending.pop_front().or_else(|| self.ready_active.pop_front()) {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            match lane.queue.front() {
                None => continue,
                Some(_) if matches!(lane.file, Slot::AtWork) => continue,
                Some(Item::Close(_)) => return Some(self.complete(id)),
                Some(Item::Commit(_)) => return Some(self.commit(id)),
                Some(Item::Rows(_)) if matches!(lane.file, Slot::None) && self.open >= self.open_max => {
                    self.parked.push(id);
                }
                Some(Item::Rows(_)) => return Some(self.append(id)),
            }
        }
        None
    }

    fn append(&mut self, id: LaneId) -> Work<T, R> {
        let lane = self.lanes.get_mut(&id).expect("a ready lane is there");
        let file = match std::mem::replace(&mut lane.file, Slot::AtWork) {
            Slot::Idle(file) => Some(file),
            _ => {
                self.open += 1;
                None
            }
        };
        let mut rows = VecDeque::new();
        while let Some(item) = lane.queue.pop_front() {
            match item {
                Item::Rows(next) => rows.push_back(next),
                order => {
                    lane.queue.push_front(order);
                    break;
                }
            }
        }
        Work::Append { lane: id, directory: lane.directory.clone(), file, rows }
    }

    fn complete(&mut self, id: LaneId) -> Work<T, R> {
        let lane = self.lanes.get_mut(&id).expect("a ready lane is there");
        let close = match lane.queue.pop_front() {
            Some(Item::Close(close)) => close,
            _ => Close::Due,
        };
        let file = match std::mem::replace(&mut lane.file, Slot::None) {
            Slot::Idle(file) => Some(file),
            _ => None,
        };
        if file.is_some() {
            self.file_is_gone();
        }
        self.go_on_or_end(id);
        Work::Complete { file, close }
    }

    fn commit(&mut self, id: LaneId) -> Work<T, R> {
        let lane = self.lanes.get_mut(&id).expect("a ready lane is there");
        let reason = match lane.queue.pop_front() {
            Some(Item::Commit(reason)) => reason,
            _ => Reason::Room,
        };
        let file = match std::mem::replace(&mut lane.file, Slot::None) {
            Slot::Idle(file) => {
                lane.file = Slot::AtWork;
                Some(file)
            }
            _ => {
                self.go_on_or_end(id);
                None
            }
        };
        Work::Commit { lane: id, file, reason }
    }

    /// Takes back a file that was committed while it stayed open.
    pub(super) fn returned(&mut self, id: LaneId, file: T) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.file = Slot::Idle(file);
            self.go_on_or_end(id);
        }
    }

    /// Lets no more files be open than there are now, one at least.
    pub(super) fn lower_open_max(&mut self) {
        self.open_max = self.open.max(1);
    }

    /// Lets one more file be open, if that is not more than this.
    pub(super) fn raise_open_max(&mut self, most: usize) {
        self.open_max = (self.open_max + 1).min(most);
    }

    /// Takes back rows for which no file could be made, until a file has gone ([`Lanes::wake_parked`]).
    pub(super) fn park(&mut self, id: LaneId, rows: VecDeque<R>) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            rows.into_iter().rev().for_each(|rows| lane.queue.push_front(Item::Rows(rows)));
            lane.file = Slot::None;
            self.open -= 1;
            self.parked.push(id);
        }
    }

    /// Has lanes that need a new file try again.
    pub(super) fn wake_parked(&mut self) {
        std::mem::take(&mut self.parked).into_iter().for_each(|id| self.wake(id));
    }

    /// How many lanes have a file, or are about to.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Takes back what an append has left: the file and, if that is full, the rows behind.
    /// Returns the full file, which is to be completed.
    pub(super) fn appended(
        &mut self,
        id: LaneId,
        file: T,
        is_full: bool,
        rest: VecDeque<R>,
        now: Instant,
    ) -> Option<T> {
        let lane = self.lanes.get_mut(&id).expect("a lane stays while it is at work");
        for rows in rest.into_iter().rev() {
            lane.queue.push_front(Item::Rows(rows));
        }
        if !is_full {
            lane.file = Slot::Idle(file);
            self.go_on_or_end(id);
            return None;
        }
        lane.file = Slot::None;
        // Without an order to close in the queue, all that is in it goes into the next file. With one, what is
        // active is what has come behind it.
        let is_ordered = !weir_runtime::put_back!("rows_forgotten_behind_a_full_file")
            && lane.queue.iter().any(|item| matches!(item, Item::Close(_)));
        if let Some(active) = lane.active.filter(|_| !is_ordered) {
            lane.active = lane.next_file(active.last, now);
        }
        self.file_is_gone();
        self.go_on_or_end(id);
        Some(file)
    }

    fn file_is_gone(&mut self) {
        self.open -= 1;
        self.wake_parked();
    }

    fn wake(&mut self, id: LaneId) {
        match self.lanes.get(&id).is_some_and(|lane| lane.active.is_some()) {
            true => self.ready_active.push_back(id),
            false => self.ready_ending.push_back(id),
        }
    }

    fn go_on_or_end(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get(&id) else { return };
        if !lane.queue.is_empty() {
            self.wake(id);
        } else if matches!(lane.file, Slot::None) {
            self.by_directory.remove(&lane.directory);
            self.lanes.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
