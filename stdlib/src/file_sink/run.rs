//! One run of the sink: takes deliveries, keeps the files at work, and sees to it that they are
//! closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};
use weir_runtime::channel::Taken;
use weir_runtime::sink::{Delivery, SinkPort};
use weir_runtime::{Failure, Meter};

use super::error::FileError;
use super::file::{Appended, Completed, OpenFile, Workshop};
use super::file_system::FileSystem;
use super::finishing::{Finished, Finishing};
use super::lanes::{Close, Delivered, Due, LaneId, Lanes, Work};
use super::ledger::{Known, Ledger};
use super::rows::{self, Rows, Sorted};
use super::totals::Totals;
use crate::template::Renderer;

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
    pub(super) workshop: &'a Arc<Workshop<F>>,
    pub(super) meter: &'a Meter,
    pub(super) totals: &'a mut Totals,
}

/// What an append comes back with: the lane, how many bytes it was given, and what became of it.
type AppendResult<F> = (LaneId, u64, Result<Appended<F>, FileError>);

pub(super) struct Run<'a, F: FileSystem> {
    setup: Setup<'a, F>,
    lanes: Lanes<OpenFile<F>, Rows>,
    appending: JoinSet<AppendResult<F>>,
    finishing: Finishing<F>,
    /// Rows that have arrived before and are left out, where there is a ledger.
    arrived: Option<Known>,
    deliveries: u64,
    backlog_bytes: u64,
    /// Files that are closed early and not yet complete.
    early: usize,
    /// The channel asked for events back while `early` files were still being closed; that many
    /// were held then.
    pressed_with: Option<usize>,
    warned_of_pressure: bool,
    warned_of_directories: bool,
}

impl Delivered for Rows {
    fn delivery(&self) -> u64 {
        self.delivery
    }
}

impl<'a, F: FileSystem> Run<'a, F> {
    pub(super) fn new(setup: Setup<'a, F>, ledger: Option<Box<Ledger<F>>>) -> Run<'a, F> {
        let finishing = Finishing::new(setup.workshop.clone(), ledger);
        Run {
            lanes: Lanes::new(setup.max_open),
            setup,
            appending: JoinSet::new(),
            arrived: finishing.others(),
            finishing,
            deliveries: 0,
            backlog_bytes: 0,
            early: 0,
            pressed_with: None,
            warned_of_pressure: false,
            warned_of_directories: false,
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
                self.finishing.commit(port.settled());
            }
            if ended && self.lanes.is_empty() && self.finishing.files() == 0 {
                return Ok(());
            }
            let takes = !ended
                && self.backlog_bytes < BACKLOG_BYTES_MAX
                && self.finishing.files() < COMPLETING_FILES_MAX;
            let due = self.lanes.next_due(self.setup.due);
            tokio::select! {
                biased;
                Some(finished) = self.finishing.next() => match finished? {
                    Finished::File(close, completed) => self.completed(close, &completed, port),
                    Finished::Step { others_changed: true } => self.arrived = self.finishing.others(),
                    Finished::Step { others_changed: false } => {}
                },
                Some(appended) = self.appending.join_next() => self.appended(appended)?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.lanes.close_due(self.setup.due, Instant::now());
                }
                taken = port.take(), if takes => match taken? {
                    Taken::Events(delivery) => self.sort(delivery)?,
                    Taken::Pressure => self.press(port),
                    Taken::End => {
                        ended = true;
                        self.lanes.close_all();
                    }
                },
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
                Work::Append { lane, directory, file, rows } => {
                    let workshop = self.setup.workshop.clone();
                    let bytes = rows.iter().map(|rows| rows.bytes).sum();
                    self.appending
                        .spawn(async move { (lane, bytes, workshop.append(&directory, file, rows).await) });
                }
                Work::Complete { file: Some(file), close } => self.finishing.add(file, close),
                Work::Complete { file: None, close: Close::Early } => self.early -= 1,
                Work::Complete { file: None, close: Close::Due } => {}
            }
        }
    }

    fn appended(&mut self, joined: Result<AppendResult<F>, JoinError>) -> Result<(), Failure> {
        let (lane, bytes, appended) = joined?;
        let Appended { file, is_full, rest } = appended?;
        let rest_bytes: u64 = rest.iter().map(|rows| rows.bytes).sum();
        self.backlog_bytes -= bytes - rest_bytes;
        if let Some(full) = self.lanes.appended(lane, file, is_full, rest, Instant::now()) {
            self.finishing.add(full, Close::Due);
        }
        Ok(())
    }

    fn completed(&mut self, close: Close, completed: &Completed, port: &SinkPort) {
        debug!(
            component = self.setup.component,
            path = completed.path,
            events = completed.events,
            "wrote a file"
        );
        self.setup.totals.add(completed, close, self.setup.meter);
        if close == Close::Early {
            self.early -= 1;
            if self.early == 0
                && let Some(held) = self.pressed_with.take()
                && port.held().events >= held
            {
                self.relieve();
            }
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
        let closed = self.lanes.close_older_half();
        self.early += closed;
        if closed > 0 && !self.warned_of_pressure {
            self.warned_of_pressure = true;
            warn!(
                component = self.setup.component,
                "the channel can't hold the events of a whole file: files are closed before they reach \
                 their `roll`; raise the channel's `capacity` and `byte_capacity`, or lower `roll`"
            );
        }
    }

    fn warn_of_directories(&mut self) {
        if !self.warned_of_directories {
            self.warned_of_directories = true;
            warn!(
                component = self.setup.component,
                max_open = self.setup.max_open,
                "events go to more directories at once than files may be open: those unused for longest \
                 are closed early; raise `max_open`, or give `path` fewer directories"
            );
        }
    }

    /// Lets go of all events but those of the files that may still become complete, and clears
    /// away what is unfinished; with a ledger only when that has been read again, since an entry
    /// whose outcome is unknown may name some of it.
    async fn give_up(mut self) {
        self.appending.shutdown().await;
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
        if self.arrived.is_none() {
            clear_away(self.setup.component, self.setup.workshop).await;
        }
    }
}

/// Removes, as far as that goes, the unfinished files of a run that is over.
pub(super) async fn clear_away<F: FileSystem>(component: &str, workshop: &Workshop<F>) {
    let removing = async {
        for path in workshop.unfinished() {
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
