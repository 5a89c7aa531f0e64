//! One run of the sink: takes deliveries, keeps the files at work, and sees to it that they are
//! closed.

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
use super::file::{Appended, Completed, Durable, OpenFile, Target, Workshop};
use super::file_system::FileSystem;
use super::finishing::{Created, Finished, Finishing, Ticket};
use super::lanes::{Close, Delivered, Due, LaneId, Lanes, Reason, Work};
use super::ledger::{Known, Ledger};
use super::names::below;
use super::rows::{self, Rows, Sorted};
use super::totals::Totals;
use crate::tools::template::Renderer;

/// Taken from the channel and not encoded yet: enough to keep all cores busy.
const BACKLOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files that are being closed; beyond, nothing new is begun.
const COMPLETING_FILES_MAX: usize = 64;

/// How long a failing run waits for the files that were about to be complete.
const LAST_FILES_PATIENCE: Duration = Duration::from_secs(10);

/// How long a failing run tries to clear away what it leaves unfinished.
const CLEARING_PATIENCE: Duration = Duration::from_secs(5);

/// What a run is given by its sink.
pub(super) struct Setup<'a, F: FileSystem> {
    pub(super) component: &'a str,
    pub(super) path: &'a Renderer,
    pub(super) due: Due,
    pub(super) max_open: usize,
    /// Whether files can be committed while they are open.
    pub(super) commits_open: bool,
    pub(super) descriptors: &'a Descriptors,
    pub(super) workshop: &'a Arc<Workshop<F>>,
    pub(super) meter: &'a Meter,
    pub(super) totals: &'a mut Totals,
}

/// What a task on a lane's file comes back with.
enum Done<F: FileSystem> {
    /// Whether no other file was open, how many bytes it was to append, and what became of them.
    Appended(LaneId, bool, u64, Result<Appended<F>, FileError>),
    /// The file, and what is durable of it.
    Synced(LaneId, Ticket, Reason, Result<(OpenFile<F>, Durable), FileError>),
}

pub(super) struct Run<'a, F: FileSystem> {
    setup: Setup<'a, F>,
    lanes: Lanes<OpenFile<F>, Rows>,
    /// The most files that may be open, if there are descriptors for all.
    open_max: usize,
    working: JoinSet<Done<F>>,
    finishing: Finishing<F>,
    /// Rows that have arrived before and are left out, where there is a ledger.
    arrived: Option<Known>,
    deliveries: u64,
    backlog_bytes: u64,
    /// Files that are closed early and not yet complete, or committed to make room and not yet in an entry.
    early: usize,
    /// Files that are being committed for peers that wait.
    for_peers: usize,
    /// Whether an entry may name files that this run leaves unfinished.
    has_committed_open: bool,
    /// The channel asked for events back while `early` files were still being closed; that many
    /// were held then.
    pressed_with: Option<usize>,
    warned: Warned,
}

/// What was said in this run, to say it once.
#[derive(Default)]
struct Warned {
    pressure: bool,
    directories: bool,
    descriptors: bool,
    peers: bool,
}

impl Delivered for Rows {
    fn delivery(&self) -> u64 {
        self.delivery
    }

    fn awaited(&self) -> Option<Awaited> {
        Rows::awaited(self)
    }
}

impl<'a, F: FileSystem> Run<'a, F> {
    pub(super) fn new(setup: Setup<'a, F>, ledger: Option<Box<Ledger<F>>>) -> Run<'a, F> {
        let finishing = Finishing::new(setup.workshop.clone(), ledger);
        let open_max = setup.max_open.min(setup.descriptors.share(Purpose::SinkFile));
        Run {
            lanes: Lanes::new(open_max, setup.commits_open),
            open_max,
            working: JoinSet::new(),
            arrived: finishing.others().filter(|_| setup.workshop.exactly_once),
            setup,
            finishing,
            deliveries: 0,
            backlog_bytes: 0,
            early: 0,
            for_peers: 0,
            has_committed_open: false,
            pressed_with: None,
            warned: Warned::default(),
        }
    }

    /// Writes what the port brings, until it ends and all files are complete. Gives the ledger back.
    ///
    /// # Errors
    /// When one file fails, or the ledger does. What is in files that are not complete comes again.
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
                // A channel takes another incarnation with the first event of a run: they are those of now.
                self.finishing.commit(port.settled(), port.incarnations());
            }
            if ended && self.lanes.is_empty() && self.finishing.files() == 0 {
                return Ok(());
            }
            let takes = !ended
                && self.backlog_bytes < BACKLOG_BYTES_MAX
                && self.finishing.files() < COMPLETING_FILES_MAX;
            let due = self.lanes.next_due(self.setup.due);
            // Peers wait for no timer: what they wait for is committed once nothing else can be taken now. What
            // comes while that is under way is committed together afterwards.
            let commits = self.for_peers == 0 && self.lanes.is_awaited();
            tokio::select! {
                biased;
                Some(finished) = self.finishing.next() => match finished? {
                    Finished::File(close, completed) => self.completed(close, &completed, port),
                    Finished::Entry(created) => self.created(&created, port),
                    Finished::Closed => {}
                },
                Some(done) = self.working.join_next() => self.done(done)?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let for_peers = self.lanes.close_due(self.setup.due, Instant::now());
                    self.warn_of_peers(for_peers);
                }
                taken = port.take(), if takes => match taken? {
                    Taken::Events(delivery) => self.sort(delivery)?,
                    Taken::Pressure => self.press(port),
                    Taken::End => {
                        ended = true;
                        self.lanes.close_all();
                    }
                },
                () = std::future::ready(()), if commits => self.for_peers = self.lanes.commit_awaited(),
            }
        }
    }

    /// Puts a delivery's rows into the lanes of their directories.
    fn sort(&mut self, delivery: Delivery) -> Result<(), Failure> {
        self.deliveries += 1;
        let sorted = rows::by_directory(self.setup.path, delivery, self.deliveries, self.arrived.as_ref());
        let Sorted { directories, arrived_before } = sorted.map_err(Failure::permanent)?;
        if arrived_before > 0 {
            self.setup.meter.count("events_arrived_before", arrived_before);
        }
        let now = Instant::now();
        for (directory, rows) in directories {
            self.backlog_bytes += rows.bytes;
            if self.lanes.push(directory, rows, now) {
                self.early += 1;
                self.warn_of_directories();
            }
        }
        Ok(())
    }

    fn start_work(&mut self) {
        while self.finishing.files() < COMPLETING_FILES_MAX
            && let Some(work) = self.lanes.next_work()
        {
            match work {
                Work::Append { lane, directory, file, rows } => self.append(lane, directory, file, rows),
                Work::Complete { file: Some(file), close } => self.finishing.add(file, close),
                Work::Complete { file: None, close: Close::Early } => self.early -= 1,
                Work::Complete { file: None, close: Close::Due | Close::Peers } => {}
                Work::Commit { lane, file, reason } => self.commit(lane, file, reason),
            }
        }
    }

    /// Begins to append rows to a file. A new one needs a descriptor of the budget; but one file a sink may always
    /// have, or it could wait for ever for others.
    fn append(&mut self, lane: LaneId, directory: Arc<str>, file: Option<OpenFile<F>>, rows: VecDeque<Rows>) {
        // The lane that asks counts as open already.
        let is_alone = self.lanes.open() <= 1 && self.finishing.files() == 0;
        let target = match file {
            Some(file) => Target::Open(file),
            None => match self.setup.descriptors.try_take(Purpose::SinkFile) {
                None if !is_alone => return self.park(lane, rows),
                descriptor => Target::New(descriptor),
            },
        };
        let workshop = self.setup.workshop.clone();
        let bytes = rows.iter().map(|rows| rows.bytes).sum();
        self.working.spawn(async move {
            Done::Appended(lane, is_alone, bytes, workshop.append(&directory, target, rows).await)
        });
    }

    /// Has rows wait until another file has gone; one is closed for that if none is being closed.
    fn park(&mut self, lane: LaneId, rows: VecDeque<Rows>) {
        self.lanes.park(lane, rows);
        self.lanes.lower_open_max();
        if self.finishing.files() == 0 && self.lanes.close_one_that_is_open() {
            self.early += 1;
        }
    }

    /// Begins to commit what is in a file that stays open.
    fn commit(&mut self, lane: LaneId, file: Option<OpenFile<F>>, reason: Reason) {
        match file {
            Some(file) if file.is_awaited() => {
                self.has_committed_open = true;
                let ticket = self.finishing.ticket(&file);
                let workshop = self.setup.workshop.clone();
                self.working
                    .spawn(async move { Done::Synced(lane, ticket, reason, workshop.sync(file).await) });
            }
            file => {
                file.into_iter().for_each(|file| self.lanes.returned(lane, file));
                match reason {
                    Reason::Peers => self.for_peers -= 1,
                    Reason::Room => self.early -= 1,
                }
            }
        }
    }

    fn done(&mut self, joined: Result<Done<F>, JoinError>) -> Result<(), Failure> {
        match joined? {
            Done::Appended(lane, was_alone, bytes, appended) => match appended? {
                Appended::Into { file, is_full, rest } => {
                    let rest_bytes: u64 = rest.iter().map(|rows| rows.bytes).sum();
                    self.backlog_bytes -= bytes - rest_bytes;
                    let full = self.lanes.appended(lane, file, is_full, rest, Instant::now());
                    full.into_iter().for_each(|full| self.finishing.add(full, Close::Due));
                }
                Appended::NoDescriptor(rows, error) => {
                    self.park(lane, rows);
                    self.warn_of_descriptors(&error);
                    let is_alone = self.lanes.open() == 0 && self.finishing.files() == 0;
                    // It has to wait for somebody else in the process.
                    if is_alone && was_alone {
                        return Err(error.into());
                    }
                    // Those that were open when it was tried have gone meanwhile.
                    if is_alone {
                        self.lanes.wake_parked();
                    }
                }
            },
            Done::Synced(lane, ticket, reason, synced) => {
                let (file, durable) = synced?;
                self.finishing.add_beginning(ticket, &file, reason, durable);
                self.lanes.returned(lane, file);
            }
        }
        Ok(())
    }

    /// An entry says what is committed.
    fn created(&mut self, created: &Created, port: &mut SinkPort) {
        if self.setup.workshop.exactly_once {
            port.keep_mark(created.number);
            if created.others_changed {
                self.arrived = self.finishing.others();
            }
        }
        self.for_peers -= created.for_peers;
        self.eased(created.for_room, port);
    }

    fn completed(&mut self, close: Close, completed: &Completed, port: &SinkPort) {
        debug!(
            component = self.setup.component,
            path = completed.path,
            events = completed.events,
            "wrote a file"
        );
        self.setup.totals.add(completed, close, self.setup.meter);
        self.lanes.raise_open_max(self.open_max);
        self.lanes.wake_parked();
        self.eased(usize::from(close == Close::Early), port);
    }

    /// So many of the files that were to give something back have done so.
    fn eased(&mut self, files: usize, port: &SinkPort) {
        self.early -= files;
        if files > 0
            && self.early == 0
            && let Some(held) = self.pressed_with.take()
            && port.held().events >= held
        {
            self.relieve();
        }
    }

    /// The channel can't go on with all that is held here.
    fn press(&mut self, port: &SinkPort) {
        // What is being closed gives some back; only then it shows whether that is enough.
        match self.early {
            0 => self.relieve(),
            _ => self.pressed_with = Some(port.held().events),
        }
    }

    fn relieve(&mut self) {
        let files = self.lanes.give_back_older_half();
        self.early += files;
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

    /// Lets go of all events but those of the files that may still become complete, and clears
    /// away what is unfinished; where entries may name some of it only when the ledger has been read again, since
    /// the outcome of the last one may be unknown.
    async fn give_up(mut self) {
        self.working.shutdown().await;
        drop(self.lanes);
        // Rows that come back only when the next run has begun would be behind newer ones.
        let encoding = timeout(LAST_FILES_PATIENCE, self.setup.workshop.quiet()).await;
        if encoding.is_err() {
            info!(component = self.setup.component, "a codec does not come to its end");
        }
        let (finishing, totals) = (&mut self.finishing, self.setup.totals);
        let completing = async {
            while let Some(finished) = finishing.next().await {
                if let Ok(Finished::File(close, completed)) = finished {
                    totals.add(&completed, close, self.setup.meter);
                }
            }
        };
        if timeout(LAST_FILES_PATIENCE, completing).await.is_err() {
            self.finishing.shutdown().await;
        }
        if self.arrived.is_none() && !self.has_committed_open {
            clear_away(self.setup.component, self.setup.workshop, None).await;
        }
    }
}

/// Removes, as far as that goes, the unfinished files of a run that is over, but not those that the ledger names.
pub(super) async fn clear_away<F: FileSystem>(
    component: &str,
    workshop: &Workshop<F>,
    ledger: Option<&Ledger<F>>,
) {
    let is_named = |path: &str| {
        let name = below(&workshop.root, path);
        ledger.zip(name).is_some_and(|(ledger, name)| ledger.names(name))
    };
    let removing = async {
        for path in workshop.unfinished().into_iter().filter(|path| !is_named(path)) {
            if let Err(error) = workshop.remove(&path).await {
                return Err(Failure::from(error));
            }
        }
        Ok(())
    };
    match timeout(CLEARING_PATIENCE, removing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => info!(component, "an unfinished file stays for now: {error}"),
        Err(_elapsed) => info!(component, "unfinished files stay for now: removing them takes too long"),
    }
}
