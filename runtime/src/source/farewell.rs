//! Last answers: a source whose peers wait hears of it when the agent has to end at once, and gets a moment for
//! them.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, WeakSender, channel};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long sources may take for their last answers.
const MOMENT: Duration = Duration::from_secs(1);

/// What the agent has to say to all its sources.
pub(crate) struct Farewell {
    said: CancellationToken,
    open: Sender<Infallible>,
    answered: Receiver<Infallible>,
}

/// The part of it that each source has. Whoever answers peers takes a [`Answering`] from it.
#[derive(Debug, Clone)]
pub(crate) struct Invitation {
    said: CancellationToken,
    open: WeakSender<Infallible>,
}

/// Held by a source while peers wait for its answers. When the agent has to end at once it waits about a second until
/// all are dropped.
#[derive(Debug, Clone)]
pub struct Answering {
    said: CancellationToken,
    _open: Option<Sender<Infallible>>,
}

impl Farewell {
    pub(crate) fn new() -> Farewell {
        let (open, answered) = channel(1);
        Farewell { said: CancellationToken::new(), open, answered }
    }

    pub(crate) fn invitation(&self) -> Invitation {
        Invitation { said: self.said.clone(), open: self.open.downgrade() }
    }

    /// Says it, and waits for the last answers. `stop` ends what sources read, if there are any that answer.
    pub(crate) async fn say(self, stop: &CancellationToken) {
        let Farewell { said, open, mut answered } = self;
        drop(open);
        if answered.sender_strong_count() == 0 {
            return;
        }
        stop.cancel();
        said.cancel();
        // Whoever takes longer is not waited for.
        let _answered = timeout(MOMENT, answered.recv()).await;
    }
}

impl Invitation {
    pub(crate) fn accept(&self) -> Answering {
        Answering { said: self.said.clone(), _open: self.open.upgrade() }
    }
}

impl Answering {
    /// Waits until the agent has to end at once: what can't be committed now is refused.
    pub async fn have_to_end(&self) {
        self.said.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn last_answers_are_waited_for_and_not_for_longer_than_a_moment() {
        let (stop, begun) = (CancellationToken::new(), Instant::now());
        let farewell = Farewell::new();
        let _nobody_answers = farewell.invitation();
        farewell.say(&stop).await;
        assert!(begun.elapsed().is_zero() && !stop.is_cancelled());

        let farewell = Farewell::new();
        let answering = farewell.invitation().accept();
        let answers = tokio::spawn(async move {
            answering.have_to_end().await;
            tokio::time::sleep(MOMENT / 2).await;
        });
        farewell.say(&stop).await;
        assert!(stop.is_cancelled());
        assert_eq!(begun.elapsed(), MOMENT / 2);
        answers.await.unwrap();

        let farewell = Farewell::new();
        let _never_answers = farewell.invitation().accept();
        farewell.say(&stop).await;
        assert_eq!(begun.elapsed(), MOMENT / 2 + MOMENT);
    }
}
