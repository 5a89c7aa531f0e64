//! One run of the sink: takes deliveries, starts the work on files, and has files closed and committed.

mod marking;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};
use weir_runtime::batch::Awaited;
use weir_runtime::channel::Taken;
use weir_runtime::sink::{Delivery, SinkPort};
use weir_runtime::{Descriptors, Failure, Meter, Purpose};

use super::error::FileError;
use super::file::{AppendTarget, Appended, Completed, DurablePart, FileWriter, OpenFile};
use super::file_system::FileSystem;
use super::finishing::{Created, Finished, Finishing, Ticket};
use super::ledger::Ledger;
use super::markers::{Marked, Markers};
use super::names::{below, directory_of};
use super::rows::{self, Rows, Sorted};
use super::scheduler::{CloseAfter, CloseReason, CommitReason, OfDelivery, QueueId, Scheduler, Work};
use super::totals::Totals;
use crate::tools::arrived::Known;
use crate::tools::template::Renderer;
use marking::next_found;

/// The most bytes that are taken from the channel and not encoded yet: enough to keep all cores busy.
const BACKLOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// With this many files being completed, no work on further files begins.
const COMPLETING_FILES_MAX: usize = 64;

/// How long a failing run waits for the files that are being completed.
const LAST_FILES_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a failing run tries to remove its unfinished files.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The parts of the sink that a run uses.
pub(super) struct Setup<'a, F: FileSystem> {
    pub(super) component: &'a str,
    pub(super) path: &'a Renderer,
    pub(super) close_after: CloseAfter,
    pub(super) max_open: usize,
    /// Whether files can be committed while they are open.
    pub(super) commits_open: bool,
    pub(super) descriptors: &'a Descriptors,
    pub(super) writer: &'a Arc<FileWriter<F>>,
    pub(super) meter: &'a Meter,
    pub(super) totals: &'a mut Totals,
    pub(super) markers: Option<&'a mut Markers>,
}

/// The result of a task that worked on a file.
enum Done<F: FileSystem> {
    /// Whether no other file was open, the bytes of the rows to append, and the result.
    Appended(QueueId, bool, u64, Result<Appended<F>, FileError>),
    /// The file, and its durable part.
    Synced(QueueId, Ticket, CommitReason, Result<(OpenFile<F>, DurablePart), FileError>),
    /// The directory, and what became of its marker.
    Marked(Arc<str>, Result<Marked, FileError>),
}

/// A run of the sink.
pub(super) struct Run<'a, F: FileSystem> {
    setup: Setup<'a, F>,
    scheduler: Scheduler<OpenFile<F>, Rows>,
    /// The most files that may be open, if there are descriptors for all of them.
    open_max: usize,
    working: JoinSet<Done<F>>,
    finishing: Finishing<F>,
    /// With `exactly_once`: the events in files of other runs. Rows with these events are left out.
    arrived: Option<Known>,
    deliveries: u64,
    backlog_bytes: u64,
    /// The number of files that are closed early and not complete yet, or committed to make room and not in an entry
    /// yet.
    making_room: usize,
    /// The number of files that are being committed because peers wait.
    for_peers: usize,
    /// Whether an entry may name unfinished files of this run or of the runs before it.
    may_name_files: bool,
    /// The number of events that the sink held when the channel reported pressure while files were already
    /// `making_room`.
    held_at_pressure: Option<usize>,
    warned: Warned,
}

/// The warnings that were logged in this run: each is logged once.
#[derive(Default)]
struct Warned {
    pressure: bool,
    directories: bool,
    descriptors: bool,
    peers: bool,
}

impl OfDelivery for Rows {
    fn delivery(&self) -> u64 {
        self.delivery
    }

    fn awaited(&self) -> Option<Awaited> {
        Rows::awaited(self)
    }
}

impl<'a, F: FileSystem> Run<'a, F> {
    pub(super) fn new(mut setup: Setup<'a, F>, ledger: Option<Box<Ledger<F>>>) -> Run<'a, F> {
        if let Some(markers) = &mut setup.markers {
            markers.begin_run();
        }
        let may_name_files = ledger.as_ref().is_some_and(|ledger| ledger.mark() > 0)
            && !weir_runtime::put_back!("files_of_earlier_runs_unnamed");
        let finishing = Finishing::new(setup.writer.clone(), ledger);
        let open_max = setup.max_open.min(setup.descriptors.share(Purpose::SinkFile));
        Run {
            scheduler: Scheduler::new(open_max, setup.commits_open),
            open_max,
            working: JoinSet::new(),
            arrived: finishing.others().filter(|_| setup.writer.exactly_once),
            setup,
            finishing,
            deliveries: 0,
            backlog_bytes: 0,
            making_room: 0,
            for_peers: 0,
            may_name_files,
            held_at_pressure: None,
            warned: Warned::default(),
        }
    }

    /// Writes the events of the port until the port ends and all files are complete. Returns the ledger.
    ///
    /// # Errors
    /// When a file or the ledger fails. The events in files that are not complete are redelivered.
    pub(super) async fn run(mut self, port: &mut SinkPort) -> Result<Option<Box<Ledger<F>>>, Failure> {
        match self.work(port).await {
            Ok(()) => Ok(self.finishing.take_ledger()),
            Err(failure) => {
                self.give_up().await;
                Err(failure)
            }
        }
    }

    async fn work(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        let mut ended = false;
        loop {
            self.start_work();
            if self.finishing.can_commit() {
                // A channel takes a new incarnation with the first event of its run, so these are up to date.
                self.finishing.commit(port.settled(), port.incarnations());
            }
            if ended && self.scheduler.is_empty() && self.finishing.files() == 0 && self.working.is_empty() {
                return Ok(());
            }
            let takes = !ended
                && self.backlog_bytes < BACKLOG_BYTES_MAX
                && self.finishing.files() < COMPLETING_FILES_MAX;
            let due = self.scheduler.next_due(self.setup.close_after);
            // Rows that peers wait for are committed without a timer, as soon as nothing else can be taken. Rows that
            // arrive during a commit are committed together by the next one.
            let commits = self.for_peers == 0 && self.scheduler.is_awaited();
            let marks_at = self.setup.markers.as_deref().and_then(Markers::next_due);
            let marks = marks_at.is_some() && !port.has_slowed();
            tokio::select! {
                biased;
                Some(finished) = self.finishing.next() => match finished? {
                    Finished::File(reason, completed) => self.completed(reason, &completed, port),
                    Finished::Entry(created) => self.created(&created, port),
                    Finished::Closed => {}
                },
                Some(done) = self.working.join_next() => self.done(done)?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let for_peers = self.scheduler.close_due(self.setup.close_after, Instant::now());
                    self.warn_of_peers(for_peers);
                }
                taken = port.take(), if takes => match taken? {
                    Taken::Events(delivery) => self.sort(delivery)?,
                    Taken::Pressure => self.on_pressure(port),
                    Taken::End => {
                        ended = true;
                        self.scheduler.close_all();
                    }
                },
                () = std::future::ready(()), if commits => self.for_peers = self.scheduler.commit_awaited(),
                Some(found) = next_found(&mut self.setup.markers) => {
                    if let Some(markers) = &mut self.setup.markers {
                        markers.add_found(found, self.setup.path);
                    }
                }
                // Behind `take`, which has been polled and has nothing: so the channel is empty at this moment.
                () = sleep_until(marks_at.unwrap_or_else(Instant::now)), if takes && marks => self.mark(),
            }
        }
    }

    /// Puts a delivery's rows into the queues of their directories.
    fn sort(&mut self, delivery: Delivery) -> Result<(), Failure> {
        self.deliveries += 1;
        let sorted = rows::by_directory(self.setup.path, delivery, self.deliveries, self.arrived.as_ref());
        let Sorted { directories, arrived_before } = sorted.map_err(Failure::permanent)?;
        if arrived_before > 0 {
            self.setup.meter.count("events_arrived_before", arrived_before);
        }
        let now = Instant::now();
        for (directory, rows) in directories {
            if let Some(markers) = &mut self.setup.markers {
                markers.add_events(&directory, rows.left() as u64, || rows.end_of_time(self.setup.path));
            }
            self.backlog_bytes += rows.bytes;
            if self.scheduler.push(directory, rows, now) {
                self.making_room += 1;
                self.warn_of_directories();
            }
        }
        Ok(())
    }

    fn start_work(&mut self) {
        while self.finishing.files() < COMPLETING_FILES_MAX
            && let Some(work) = self.scheduler.next_work()
        {
            match work {
                Work::Append { queue, directory, file, rows } => self.append(queue, directory, file, rows),
                Work::Complete { file: Some(file), reason } => self.finishing.add(file, reason),
                Work::Complete { file: None, reason: CloseReason::Early } => self.making_room -= 1,
                Work::Complete { file: None, reason: CloseReason::Due | CloseReason::Peers } => {}
                Work::Commit { queue, file, reason } => self.commit(queue, file, reason),
            }
        }
    }

    /// Begins to append rows to a file. A new file needs a descriptor of the budget. A sink may always have one file,
    /// or it could wait for ever for the descriptors of other components.
    fn append(
        &mut self,
        queue: QueueId,
        directory: Arc<str>,
        file: Option<OpenFile<F>>,
        rows: VecDeque<Rows>,
    ) {
        // The file of this queue counts as open already.
        let is_alone = self.scheduler.open() <= 1 && self.finishing.files() == 0;
        let target = match file {
            Some(file) => AppendTarget::Open(file),
            None => match self.setup.descriptors.try_take(Purpose::SinkFile) {
                None if !is_alone => return self.park(queue, rows),
                descriptor => AppendTarget::New(descriptor),
            },
        };
        let writer = self.setup.writer.clone();
        let bytes = rows.iter().map(|rows| rows.bytes).sum();
        self.working.spawn(async move {
            Done::Appended(queue, is_alone, bytes, writer.append(&directory, target, rows).await)
        });
    }

    /// Has rows wait until another file is closed. Orders to close one, if none is being closed.
    fn park(&mut self, queue: QueueId, rows: VecDeque<Rows>) {
        self.scheduler.park(queue, rows);
        self.scheduler.lower_open_max();
        if self.finishing.files() == 0 && self.scheduler.close_an_open_file() {
            self.making_room += 1;
        }
    }

    /// Begins to commit the content of a file that stays open.
    fn commit(&mut self, queue: QueueId, file: Option<OpenFile<F>>, reason: CommitReason) {
        match file {
            Some(file) if file.has_uncommitted_rows() => {
                self.may_name_files = true;
                let ticket = self.finishing.ticket(&file);
                let writer = self.setup.writer.clone();
                self.working
                    .spawn(async move { Done::Synced(queue, ticket, reason, writer.sync(file).await) });
            }
            file => {
                file.into_iter().for_each(|file| self.scheduler.returned(queue, file));
                match reason {
                    CommitReason::Peers => self.for_peers -= 1,
                    CommitReason::Room => self.making_room -= 1,
                }
            }
        }
    }

    fn done(&mut self, joined: Result<Done<F>, JoinError>) -> Result<(), Failure> {
        match joined? {
            Done::Appended(queue, was_alone, bytes, appended) => match appended? {
                Appended::Into { file, is_full, rest } => {
                    let rest_bytes: u64 = rest.iter().map(|rows| rows.bytes).sum();
                    self.backlog_bytes -= bytes - rest_bytes;
                    let full = self.scheduler.appended(queue, file, is_full, rest, Instant::now());
                    full.into_iter().for_each(|full| self.finishing.add(full, CloseReason::Due));
                }
                Appended::NoDescriptor(rows, error) => {
                    self.park(queue, rows);
                    self.warn_of_descriptors(&error);
                    let is_alone = self.scheduler.open() == 0 && self.finishing.files() == 0;
                    // Only other components of the process can free a descriptor.
                    if is_alone && was_alone {
                        return Err(error.into());
                    }
                    // The files that were open during the attempt have been closed meanwhile.
                    if is_alone {
                        self.scheduler.wake_parked();
                    }
                }
            },
            Done::Synced(queue, ticket, reason, synced) => {
                let (file, durable) = synced?;
                self.finishing.add_open_part(ticket, &file, reason, durable);
                self.scheduler.returned(queue, file);
            }
            Done::Marked(directory, marked) => self.marked(&directory, marked),
        }
        Ok(())
    }

    /// Handles an entry that was created.
    fn created(&mut self, created: &Created, port: &mut SinkPort) {
        if self.setup.writer.exactly_once {
            port.keep_mark(created.number);
            if created.others_changed {
                self.arrived = self.finishing.others();
            }
        }
        self.for_peers -= created.for_peers;
        self.room_made(created.for_room, port);
    }

    fn completed(&mut self, reason: CloseReason, completed: &Completed, port: &SinkPort) {
        debug!(
            component = self.setup.component,
            path = completed.path,
            events = completed.events,
            "wrote a file"
        );
        self.setup.totals.add(completed, reason, self.setup.meter);
        if let Some(markers) = &mut self.setup.markers {
            markers.finish_events(directory_of(&completed.path), completed.events);
        }
        self.scheduler.raise_open_max(self.open_max);
        self.scheduler.wake_parked();
        self.room_made(usize::from(reason == CloseReason::Early), port);
    }

    /// Counts files that were to make room and have done so.
    fn room_made(&mut self, files: usize, port: &SinkPort) {
        self.making_room -= files;
        if files > 0
            && self.making_room == 0
            && let Some(held) = self.held_at_pressure.take()
            && port.held().events >= held
        {
            self.make_room();
        }
    }

    /// Handles the channel's report that the sink holds too much of it.
    fn on_pressure(&mut self, port: &SinkPort) {
        // Files that are already making room may free enough, which is checked when they are done.
        match self.making_room {
            0 => self.make_room(),
            _ => self.held_at_pressure = Some(port.held().events),
        }
    }

    fn make_room(&mut self) {
        let files = self.scheduler.release_older_half();
        self.making_room += files;
        if files > 0 && !self.setup.commits_open && !self.warned.pressure {
            self.warned.pressure = true;
            warn!(
                component = self.setup.component,
                "the channel can't hold the events of a whole file: files are closed before they reach \
                 their `roll`; raise the channel's `capacity` and `byte_capacity`, or lower `roll`"
            );
        }
    }

    fn warn_of_directories(&mut self) {
        if !self.warned.directories {
            self.warned.directories = true;
            warn!(
                component = self.setup.component,
                max_open = self.open_max,
                limit = self.setup.descriptors.limit(),
                "events go to more directories at once than files may be open: those unused for longest \
                 are closed early; raise `max_open`, and the limit of open files if that is lower, or give \
                 `path` fewer directories"
            );
        }
    }

    fn warn_of_descriptors(&mut self, error: &FileError) {
        if !self.warned.descriptors {
            self.warned.descriptors = true;
            warn!(
                component = self.setup.component,
                limit = self.setup.descriptors.limit(),
                "{error}: {}: files unused for longest are closed early so that others can be written",
                error.source
            );
        }
    }

    fn warn_of_peers(&mut self, files: usize) {
        if files > 0 && !self.warned.peers {
            self.warned.peers = true;
            warn!(
                component = self.setup.component,
                "peers of a source wait for an answer, and the file with their events can't be committed while it \
                 is open: files are closed when half of the time has passed that they wait; put a durable channel \
                 between, or lower `roll`"
            );
        }
    }

    /// Drops all events, except those in files that may still become complete, and removes the unfinished files.
    /// Files that an entry may name stay until the next run has read the ledger: the outcome of the last entry may
    /// be unknown.
    async fn give_up(mut self) {
        self.working.shutdown().await;
        drop(self.scheduler);
        // Rows that are dropped only after the next run has begun would be redelivered behind newer ones.
        let encoding = timeout(LAST_FILES_TIMEOUT, self.setup.writer.encoders_idle()).await;
        if encoding.is_err() {
            info!(component = self.setup.component, "a codec does not come to its end");
        }
        let (finishing, totals) = (&mut self.finishing, self.setup.totals);
        let completing = async {
            while let Some(finished) = finishing.next().await {
                if let Ok(Finished::File(reason, completed)) = finished {
                    totals.add(&completed, reason, self.setup.meter);
                }
            }
        };
        if timeout(LAST_FILES_TIMEOUT, completing).await.is_err() {
            self.finishing.shutdown().await;
        }
        if self.arrived.is_none() && !self.may_name_files {
            remove_unfinished(self.setup.component, self.setup.writer, None).await;
        }
    }
}

/// Removes the unfinished files of a run that is over, except files that the ledger names. Logs the first failure.
pub(super) async fn remove_unfinished<F: FileSystem>(
    component: &str,
    writer: &FileWriter<F>,
    ledger: Option<&Ledger<F>>,
) {
    let is_named = |path: &str| {
        let name = below(&writer.root, path);
        ledger.zip(name).is_some_and(|(ledger, name)| ledger.names(name))
    };
    let removing = async {
        for path in writer.unfinished().into_iter().filter(|path| !is_named(path)) {
            if let Err(error) = writer.remove(&path).await {
                return Err(Failure::from(error));
            }
        }
        Ok(())
    };
    match timeout(REMOVAL_TIMEOUT, removing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => info!(component, "an unfinished file stays for now: {error}"),
        Err(_elapsed) => info!(component, "unfinished files stay for now: removing them takes too long"),
    }
}
