//! The loop: look, read, put, and learn what was delivered.

mod delivering;
mod looking;
mod setting_aside;
mod turns;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use weir_runtime::source::{Delivered, Deliveries, Outlet, SourcePort, Stored};

use super::positions::{Memory, PositionsError, Remembered};
use super::room::Room;
use super::tracked::{FileId, Files, Phase};
use super::watching::{News, Watcher};
use super::{FilesError, FilesSource};
use crate::due::until;

/// The most files that are open at once; for another, the one unused for longest is closed.
const OPEN_MAX: usize = 512;
/// The most packed files that are read at once: each holds what its unpacking needs.
const PACKED_MAX: usize = 8;
/// A file that has gone is kept open for so long after its last growth, since its writer may go on.
const GONE_OPEN: Duration = Duration::from_secs(60);
/// A file that could not be read is tried again after so long.
const RETRY: Duration = Duration::from_secs(30);
/// A copy that changes while it waits for its original is looked into once in so many looks.
const COPY_LOOKS: u32 = 10;
/// Two looks are at least this far apart.
const LOOKS_APART: Duration = Duration::from_millis(20);
/// A pause between two looks is so many times as long as a look takes.
const LOOKS_APART_UNTOLD: u32 = 20;
/// The same where the system tells of all that happens, so that a look only finds what it did not tell of.
const LOOKS_APART_TOLD: u32 = 100;
/// A look that takes long puts the next one off by no more than this.
const LOOKS_APART_MAX: Duration = Duration::from_secs(60);
/// Positions are saved at most a tenth of the time: a pause is so many times as long as what it follows.
const SAVES_APART: u32 = 9;
/// What is wrong with a packed file that was cut off.
const ENDS_WITHIN: &str = "ends within what was packed";
/// The partition whose position says that the source has run before.
const BEGAN: &str = "began";

/// One run of the source.
struct Run<'a> {
    source: &'a mut FilesSource,
    stop: CancellationToken,
    files: Files,
    /// Files that are open, and perhaps some that no longer are.
    open: HashSet<FileId>,
    watcher: Watcher,
    /// Files with something to be read, each in its turn.
    queue: VecDeque<FileId>,
    /// Files whose turn comes at a time.
    due: BTreeSet<(Instant, FileId)>,
    next_look: Instant,
    looked: Option<(Instant, Duration)>,
    /// Whether it is still unknown which files of earlier runs are not there any more.
    absent_unknown: bool,
    turns: u64,
    saving: Option<JoinHandle<Result<(), PositionsError>>>,
    /// When what is being saved, or was saved last, was begun to be.
    saving_since: Instant,
    /// Before this nothing is saved again.
    next_save: Instant,
    /// Whether something was delivered that is not saved.
    unsaved: bool,
}

/// What the loop goes on with.
enum Event {
    Delivered(Option<Delivered>),
    News(News),
    Saved(Result<(), FilesError>),
    Save,
    Look,
    Due,
    Turn,
}

/// Runs the source until it is told to stop.
pub(super) async fn run(source: &mut FilesSource, port: SourcePort) -> Result<(), FilesError> {
    source.batches.identities = port.wants_identities();
    let SourcePort { mut outlet, mut deliveries, stop, stored, .. } = port;
    let remembered = remember(source, &stored)?;
    let now = Instant::now();
    let mut run = Run {
        stop: stop.clone(),
        files: Files::new(remembered),
        watcher: source.rules.room.watcher(source.component.clone(), source.discovery.patterns()),
        source,
        open: HashSet::new(),
        queue: VecDeque::new(),
        due: BTreeSet::new(),
        next_look: now,
        looked: None,
        absent_unknown: true,
        turns: 0,
        saving: None,
        saving_since: now,
        next_save: now,
        unsaved: false,
    };
    let result = async {
        loop {
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                event = run.next(&mut deliveries) => event,
            };
            run.handle(event, &mut outlet, &mut deliveries).await?;
        }
    }
    .await;
    if result.is_ok() {
        outlet.close();
        while let Some(delivered) = deliveries.next().await {
            run.deliver(delivered).await?;
        }
    }
    let saved = run.save_the_last().await;
    run.source.remembered = run.files.remember();
    result.and(saved)
}

/// What is known from before: the most that the channels, the file of positions and this process say.
fn remember(source: &mut FilesSource, stored: &Stored) -> Result<Memory, FilesError> {
    let mut memory = std::mem::take(&mut source.remembered);
    if let (Some(path), None) = (&source.positions_path, &source.positions) {
        let (positions, loaded) = source.rules.room.positions(path)?;
        source.positions = Some(positions);
        source.first_run &= loaded.is_none();
        let loaded = loaded.unwrap_or_default();
        memory.files.extend(loaded.files);
        memory.copies.extend(loaded.copies);
    }
    source.first_run &= stored.positions().next().is_none();
    let places = memory.files.iter().enumerate();
    let places: HashMap<String, usize> = places.map(|(at, known)| (known.partition.clone(), at)).collect();
    for (partition, position) in stored.positions() {
        match places.get(partition.name()).map(|at| &mut memory.files[*at]) {
            Some(known) if known.position < position => (known.position, known.rest) = (position, None),
            Some(_) => {}
            None => memory.files.extend(Remembered::stored(partition, position)),
        }
    }
    Ok(memory)
}

impl Run<'_> {
    /// Waits for whatever comes first. Dropping the future loses nothing.
    async fn next(&mut self, deliveries: &mut Deliveries) -> Event {
        let due = self.due.first().map(|(when, _)| *when);
        let (ready, save) = (!self.queue.is_empty(), self.save_due());
        tokio::select! {
            biased;
            delivered = deliveries.next() => Event::Delivered(delivered),
            saved = finished(&mut self.saving) => Event::Saved(saved),
            () = until(save) => Event::Save,
            () = sleep_until(self.next_look) => Event::Look,
            () = until(due) => Event::Due,
            news = self.watcher.news() => Event::News(news),
            () = std::future::ready(()), if ready => Event::Turn,
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
            Event::News(news) => {
                self.hear(news);
                Ok(())
            }
            Event::Saved(saved) => self.saved(saved),
            Event::Save => {
                self.save();
                Ok(())
            }
            Event::Look => self.look(outlet, deliveries).await,
            Event::Due => {
                while let Some(&(when, id)) = self.due.first()
                    && when <= Instant::now()
                {
                    self.due.pop_first();
                    if let Some(file) = self.files.get(id) {
                        file.due = None;
                    }
                    self.enqueue(id);
                }
                Ok(())
            }
            Event::Turn => match self.queue.pop_front() {
                Some(id) => self.turn(id, outlet, deliveries).await,
                None => Ok(()),
            },
        }
    }

    /// Where the files are.
    fn room(&self) -> Arc<dyn Room> {
        self.source.rules.room.clone()
    }

    fn enqueue(&mut self, id: FileId) {
        if let Some(file) = self.files.get(id)
            && !file.queued
            && matches!(file.phase, Phase::New | Phase::Reading)
        {
            file.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Something may have been written to the file: it is read when its batch is full, or has waited.
    fn grown(&mut self, id: FileId) {
        if self.files.waits(id) {
            // A copy that is still being made, perhaps: to unpack it each time would be a lot.
            self.enqueue_at(id, Instant::now() + COPY_LOOKS * self.source.poll);
            return;
        }
        let Some(file) = self.files.get(id) else { return };
        let there =
            file.text.as_ref().map_or(0, |text| file.stamp.length.saturating_sub(text.reading.position));
        let events_max = self.source.rules.events_max;
        let enough = file.text.as_ref().is_none_or(|text| there >= text.reading.wanted(events_max) as u64);
        match self.source.linger {
            Some(linger) if !enough => {
                self.enqueue_at(id, Instant::now() + linger);
            }
            _ => self.enqueue(id),
        }
    }

    /// Gives the file a turn at that time, if it has none before.
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

/// Waits until what is being saved is saved; for ever if nothing is.
fn finished(
    saving: &mut Option<JoinHandle<Result<(), PositionsError>>>,
) -> impl Future<Output = Result<(), FilesError>> + '_ {
    std::future::poll_fn(move |context| {
        let Some(handle) = saving else { return std::task::Poll::Pending };
        let done = std::task::ready!(std::pin::Pin::new(handle).poll(context));
        *saving = None;
        std::task::Poll::Ready(match done {
            Ok(saved) => saved.map_err(FilesError::from),
            Err(error) => Err(FilesError::from(error)),
        })
    })
}
