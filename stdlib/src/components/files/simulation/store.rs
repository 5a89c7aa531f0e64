//! A sink that writes lines into a store outside of the machine, and rejects the lines of some files.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{sleep, timeout};
use weir_runtime::channel::Taken;
use weir_runtime::sink::{Delivery, Retry, Sink, SinkPort};
use weir_runtime::storage::{Moment, StepOutcome};
use weir_runtime::{Failure, ReasonKind};

use super::setup::Rejects;
use super::world::World;

/// How long the store waits for further events before it writes those that it has.
const LINGER: Duration = Duration::from_millis(300);
/// One write in this many fails.
const WRITES_FAIL_ONE_IN: u64 = 12;

/// The sink.
pub(super) struct Store {
    pub(super) name: String,
    pub(super) world: World,
}

#[derive(Debug, thiserror::Error)]
#[error("the store is away")]
struct Away;

#[async_trait]
impl Sink for Store {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        let mut held: Vec<Delivery> = Vec::new();
        loop {
            match timeout(LINGER, port.take()).await {
                Ok(taken) => match taken? {
                    Taken::Events(delivery) => {
                        held.push(delivery);
                        if self.world.random.lock().unwrap().one_in(3) {
                            self.write_all(&mut held).await?;
                        }
                    }
                    Taken::Pressure => self.write_all(&mut held).await?,
                    Taken::End => return self.write_all(&mut held).await,
                },
                Err(_elapsed) => self.write_all(&mut held).await?,
            }
        }
    }

    fn retry(&self) -> Retry {
        Retry { first: Duration::from_millis(50), max: Duration::from_secs(2), limit: None }
    }
}

impl Store {
    async fn write_all(&self, held: &mut Vec<Delivery>) -> Result<(), Failure> {
        while !held.is_empty() {
            self.write(held.remove(0)).await?;
        }
        Ok(())
    }

    async fn write(&self, delivery: Delivery) -> Result<(), Failure> {
        let Delivery { batch, mut acknowledgement, rejecter } = delivery;
        let bodies: Vec<Vec<u8>> = batch
            .bodies()
            .expect("the events have bodies")
            .iter()
            .map(|body| body.unwrap_or_default().to_vec())
            .collect();
        let (pause, fails) = {
            let mut random = self.world.random.lock().unwrap();
            (random.below(40), !self.world.is_calm() && random.one_in(WRITES_FAIL_ONE_IN))
        };
        sleep(Duration::from_millis(pause)).await;
        let mut written = Vec::new();
        for (row, body) in bodies.iter().enumerate() {
            if !self.rejects(body) {
                written.push(body);
                continue;
            }
            let share = acknowledgement.split(1);
            rejecter.reject(row, share, ReasonKind::Unwritable, "odd").await?;
        }
        if fails || self.world.is_out(&self.name) {
            let partly = self.world.fails_partly();
            let count =
                if partly { self.world.random.lock().unwrap().below(written.len() as u64 + 1) } else { 0 };
            self.world.store(&self.name, &written[..count as usize]);
            return Err(Failure::from(Away));
        }
        let outcome = self.world.machine.step("store", "Put", "lines", true);
        let count = match outcome {
            StepOutcome::Proceeds | StepOutcome::Stops(Moment::After) => written.len(),
            StepOutcome::Stops(Moment::Within) => written.len() / 2,
            StepOutcome::Stops(Moment::Before) | StepOutcome::Down => 0,
        };
        self.world.store(&self.name, &written[..count]);
        if outcome != StepOutcome::Proceeds {
            return Err(Failure::from(Away));
        }
        acknowledgement.done();
        Ok(())
    }

    fn rejects(&self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        let generation = text.split(' ').next().and_then(|word| word.parse().ok());
        self.world.setup.rejects == Rejects::BySinks
            && generation.is_some_and(|generation| self.world.setup.rejects_lines_of(generation))
    }
}
