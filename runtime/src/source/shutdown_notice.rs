//! The shutdown notice: when the agent has to end at once, it notifies sources whose peers wait for answers, and gives
//! them a second to send the last answers.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, WeakSender, channel};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the agent waits for the last answers of its sources.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);

/// The agent's end of the shutdown notice.
pub(crate) struct ShutdownNotice {
    sent: CancellationToken,
    /// Each [`PendingAnswers`] holds a clone; `answered` ends when all are dropped.
    pending: Sender<Infallible>,
    answered: Receiver<Infallible>,
}

/// A source's end of the shutdown notice, which makes [`PendingAnswers`].
#[derive(Debug, Clone)]
pub(crate) struct ShutdownSubscription {
    sent: CancellationToken,
    pending: WeakSender<Infallible>,
}

/// Held by a source while peers wait for its answers. An agent that has to end at once waits until all clones are
/// dropped, for a second at most.
#[derive(Debug, Clone)]
pub struct PendingAnswers {
    shutdown: CancellationToken,
    _pending: Option<Sender<Infallible>>,
}

impl ShutdownNotice {
    pub(crate) fn new() -> ShutdownNotice {
        let (pending, answered) = channel(1);
        ShutdownNotice { sent: CancellationToken::new(), pending, answered }
    }

    pub(crate) fn subscribe(&self) -> ShutdownSubscription {
        ShutdownSubscription { sent: self.sent.clone(), pending: self.pending.downgrade() }
    }

    /// Sends the notice, and waits for the last answers. Does nothing if no answer is pending; otherwise it cancels
    /// `stop` first, so that sources read no more.
    pub(crate) async fn send(self, stop: &CancellationToken) {
        let ShutdownNotice { sent, pending, mut answered } = self;
        drop(pending);
        if answered.sender_strong_count() == 0 {
            return;
        }
        stop.cancel();
        sent.cancel();
        // The agent ends without answers that take longer.
        let _answered = timeout(LAST_ANSWERS_TIMEOUT, answered.recv()).await;
    }
}

impl ShutdownSubscription {
    pub(crate) fn pending_answers(&self) -> PendingAnswers {
        PendingAnswers { shutdown: self.sent.clone(), _pending: self.pending.upgrade() }
    }
}

impl PendingAnswers {
    /// Waits until the agent has to end at once. The source then refuses requests whose events are not committed yet.
    pub async fn shutdown(&self) {
        self.shutdown.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_agent_waits_for_last_answers_until_the_timeout() {
        let (stop, begun) = (CancellationToken::new(), Instant::now());
        let notice = ShutdownNotice::new();
        let _without_peers = notice.subscribe();
        notice.send(&stop).await;
        assert!(begun.elapsed().is_zero() && !stop.is_cancelled());

        let notice = ShutdownNotice::new();
        let pending = notice.subscribe().pending_answers();
        let answers = tokio::spawn(async move {
            pending.shutdown().await;
            tokio::time::sleep(LAST_ANSWERS_TIMEOUT / 2).await;
        });
        notice.send(&stop).await;
        assert!(stop.is_cancelled());
        assert_eq!(begun.elapsed(), LAST_ANSWERS_TIMEOUT / 2);
        answers.await.unwrap();

        let notice = ShutdownNotice::new();
        let _never_answers = notice.subscribe().pending_answers();
        notice.send(&stop).await;
        assert_eq!(begun.elapsed(), LAST_ANSWERS_TIMEOUT / 2 + LAST_ANSWERS_TIMEOUT);
    }
}
