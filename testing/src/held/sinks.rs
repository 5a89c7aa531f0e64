//! Simulated sinks that are as bad as their delivery class allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;
use weir_plan::{LINEAGE, Settings, TemplatePart, Value};
use weir_runtime::batch::{Batch, Partition};
use weir_runtime::channel::{Recovered, Taken};
use weir_runtime::sink::{Delivery, Sink, SinkPort};
use weir_runtime::{Acknowledgement, Failure, ReasonKind};

use super::sources::NUMBERS;
use super::wanted::is_unwritable;
use crate::endpoints::identity;
use crate::scene::{CallFailed, Proceeds, Scene};
use crate::values;

/// The columns whose values are kept of an event that has arrived: those that an order may go by.
const KEPT: [&str; 3] = ["@key", "key", "other"];

/// An event that has arrived.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) lineage: i64,
    /// The element, if the event was exploded.
    pub(super) element: Option<bool>,
    /// The directory, or the topic with the key, in which the events are in order.
    pub(super) place: String,
    pub(super) columns: BTreeMap<&'static str, String>,
}

/// The events and identities that a sink has stored. They outlast the agent.
#[derive(Default)]
pub(super) struct Store {
    arrived: Vec<Arrived>,
    identities: BTreeSet<(Partition, u64)>,
    settled: BTreeMap<Partition, u64>,
}

/// A sink of a pipeline.
pub(super) struct HeldSink {
    pub(super) name: Arc<str>,
    /// Whether it leaves out events by the identities that it has stored.
    pub(super) leaves_out: bool,
    /// Whether it holds events for a while, by their places.
    pub(super) holds: bool,
    pub(super) rejects: bool,
    /// The settings that choose the place of an event.
    pub(super) places: Vec<Vec<TemplatePart>>,
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) scene: Arc<Scene>,
}

/// Events that a sink holds, by their places.
type Held = BTreeMap<String, Vec<(Batch, Acknowledgement)>>;

/// Returns the parts of the settings that choose the place of an event.
pub(super) fn places_of(settings: &Settings) -> Vec<Vec<TemplatePart>> {
    let template = |name: &str| match settings.values.get(name) {
        Some(Value::Template(template)) => Some(template.parts.clone()),
        _ => None,
    };
    ["path", "topic", "key"].into_iter().filter_map(template).collect()
}

/// Returns what has arrived.
pub(super) fn arrived(store: &Mutex<Store>) -> Vec<Arrived> {
    store.lock().unwrap_or_else(PoisonError::into_inner).arrived.clone()
}

fn text_of(batch: &Batch, row: usize, name: &str) -> Option<String> {
    let column = batch.column(name)?;
    match values::value(column.values(), column.index(row)) {
        Value::Text(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

fn lineage_of(batch: &Batch, row: usize) -> i64 {
    let column = batch.column(LINEAGE);
    match column.map(|column| values::value(column.values(), column.index(row))) {
        Some(Value::Int(lineage)) => lineage,
        _ => -1,
    }
}

/// The number of the event that a lineage stands for.
pub(super) fn number_of(lineage: i64) -> (usize, u64) {
    let source = crate::scene::source_number(lineage);
    let event = u64::try_from(lineage).unwrap_or_default() & ((1 << 40) - 1);
    (source, source as u64 * NUMBERS + event)
}

impl HeldSink {
    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, batch: &Batch, row: usize) -> String {
        let part = |part: &TemplatePart| match part {
            TemplatePart::Text(text) => text.clone(),
            TemplatePart::Hole(hole) => text_of(batch, row, &hole.column).unwrap_or_default(),
        };
        self.places.iter().flatten().map(part).collect()
    }

    /// Takes the events of a delivery. Rejects those that it can never write.
    async fn hold(&self, delivery: Delivery, held: &mut Held) -> Result<(), Failure> {
        let Delivery { batch, mut acknowledgement, rejecter } = delivery;
        for row in 0..batch.rows() {
            let share = match row + 1 == batch.rows() {
                false => acknowledgement.split(1),
                true => std::mem::replace(&mut acknowledgement, Acknowledgement::calling(drop)),
            };
            let (_, number) = number_of(lineage_of(&batch, row));
            if self.rejects && is_unwritable(number) && rejecter.has_route() {
                rejecter.reject(row, share, ReasonKind::Condition, "it can't be written").await?;
                continue;
            }
            let place = if self.holds { self.place(&batch, row) } else { String::new() };
            held.entry(place).or_default().push((batch.slice(row, 1), share));
        }
        Ok(())
    }

    /// Stores the events of a place, with their identities.
    fn commit(&self, place: &str, held: &mut Held, port: &SinkPort) -> Result<(), Failure> {
        let Some(events) = held.remove(place) else { return Ok(()) };
        let proceeds = self.scene.call("sink", &self.name)?;
        let mut store = self.store();
        let mut stored = BTreeSet::new();
        for (event, _) in &events {
            let element = text_of(event, 0, "part").map(|part| part == "b");
            let known = event.identities().filter(|_| self.leaves_out).map(|of| identity(of, 0));
            if let Some((partition, position)) = known {
                let is_settled = store.settled.get(&partition).is_some_and(|through| position <= *through);
                // All elements of an event that came in one transaction have one identity.
                let is_known = store.identities.contains(&(partition.clone(), position));
                if is_settled || is_known {
                    continue;
                }
                stored.insert((partition, position));
            }
            let lineage = lineage_of(event, 0);
            let columns = KEPT.into_iter().filter_map(|name| Some((name, text_of(event, 0, name)?)));
            let columns = columns.collect();
            let place = self.place(event, 0);
            store.arrived.push(Arrived { lineage, element, place, columns });
        }
        store.identities.extend(stored);
        for (partition, through) in port.settled() {
            let before = store.settled.entry(partition).or_default();
            *before = through.max(*before);
        }
        drop(store);
        if proceeds == Proceeds::WithoutAnswer {
            return Err(CallFailed::Planned.into());
        }
        events.into_iter().for_each(|(_, share)| share.done());
        self.scene.moved();
        Ok(())
    }

    fn commit_all(&self, held: &mut Held, port: &SinkPort) -> Result<(), Failure> {
        let places: Vec<String> = held.keys().cloned().collect();
        places.iter().try_for_each(|place| self.commit(place, held, port))
    }
}

#[async_trait]
impl Sink for HeldSink {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        let mut held = Held::new();
        loop {
            let wait = Duration::from_millis(1 + self.scene.random_below(400));
            let taken = tokio::select! {
                biased;
                taken = port.take() => Some(taken?),
                () = sleep(wait), if !held.is_empty() => None,
            };
            match taken {
                Some(Taken::Events(delivery)) => {
                    self.hold(delivery, &mut held).await?;
                    let places: Vec<String> = held.keys().cloned().collect();
                    for place in places {
                        if !self.holds || self.scene.random_below(3) == 0 {
                            self.commit(&place, &mut held, port)?;
                        }
                    }
                }
                Some(Taken::Pressure) | None => self.commit_all(&mut held, port)?,
                Some(Taken::End) => return self.commit_all(&mut held, port),
            }
        }
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }

    async fn recover(&mut self) -> Result<Recovered, Failure> {
        let settled = if self.leaves_out { self.store().settled.clone() } else { BTreeMap::new() };
        Ok(Recovered { settled, ..Recovered::default() })
    }
}
