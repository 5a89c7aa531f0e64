//! Walks through the directories beside reading, so that written files do not wait until all others were looked at.

use std::future::Future;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use super::super::discovery::Scan;
use super::super::tracked::WalkBegin;

/// What a walk has found.
pub(super) struct Walked {
    pub(super) seen: Scan,
    pub(super) begin: WalkBegin,
    /// How long the walk has taken.
    pub(super) took: Duration,
}

/// The walk that is under way, if there is one.
#[derive(Default)]
pub(super) struct Walk(Option<(JoinHandle<(Scan, Duration)>, WalkBegin)>);

impl Walk {
    pub(super) fn begin(&mut self, walk: JoinHandle<(Scan, Duration)>, begin: WalkBegin) {
        self.0 = Some((walk, begin));
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for the end of the walk; for ever if none is under way. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the walk has panicked.
    pub(super) fn finished(&mut self) -> impl Future<Output = Result<Walked, JoinError>> + '_ {
        std::future::poll_fn(move |context| {
            let Some((walk, begin)) = &mut self.0 else { return Poll::Pending };
            let (done, begin) = (ready!(Pin::new(walk).poll(context)), *begin);
            self.0 = None;
            Poll::Ready(done.map(|(seen, took)| Walked { seen, begin, took }))
        })
    }
}
