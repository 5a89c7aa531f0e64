//! Saves the delivered positions in the background. A failed save is retried and delays nothing else.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};
use weir_runtime::Failure;

use super::super::FilesError;
use super::super::positions::{Downstream, Image, Memory, PositionsError};
use super::Run;

/// The pause after a save, as a multiple of its duration: saving takes at most a tenth of the time.
const SAVE_PAUSE_FACTOR: u32 = 9;
/// The backoff after the first failed save. It doubles with each further failure.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// The longest backoff after a failed save.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The state of saving.
pub(super) struct Saves {
    /// The save that is running. It has the image.
    running: Option<JoinHandle<(Image, Result<(), PositionsError>)>>,
    /// What was saved last, or failed to be saved.
    image: Image,
    /// When the last save began.
    since: Instant,
    /// When the next save may begin.
    next: Instant,
    /// Whether there are deliveries that are not saved.
    unsaved: bool,
    /// The present backoff; `None` if the last save succeeded.
    backoff: Option<Duration>,
}

impl Saves {
    pub(super) fn new(now: Instant) -> Saves {
        Saves { running: None, image: Image::default(), since: now, next: now, unsaved: false, backoff: None }
    }

    /// Waits for the end of the running save; for ever if none is running.
    pub(super) fn finished(&mut self) -> impl Future<Output = Result<(), FilesError>> + '_ {
        std::future::poll_fn(move |context| {
            let Some(handle) = &mut self.running else { return std::task::Poll::Pending };
            let done = std::task::ready!(std::pin::Pin::new(handle).poll(context));
            self.running = None;
            std::task::Poll::Ready(match done {
                Ok((image, saved)) => {
                    self.image = image;
                    saved.map_err(FilesError::from)
                }
                Err(error) => Err(FilesError::from(error)),
            })
        })
    }
}

impl Run<'_> {
    /// Returns the state that the next run needs.
    pub(super) fn memory(&self) -> Memory {
        Memory { downstream: self.downstream_now(), ..self.files.remember() }
    }

    /// Returns the state of the channels and sinks that have the delivered events.
    fn downstream_now(&self) -> Downstream {
        // They have this run's events only once something was delivered.
        if self.has_delivered { Downstream::of(&self.behind) } else { self.downstream.clone() }
    }

    /// Saves the present positions as soon as possible.
    pub(super) fn save_soon(&mut self) {
        self.saves.unsaved = true;
        self.save();
    }

    /// Returns when the next save is due; `None` if there is nothing to save, or a save is running.
    pub(super) fn save_due(&self) -> Option<Instant> {
        let wanted = self.saves.unsaved && self.saves.running.is_none() && self.source.positions.is_some();
        wanted.then_some(self.saves.next)
    }

    /// Begins a save if one is due.
    pub(super) fn save(&mut self) {
        let Some(positions) = &self.source.positions else { return };
        if self.save_due().is_some_and(|due| due <= Instant::now()) {
            let positions = positions.clone();
            let changes = self.files.take_unsaved(self.downstream_now());
            let mut image = std::mem::take(&mut self.saves.image);
            #[cfg(test)]
            let memory = self.memory();
            let handle = self.file_system().executor().spawn(move || {
                let saved = positions.save(&mut image, &changes);
                #[cfg(test)]
                image.expect(memory);
                (image, saved)
            });
            (self.saves.since, self.saves.unsaved) = (Instant::now(), false);
            self.saves.running = Some(handle);
        }
    }

    /// Handles the result of a save.
    pub(super) fn saved(&mut self, saved: Result<(), FilesError>) -> Result<(), FilesError> {
        let component = &self.source.component;
        match saved {
            Ok(()) => {
                if self.saves.backoff.take().is_some() {
                    info!(component = %component, "positions are saved again");
                }
                self.saves.next = Instant::now() + SAVE_PAUSE_FACTOR * self.saves.since.elapsed();
                self.save();
            }
            Err(error @ FilesError::PositionsFile(PositionsError::Locked { .. })) => {
                // Another agent reads these files now. The next run of this source has to read the positions it saves.
                self.source.positions = None;
                return Err(error);
            }
            Err(FilesError::PositionsFile(error)) => {
                self.source.meter.count("positions_not_saved", 1);
                let backoff =
                    self.saves.backoff.map_or(BACKOFF_MIN, |backoff| (2 * backoff).min(BACKOFF_MAX));
                if self.saves.backoff.replace(backoff).is_none() {
                    let error = Failure::transient(error);
                    warn!(
                        component = %component,
                        "{error}; the source goes on and tries it again. After a crash before that, lines that \
                         were delivered since the last save are read again if the channels don't know them"
                    );
                }
                self.saves.unsaved = true;
                self.saves.next = Instant::now() + backoff;
            }
            Err(error) => {
                // The thread that saved has ended, with the image.
                self.files.forget_what_is_saved();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Saves all deliveries that are not saved yet at the end of the run.
    pub(super) async fn save_the_last(&mut self) -> Result<(), FilesError> {
        if self.saves.running.is_some() {
            let saved = self.saves.finished().await;
            self.saved(saved)?;
        }
        self.saves.next = Instant::now();
        self.save();
        if self.saves.running.is_some() {
            self.saves.finished().await?;
            info!(component = %self.source.component, "positions are saved");
        }
        Ok(())
    }
}
