//! Turns the engine when there is something to write: on the log's own thread, or, where the disk is
//! simulated, as a task among the others, so that everything follows from the seed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use super::Shared;
use super::engine::{Engine, Turn, reason};
use super::log::{AppendError, GONE};
use super::state::State;
use crate::environment::blocking::BlockingExecutor;
use crate::environment::storage::Storage;
use crate::failure::Failure;

/// Acknowledgements alone wait so long for puts to ride with.
const LINGER: Duration = Duration::from_millis(50);
/// How often a full disk, or another outage, is tried again, if nothing happens here.
pub(super) const RETRY: Duration = Duration::from_millis(250);

/// What turns the log.
pub(super) enum Writer {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

/// Has the engine turned as long as the channel is open, once it is handed over.
pub(super) fn start<S: Storage>(
    executor: BlockingExecutor,
    engine: oneshot::Receiver<Engine<S>>,
    shared: Arc<Shared<S>>,
    place: String,
) -> Result<Writer, Failure> {
    let turning = async move {
        if let Ok(engine) = engine.await {
            run(engine, &shared, &place).await;
        }
    };
    if executor == BlockingExecutor::Inline {
        return Ok(Writer::Task(tokio::spawn(turning)));
    }
    let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let timer = timer.map_err(Failure::unless_disk_fails)?;
    let thread = std::thread::Builder::new().name("weir-log".to_owned());
    let thread = thread.spawn(move || timer.block_on(turning)).map_err(Failure::unless_disk_fails)?;
    Ok(Writer::Thread(thread))
}

/// Writes until the channel is shut or fails.
pub(super) async fn run<S: Storage>(mut engine: Engine<S>, shared: &Shared<S>, place: &str) {
    let _panic = OnPanic(shared);
    let component = &*shared.component;
    let mut full = false;
    let mut left = Left::Nothing;
    while wait(shared, left).await {
        let Turn { durable, full: now_full, failed } = engine.turn(&shared.state);
        let published = !durable.is_empty();
        durable.into_iter().for_each(|acknowledgement| acknowledgement.done());
        if published {
            shared.changed.notify_waiters();
        }
        shared.room.notify_waiters();
        match &now_full {
            Some(error) if !full => {
                let reason = reason(error);
                shared.meter.count("full_disks", 1);
                warn!(
                    component,
                    "{place}: {reason}: puts wait; what is there is safe and drains, and it goes on by itself when there is room"
                );
            }
            None if full => info!(component, "{place}: there is room again, puts go on"),
            _ => {}
        }
        full = now_full.is_some();
        left = match full {
            true => Left::Puts,
            false if shared.lock().has_unwritten() => Left::Acknowledgements,
            false => Left::Nothing,
        };
        if let Some(error) = failed {
            shared.fail(reason(&error));
            return;
        }
    }
    let closed = engine.close(&shared.state);
    if let Err(AppendError::Gone) = closed {
        shared.fail(GONE.to_owned());
    } else if let Err(error) = closed {
        // Nothing is lost by it: what the last acknowledgements were about comes again.
        warn!(
            component,
            "{place}: closing: {}; the next start reads what was not written down again",
            reason(&error)
        );
    }
}

/// What the last turn left undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Acknowledgements, which came meanwhile, or which a full disk keeps back.
    Acknowledgements,
    /// Puts, since the disk is full.
    Puts,
}

/// What the writer waits for.
enum Next {
    Turn,
    End,
    /// Something to happen, or this much time to pass.
    Wait(Option<Duration>),
}

/// Waits until there is something to write; false when the channel is shut.
async fn wait<S: Storage>(shared: &Shared<S>, left: Left) -> bool {
    // A turn that could not do all is not repeated at once, unless something happens.
    let pause = match left {
        Left::Nothing => None,
        Left::Acknowledgements => (!has_puts(&shared.lock())).then_some(LINGER),
        Left::Puts => Some(RETRY),
    };
    if let Some(pause) = pause.filter(|_| !shared.shutting.load(Ordering::Acquire)) {
        let _paused = timeout(pause, shared.work.notified()).await;
    }
    let mut since: Option<Instant> = None;
    loop {
        match next(shared, left, &mut since) {
            Next::Turn => return true,
            Next::End => return false,
            // Whatever happens meanwhile leaves a permit behind.
            Next::Wait(None) => shared.work.notified().await,
            Next::Wait(Some(rest)) => {
                let _passed = timeout(rest, shared.work.notified()).await;
            }
        }
    }
}

fn next<S: Storage>(shared: &Shared<S>, left: Left, since: &mut Option<Instant>) -> Next {
    let state = shared.lock();
    if state.failed || shared.shutting.load(Ordering::Acquire) {
        // What was submitted before the end is still to be written.
        let last = !state.failed && left != Left::Puts && has_puts(&state);
        return if last { Next::Turn } else { Next::End };
    }
    let unwritten = state.has_unwritten();
    let urgent = unwritten && (state.waiting > 0 || state.is_closed());
    if has_puts(&state) || urgent || left == Left::Puts {
        return Next::Turn;
    }
    if !unwritten {
        return Next::Wait(None);
    }
    let since = *since.get_or_insert_with(Instant::now);
    let rest = LINGER.saturating_sub(since.elapsed());
    if rest.is_zero() { Next::Turn } else { Next::Wait(Some(rest)) }
}

fn has_puts(state: &State) -> bool {
    state.has_submitted() || state.unlisted().next().is_some()
}

/// A panic here is a defect, and must not leave everybody waiting.
struct OnPanic<'a, S: Storage>(&'a Shared<S>);

impl<S: Storage> Drop for OnPanic<'_, S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(component = %self.0.component, "the log's writer has panicked");
            self.0.fail("the log's writer has panicked".to_owned());
        }
    }
}
