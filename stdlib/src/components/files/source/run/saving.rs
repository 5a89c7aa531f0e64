//! Saving what is delivered. That it fails holds nothing up: it is tried again until it succeeds.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};
use weir_runtime::Failure;

use super::super::FilesError;
use super::super::positions::{Downstream, Memory, PositionsError};
use super::Run;

/// Positions are saved at most a tenth of the time: a pause is so many times as long as what it follows.
const SAVES_APART: u32 = 9;
/// A save that failed is tried again after so long, then after twice as long each time.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// And at most.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How saving goes.
pub(super) struct Saves {
    under_way: Option<JoinHandle<Result<(), PositionsError>>>,
    /// When what is being saved, or was saved last, was begun to be.
    since: Instant,
    /// Before this nothing is saved again.
    next: Instant,
    /// Whether something was delivered that is not saved.
    unsaved: bool,
    /// While saving fails, how long was waited for the next try.
    retry: Option<Duration>,
}

impl Saves {
    pub(super) fn new(now: Instant) -> Saves {
        Saves { under_way: None, since: now, next: now, unsaved: false, retry: None }
    }

    /// Waits until what is being saved is saved; for ever if nothing is.
    pub(super) fn finished(&mut self) -> impl Future<Output = Result<(), FilesError>> + '_ {
        std::future::poll_fn(move |context| {
            let Some(handle) = &mut self.under_way else { return std::task::Poll::Pending };
            let done = std::task::ready!(std::pin::Pin::new(handle).poll(context));
            self.under_way = None;
            std::task::Poll::Ready(match done {
                Ok(saved) => saved.map_err(FilesError::from),
                Err(error) => Err(FilesError::from(error)),
            })
        })
    }
}

impl Run<'_> {
    /// What has to be known after this run.
    pub(super) fn memory(&self) -> Memory {
        let mut memory = self.files.remember();
        // An end knows of this run once something was delivered to it.
        memory.downstream =
            if self.has_delivered { Downstream::of(&self.behind) } else { self.downstream.clone() };
        memory
    }

    /// Has what is known now saved soon.
    pub(super) fn save_soon(&mut self) {
        self.saves.unsaved = true;
        self.save();
    }

    /// When what was delivered is to be saved next, if something is to be.
    pub(super) fn save_due(&self) -> Option<Instant> {
        let wanted = self.saves.unsaved && self.saves.under_way.is_none() && self.source.positions.is_some();
        wanted.then_some(self.saves.next)
    }

    /// Saves what was delivered, unless that is under way or was done just now: then afterwards.
    pub(super) fn save(&mut self) {
        let Some(positions) = &self.source.positions else { return };
        if self.save_due().is_some_and(|due| due <= Instant::now()) {
            let (positions, memory) = (positions.clone(), self.memory());
            let handle = self.file_system().executor().spawn(move || positions.save(&memory));
            (self.saves.since, self.saves.unsaved) = (Instant::now(), false);
            self.saves.under_way = Some(handle);
        }
    }

    /// Something was saved, or not.
    pub(super) fn saved(&mut self, saved: Result<(), FilesError>) -> Result<(), FilesError> {
        let component = &self.source.component;
        match saved {
            Ok(()) => {
                if self.saves.retry.take().is_some() {
                    info!(component = %component, "positions are saved again");
                }
                self.saves.next = Instant::now() + SAVES_APART * self.saves.since.elapsed();
                self.save();
            }
            Err(error @ FilesError::PositionsFile(PositionsError::Locked { .. })) => {
                // Another agent reads these files now. What it has saved counts, once it has ended.
                self.source.positions = None;
                return Err(error);
            }
            Err(FilesError::PositionsFile(error)) => {
                self.source.meter.count("positions_not_saved", 1);
                let wait = self.saves.retry.map_or(RETRY_FIRST, |wait| (2 * wait).min(RETRY_MAX));
                if self.saves.retry.replace(wait).is_none() {
                    let error = Failure::transient(error);
                    warn!(
                        component = %component,
                        "{error}; the source goes on and tries it again. After a crash before that, lines that \
                         were delivered since the last save are read again if the channels don't know them"
                    );
                }
                self.saves.unsaved = true;
                self.saves.next = Instant::now() + wait;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Saves what is not saved yet when the run ends.
    pub(super) async fn save_the_last(&mut self) -> Result<(), FilesError> {
        if self.saves.under_way.is_some() {
            let saved = self.saves.finished().await;
            self.saved(saved)?;
        }
        self.saves.next = Instant::now();
        self.save();
        if self.saves.under_way.is_some() {
            self.saves.finished().await?;
            info!(component = %self.source.component, "positions are saved");
        }
        Ok(())
    }
}
