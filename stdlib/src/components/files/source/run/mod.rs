//! The main loop: scans for files, reads and puts their events, and handles deliveries.

mod delivery;
mod descriptors;
mod gone;
mod oddities;
mod processing;
mod quarantine;
mod saving;
mod scanning;
mod search;
mod too_large;
mod walk;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weir_runtime::batch::Partition;
#[cfg(weir_bug)]
use weir_runtime::source::DeliveredThrough;
use weir_runtime::source::{Delivered, Deliveries, DownstreamChannels, Outlet, SourcePort};

use super::file_system::FileSystem;
use super::positions::{
    Downstream, Image, Memory, NewPositions, PositionsError, PositionsStore, RememberedFile,
};
use super::tracked::{FileId, Files, Phase};
use super::watching::{Changes, Watcher};
use super::{FilesError, FilesSource};
use crate::tools::deadline;
use saving::Saves;
use walk::{Walk, Walked};
use weir_runtime::Descriptor;

/// The most compressed files that are read at once, since each needs memory for its decoder.
const COMPRESSED_MAX: usize = 8;
/// How long a file that is gone is kept open after its last growth, since its writer may continue.
const GONE_OPEN_FOR: Duration = Duration::from_secs(60);
/// After how long without growth the partial line of a file that is gone is emitted, if a non-empty file has taken its
/// path. The file itself is kept open for [`GONE_OPEN_FOR`].
const REPLACED_WAIT: Duration = Duration::from_secs(5);
/// After how long a file that could not be read is retried.
const RETRY: Duration = Duration::from_secs(30);
/// After how long a call that failed by an outage is retried.
const OUTAGE_RETRY: Duration = Duration::from_secs(1);
/// How many `poll` intervals pass before a waiting copy that has changed is identified again.
const COPY_CHECK_POLLS: u32 = 10;
/// The shortest pause between two scans.
const SCAN_PAUSE_MIN: Duration = Duration::from_millis(20);
/// The factor by which the pause between two scans is at least longer than a scan takes.
const SCAN_PAUSE_FACTOR_UNWATCHED: u32 = 20;
/// The same factor if inotify reports every change, so that a scan is only a precaution.
const SCAN_PAUSE_FACTOR_WATCHED: u32 = 500;
/// The longest pause between two scans, however long a scan takes.
const SCAN_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The error message for a compressed file that ends too early.
const ENDS_WITHIN: &str = "ends too early, within its compressed data or a block";
/// The partition whose position says that the source has run before.
const BEGAN: &str = "began";

/// One run of the source.
struct Run<'a> {
    source: &'a mut FilesSource,
    stop: CancellationToken,
    files: Files,
    /// The descriptors of open files, and of some that were closed since.
    open: HashMap<FileId, Descriptor>,
    /// Files whose text is held back until more is written, or until a time has passed.
    held_back: HashSet<FileId>,
    watcher: Watcher,
    /// Files with text to be read; they are processed round robin.
    queue: VecDeque<FileId>,
    /// Files that are queued at a given time.
    due: BTreeSet<(Instant, FileId)>,
    next_scan: Instant,
    walk: Walk,
    /// When the last scan ended, and how long it took.
    scanned: Option<(Instant, Duration)>,
    /// The number of scans so far.
    scans: u64,
    /// The number of the last scan that no longer found a file which was not identified yet.
    unidentified_lost_in: u64,
    /// Whether no complete scan has shown yet which files of earlier runs are gone.
    absent_unknown: bool,
    reads: u64,
    saves: Saves,
    /// The channels downstream.
    behind: DownstreamChannels,
    /// The channels and sinks that had the delivered events before this run.
    downstream: Downstream,
    /// Whether something was delivered in this run.
    has_delivered: bool,
    /// The number of files that the last scan has found and that may not be complete yet.
    unsettled: u64,
    /// Whether an outage that keeps files from being read was logged and is not over.
    outage: bool,
}

/// The next event that the main loop handles.
enum Event {
    Delivered(Option<Delivered>),
    Changes(Changes),
    Saved(Result<(), FilesError>),
    Save,
    Scan,
    Walked(Result<Walked, JoinError>),
    Due,
    Process,
}

/// Runs the source until it is told to stop.
pub(super) async fn run(source: &mut FilesSource, port: SourcePort) -> Result<(), FilesError> {
    source.batches.identities = port.wants_identities();
    let remembered = remember(source, &port)?;
    let behind = port.downstream().clone();
    let SourcePort { mut outlet, mut deliveries, stop, .. } = port;
    let (now, downstream) = (Instant::now(), remembered.downstream.clone());
    let mut run = Run {
        stop: stop.clone(),
        files: Files::new(remembered, source.positions.is_some()),
        watcher: source.rules.file_system.watcher(source.component.clone(), source.discovery.patterns()),
        source,
        open: HashMap::new(),
        held_back: HashSet::new(),
        queue: VecDeque::new(),
        due: BTreeSet::new(),
        next_scan: now,
        walk: Walk::default(),
        scanned: None,
        scans: 0,
        unidentified_lost_in: 0,
        absent_unknown: true,
        reads: 0,
        saves: Saves::new(now),
        behind,
        downstream,
        has_delivered: false,
        unsettled: 0,
        outage: false,
    };
    let result = async {
        loop {
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                event = run.next(&mut deliveries) => event,
            };
            run.handle(event, &mut outlet, &mut deliveries).await?;
            // Text that a scan has found and that was not read yet counts as held back.
            run.source.meter.set_buffered((run.held_back.len() + run.queue.len()) as u64 + run.unsettled);
            if run.scanned.is_some() {
                run.source.meter.finish_discovery();
            }
        }
    }
    .await;
    if run.walk.is_under_way() {
        // What it finds is found again by whoever needs it.
        let _: Result<Walked, JoinError> = run.walk.finished().await;
    }
    let result = match result {
        Ok(()) => run.drain_gone_files(&mut outlet, &mut deliveries).await,
        failed => failed,
    };
    if result.is_ok() {
        outlet.close();
        while let Some(delivered) = deliveries.next().await {
            run.deliver(delivered).await?;
        }
    }
    let saved = run.save_the_last().await;
    run.source.remembered = run.memory();
    result.and(saved)
}

/// Merges the state of the previous run, the file of positions, and the positions of the channels. Positions that were
/// put and positions that were delivered are kept apart.
fn remember(source: &mut FilesSource, port: &SourcePort) -> Result<Memory, FilesError> {
    let mut memory = std::mem::take(&mut source.remembered);
    if let (Some(path), None) = (&source.positions_path, &source.positions) {
        let (positions, loaded) = source.rules.file_system.positions(path)?;
        let is_first = loaded.is_none();
        memory = check_downstream(source, &*positions, loaded.unwrap_or_default(), port)?;
        source.positions = Some(positions);
        source.first_run &= is_first;
    }
    source.first_run &= port.given.positions().next().is_none();
    let places = memory.files.iter().enumerate();
    let mut places: HashMap<String, usize> =
        places.map(|(at, known)| (known.partition.clone(), at)).collect();
    let mut change = |partition: &Partition, change: &dyn Fn(&mut RememberedFile)| {
        let at = places.get(partition.name()).copied().or_else(|| {
            let name = partition.name().parse().ok()?;
            memory.files.push(RememberedFile::named(partition, name));
            places.insert(partition.name().to_owned(), memory.files.len() - 1);
            Some(memory.files.len() - 1)
        });
        at.into_iter().for_each(|at| change(&mut memory.files[at]));
    };
    for (partition, given) in port.given.positions() {
        change(partition, &|known| {
            if given.position() > known.resume_position() {
                known.rest = None;
            }
            known.given = Some(given);
            #[cfg(weir_bug)]
            if weir_runtime::put_back!("given_taken_for_delivered") {
                let position = DeliveredThrough::not_wanted_before(given.position());
                known.position = position.max(known.position);
            }
        });
    }
    for (partition, delivered) in port.delivered.positions() {
        change(partition, &|known| known.position = delivered.max(known.position));
    }
    Ok(memory)
}

/// Refuses positions if a channel or sink downstream has lost delivered events, unless the user has accepted that.
fn check_downstream(
    source: &FilesSource,
    positions: &dyn PositionsStore,
    mut loaded: Memory,
    port: &SourcePort,
) -> Result<Memory, FilesError> {
    let Some(loss) = loaded.downstream.loss(&loaded.files, port.downstream()) else { return Ok(loaded) };
    if !positions.is_accepted()? {
        let path = source.positions_path.clone().unwrap_or_default();
        return Err(PositionsError::DownstreamLoss { path, loss }.into());
    }
    warn!(component = %source.component, "{loss}: that is accepted, the source continues behind its positions");
    loaded.downstream.accept_loss(&mut loaded.files, port.downstream());
    loaded.downstream = Downstream::default();
    positions.save(&mut Image::default(), &NewPositions::all(loaded.clone()))?;
    positions.forget_acceptance()?;
    Ok(loaded)
}

impl Run<'_> {
    /// Waits for the next event. Dropping the future loses nothing.
    async fn next(&mut self, deliveries: &mut Deliveries) -> Event {
        let due = self.due.first().map(|(when, _)| *when);
        let (ready, save) = (!self.queue.is_empty(), self.save_due());
        let walks = self.walk.is_under_way();
        tokio::select! {
            biased;
            delivered = deliveries.next() => Event::Delivered(delivered),
            saved = self.saves.finished() => Event::Saved(saved),
            () = deadline::reached(save) => Event::Save,
            walked = self.walk.finished() => Event::Walked(walked),
            () = sleep_until(self.next_scan), if !walks => Event::Scan,
            () = deadline::reached(due) => Event::Due,
            changes = self.watcher.changes() => Event::Changes(changes),
            () = std::future::ready(()), if ready => Event::Process,
        }
    }

    async fn handle(
        &mut self,
        event: Event,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        match event {
            Event::Delivered(None) => Ok(()),
            Event::Delivered(Some(delivered)) => self.deliver(delivered).await,
            Event::Changes(changes) => {
                self.note_changes(changes);
                Ok(())
            }
            Event::Saved(saved) => self.saved(saved),
            Event::Save => {
                self.save();
                Ok(())
            }
            Event::Scan => self.scan(outlet, deliveries).await,
            Event::Walked(walked) => self.apply(walked?, outlet, deliveries).await,
            Event::Due => {
                while let Some(&(when, id)) = self.due.first()
                    && when <= Instant::now()
                {
                    self.due.pop_first();
                    self.held_back.remove(&id);
                    if let Some(file) = self.files.get(id) {
                        file.due = None;
                    }
                    self.enqueue(id);
                }
                Ok(())
            }
            Event::Process => match self.queue.pop_front() {
                Some(id) => self.process(id, outlet, deliveries).await,
                None => Ok(()),
            },
        }
    }

    /// The file system that contains the files.
    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.source.rules.file_system.clone()
    }

    fn enqueue(&mut self, id: FileId) {
        if let Some(file) = self.files.get(id)
            && !file.queued
            && matches!(file.phase, Phase::New | Phase::Reading | Phase::Finished)
        {
            file.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Queues a file that may have grown: at once if there is text for a complete batch, otherwise after `linger`.
    fn note_growth(&mut self, id: FileId) {
        if self.files.waits(id) {
            // The copy may still be being written: decompressing it for every write would cost too much.
            self.enqueue_at(id, Instant::now() + COPY_CHECK_POLLS * self.source.poll);
            return;
        }
        let Some(file) = self.files.get(id) else { return };
        let there =
            file.text.as_ref().map_or(0, |text| file.stamp.length.saturating_sub(text.reader.position));
        let events_max = self.source.rules.events_max;
        let enough = file.text.as_ref().is_none_or(|text| there >= text.reader.wanted(events_max) as u64);
        match self.source.linger {
            Some(linger) if !enough => {
                self.enqueue_at(id, Instant::now() + linger);
                self.held_back.insert(id);
            }
            _ => self.enqueue(id),
        }
    }

    /// Queues a file again after an outage. Until then the source does not count as idle.
    fn try_again_at(&mut self, id: FileId, when: Instant) {
        self.enqueue_at(id, when);
        self.held_back.insert(id);
    }

    /// Queues a file at the given time, unless it is queued earlier.
    fn enqueue_at(&mut self, id: FileId, when: Instant) {
        let Some(file) = self.files.get(id) else { return };
        match file.due {
            Some(before) if before <= when => return,
            Some(before) => {
                self.due.remove(&(before, id));
            }
            None => {}
        }
        file.due = Some(when);
        self.due.insert((when, id));
    }
}

fn file_path(files: &mut Files, id: FileId) -> PathBuf {
    files.get(id).map(|file| file.path.clone()).unwrap_or_default()
}
