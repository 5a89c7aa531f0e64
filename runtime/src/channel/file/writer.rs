//! Runs the engine when there is something to write: on the log's own thread, or, on a simulated disk, as a
//! task among the others, so that a seed determines everything.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use super::Shared;
use super::engine::{Engine, WritePass, reason};
use super::failing::Fault;
use super::log::AppendError;
use super::state::State;
use crate::environment::blocking::BlockingExecutor;
use crate::environment::storage::Storage;
use crate::failure::{Cause, Failure};

/// The subject of the trouble while the log can't be written.
const DISK: &str = "disk";
/// How long acknowledgements wait to be written together with puts.
const LINGER: Duration = Duration::from_millis(50);
/// How long to wait before a full disk or another outage is tried again, unless something changes.
pub(super) const RETRY: Duration = Duration::from_millis(250);

/// The thread or task that writes the log.
pub(super) enum Writer {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

/// Runs an engine until its channel is shut down, once the engine is sent.
pub(super) fn start<S: Storage>(
    executor: BlockingExecutor,
    engine: oneshot::Receiver<Engine<S>>,
    shared: Arc<Shared<S>>,
    place: String,
) -> Result<Writer, Failure> {
    let writing = async move {
        if let Ok(engine) = engine.await {
            run(engine, &shared, &place).await;
        }
    };
    if executor == BlockingExecutor::Inline {
        return Ok(Writer::Task(tokio::spawn(writing)));
    }
    let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let timer = timer.map_err(Failure::permanent_unless_disk_failure)?;
    let thread = std::thread::Builder::new().name("weir-log".to_owned());
    let thread =
        thread.spawn(move || timer.block_on(writing)).map_err(Failure::permanent_unless_disk_failure)?;
    Ok(Writer::Thread(thread))
}

/// Writes until the channel is shut down or fails.
pub(super) async fn run<S: Storage>(mut engine: Engine<S>, shared: &Shared<S>, place: &str) {
    let _panic = OnPanic(shared);
    let component = &*shared.component;
    let mut full = false;
    let mut remaining = Remaining::Nothing;
    while wait(shared, remaining).await {
        let WritePass { durable, full: now_full, failed } = engine.write_pending(&shared.state);
        let published = !durable.is_empty();
        durable.into_iter().for_each(|acknowledgement| acknowledgement.done());
        if published {
            shared.changed.notify_waiters();
        }
        shared.space.notify_waiters();
        match &now_full {
            Some(error) => {
                let reason = reason(error);
                if !full {
                    shared.meter.count("full_disks", 1);
                }
                let reminder =
                    shared.meter.report_trouble(DISK, Cause::DiskFull, format!("{place}: {reason}"));
                if let Some(reminder) = reminder {
                    warn!(
                        component,
                        "{place}: {reason}: puts wait until there is room; the events in the channel are safe and are still delivered{reminder}"
                    );
                }
            }
            None if full => {
                shared.meter.resolve_trouble(DISK);
                info!(component, "{place}: there is room again, puts go on");
            }
            None => {}
        }
        full = now_full.is_some();
        remaining = match full {
            true => Remaining::Puts,
            false if shared.lock().has_unwritten() => Remaining::Acknowledgements,
            false => Remaining::Nothing,
        };
        if let Some(error) = failed {
            shared.fail(Fault::of(&error));
            return;
        }
    }
    let closed = engine.close(&shared.state);
    if let Err(AppendError::Gone) = closed {
        shared.fail(Fault::Gone);
    } else if let Err(error) = closed {
        // No event is lost: the events of the last acknowledgements are redelivered.
        warn!(
            component,
            "{place}: closing: {}; the next start delivers the events again whose acknowledgements were not written",
            reason(&error)
        );
    }
}

/// The work that is left after a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remaining {
    Nothing,
    /// Acknowledgements that came during the pass, or that a full disk keeps from being written.
    Acknowledgements,
    /// Puts, because the disk is full.
    Puts,
}

/// The writer's next action.
enum Next {
    Write,
    End,
    /// Wait for a notification, or until this time has passed.
    Wait(Option<Duration>),
}

/// Waits until there is something to write. Returns false when the channel is shut down.
async fn wait<S: Storage>(shared: &Shared<S>, remaining: Remaining) -> bool {
    // A pass that left work is not repeated at once, unless something has changed.
    let pause = match remaining {
        Remaining::Nothing => None,
        Remaining::Acknowledgements => (!has_puts(&shared.lock())).then_some(LINGER),
        Remaining::Puts => Some(RETRY),
    };
    if let Some(pause) = pause.filter(|_| !shared.shutting.load(Ordering::Acquire)) {
        let _paused = timeout(pause, shared.work.notified()).await;
    }
    let mut since: Option<Instant> = None;
    loop {
        match next(shared, remaining, &mut since) {
            Next::Write => return true,
            Next::End => return false,
            // A notification in the meantime leaves a permit, so none is missed.
            Next::Wait(None) => shared.work.notified().await,
            Next::Wait(Some(rest)) => {
                let _passed = timeout(rest, shared.work.notified()).await;
            }
        }
    }
}

fn next<S: Storage>(shared: &Shared<S>, remaining: Remaining, since: &mut Option<Instant>) -> Next {
    let state = shared.lock();
    if state.failed || shared.shutting.load(Ordering::Acquire) {
        // Puts that were submitted before the end are still written.
        let has_work = !state.failed && remaining != Remaining::Puts && has_puts(&state);
        return if has_work { Next::Write } else { Next::End };
    }
    let unwritten = state.has_unwritten();
    let urgent = unwritten && (state.waiting > 0 || state.is_closed());
    if has_puts(&state) || urgent || remaining == Remaining::Puts {
        return Next::Write;
    }
    if !unwritten {
        return Next::Wait(None);
    }
    let since = *since.get_or_insert_with(Instant::now);
    let rest = LINGER.saturating_sub(since.elapsed());
    if rest.is_zero() { Next::Write } else { Next::Wait(Some(rest)) }
}

fn has_puts(state: &State) -> bool {
    state.has_submitted() || state.unlisted().next().is_some()
}

/// Fails the channel if the writer panics, so that no one waits for it forever.
struct OnPanic<'a, S: Storage>(&'a Shared<S>);

impl<S: Storage> Drop for OnPanic<'_, S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(component = %self.0.component, "the log's writer has panicked");
            self.0.fail(Fault::Other("the log's writer has panicked".to_owned()));
        }
    }
}
