//! The simulated sources and sinks.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use weir_plan::{LINEAGE, Value};
use weir_runtime::Failure;
use weir_runtime::batch::{Batch, Column, Identities, Origins, Partition};
use weir_runtime::channel::{Recovered, Taken};
use weir_runtime::sink::{Delivery, Sink, SinkPort};
use weir_runtime::source::{Source, SourcePort};

use crate::arrays;
use crate::scene::{CallFailed, Proceeds, ReceivedEvent, Scene};
use crate::values;

/// The most events of one batch.
const BATCH_EVENTS_MAX: u64 = 1_000;

/// A source that gives what a test sends.
pub(crate) struct SimulatedSource {
    pub(crate) name: Arc<str>,
    pub(crate) schema: SchemaRef,
    pub(crate) scene: Arc<Scene>,
}

impl SimulatedSource {
    fn partition(&self) -> Partition {
        Partition::new(self.name.to_string())
    }

    /// Returns the next batch after a position, and the position through which it goes; none if there are no more events.
    fn next(&self, after: u64, numbered: bool) -> Result<Option<(Batch, u64)>, Failure> {
        let made = self.scene.source(&self.name, |source| {
            let end = source.ends.iter().copied().find(|end| *end > after)?;
            let through = end.min(after + BATCH_EVENTS_MAX);
            let events = &source.events[after as usize..through as usize];
            let lineage: Vec<i64> = (after..through).map(|position| source.lineage(position)).collect();
            let origins = Origins::one(self.partition(), after, through);
            let exact = source.exact.range(..=after).next_back();
            let batch = match exact {
                Some((begin, exact)) => {
                    let exact = exact.slice((after - begin) as usize, events.len());
                    with_lineage(&self.schema, &exact, lineage, origins)
                }
                None => {
                    let columns = events.iter().map(|event| &event.columns).collect();
                    batch(&self.schema, columns, lineage, origins)
                }
            };
            Some(batch.map(|batch| (batch, through)))
        });
        let Some(made) = made.flatten() else { return Ok(None) };
        let (batch, through) = made.map_err(Failure::permanent)?;
        let batch = match numbered {
            true => batch.with_identities(Identities::counting(self.partition(), after + 1))?,
            false => batch,
        };
        Ok(Some((batch, through)))
    }
}

/// Returns the events of a real source with their lineage.
fn with_lineage(
    schema: &SchemaRef,
    exact: &Batch,
    lineage: Vec<i64>,
    origins: Origins,
) -> Result<Batch, String> {
    let fields = exact.schema().fields().iter();
    let named = fields.filter_map(|field| Some((field.name().as_str(), exact.column(field.name())?.clone())));
    let lineage = Column::Array(Arc::new(Int64Array::from(lineage)));
    let named = named.chain([(LINEAGE, lineage)]).collect();
    Batch::assemble(schema, named, exact.rows(), origins).map_err(|error| error.to_string())
}

/// Makes a batch of events with these columns; columns that are left out are null.
pub(crate) fn batch(
    schema: &SchemaRef,
    events: Vec<&BTreeMap<String, Value>>,
    lineage: Vec<i64>,
    origins: Origins,
) -> Result<Batch, String> {
    let rows = events.len();
    let columns = schema.fields().iter().map(|field| {
        if field.name() == LINEAGE {
            return Ok(Column::Array(Arc::new(Int64Array::from(lineage.clone()))));
        }
        let values: Vec<&Value> =
            events.iter().map(|event| event.get(field.name()).unwrap_or(&Value::Null)).collect();
        let array = arrays::array(&values, field.data_type());
        array.map(Column::Array).map_err(|error| format!("`{}`: {error}", field.name()))
    });
    let columns = columns.collect::<Result<Vec<_>, String>>()?;
    Batch::new(schema.clone(), columns, rows, origins).map_err(|error| error.to_string())
}

#[async_trait]
impl Source for SimulatedSource {
    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let numbered = port.wants_identities();
        let given = port.given.through(&self.partition()).map_or(0, |given| given.position());
        let repeated = self.scene.source(&self.name, |source| source.position_after_start());
        let mut after = given.max(repeated.unwrap_or_default());
        let SourcePort { mut outlet, mut deliveries, stop, delivered, .. } = port;
        let note = |through: u64| {
            self.scene.source(&self.name, |source| source.delivered = source.delivered.max(through));
            self.scene.moved();
        };
        self.scene.source(&self.name, |source| source.given = source.given.max(after));
        // What a channel in memory was given is not delivered yet.
        delivered.positions().for_each(|(_, through)| note(through.position()));
        loop {
            let changed = self.scene.changed.notified();
            if let Some((batch, through)) = self.next(after, numbered)? {
                let proceeds = self.scene.call("source", &self.name)?;
                self.scene.source(&self.name, |source| source.given = source.given.max(through));
                outlet.put(batch).await?;
                after = through;
                self.scene.moved();
                if proceeds == Proceeds::WithoutAnswer {
                    return Err(CallFailed::Planned.into());
                }
                continue;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(delivered) = deliveries.next() => {
                    delivered.positions().for_each(|(_, through)| note(through.position()));
                }
                () = changed => {}
            }
        }
        outlet.close();
        while let Some(delivered) = deliveries.next().await {
            delivered.positions().for_each(|(_, through)| note(through.position()));
        }
        Ok(())
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }
}

/// A sink that keeps what it receives.
pub(crate) struct SimulatedSink {
    pub(crate) name: Arc<str>,
    pub(crate) exactly_once: bool,
    pub(crate) scene: Arc<Scene>,
}

impl SimulatedSink {
    /// Removes the events that are stored already, if the flow promises `exactly_once`.
    fn without_stored(&self, batch: &Batch) -> Result<Batch, Failure> {
        let Some(identities) = batch.identities().filter(|_| self.exactly_once) else {
            return Ok(batch.clone());
        };
        let missing = self.scene.sink(&self.name, |sink| {
            let is_missing = |row: usize| {
                let partition = &identities.partitions()[identities.partition_of(row)];
                let position = identities.position_of(row);
                let is_settled = sink.settled.get(partition).is_some_and(|through| position <= *through);
                !is_settled && !sink.stored.contains(&(partition.clone(), position))
            };
            (0..batch.rows()).map(|row| Some(is_missing(row))).collect::<arrow_array::BooleanArray>()
        });
        Ok(batch.filter(&missing)?)
    }

    fn store(&self, delivery: Delivery, port: &SinkPort) -> Result<(), Failure> {
        let proceeds = self.scene.call("sink", &self.name)?;
        let batch = self.without_stored(&delivery.batch)?;
        self.scene.sink(&self.name, |sink| {
            sink.received.extend(received(&batch));
            sink.unwritten.push(batch.clone());
            if let Some(identities) = batch.identities().filter(|_| self.exactly_once) {
                sink.stored.extend((0..batch.rows()).map(|row| identity(identities, row)));
            }
            for (partition, through) in port.settled() {
                let before = sink.settled.entry(partition).or_default();
                *before = through.max(*before);
            }
        });
        if proceeds == Proceeds::WithoutAnswer {
            return Err(CallFailed::Planned.into());
        }
        delivery.acknowledgement.done();
        self.scene.moved();
        Ok(())
    }
}

/// Returns the partition and the position of a row.
pub(crate) fn identity(identities: &Identities, row: usize) -> (Partition, u64) {
    (identities.partitions()[identities.partition_of(row)].clone(), identities.position_of(row))
}

/// Returns the events of a batch.
pub(crate) fn received(batch: &Batch) -> Vec<ReceivedEvent> {
    let schema = batch.schema();
    let event = |row: usize| {
        let column =
            |name: &str| batch.column(name).map(|column| values::value(column.values(), column.index(row)));
        let values = schema.fields().iter().map(|field| column(field.name()).unwrap_or(Value::Null));
        let lineage = match column(LINEAGE) {
            Some(Value::Int(lineage)) => Some(lineage),
            _ => None,
        };
        ReceivedEvent { schema: schema.clone(), values: values.collect(), lineage }
    };
    (0..batch.rows()).map(event).collect()
}

#[async_trait]
impl Sink for SimulatedSink {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        loop {
            match port.take().await? {
                Taken::Events(delivery) => self.store(delivery, port)?,
                Taken::Pressure => {}
                Taken::End => return Ok(()),
            }
        }
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }

    async fn recover(&mut self) -> Result<Recovered, Failure> {
        let settled = self.scene.sink(&self.name, |sink| sink.settled.clone());
        Ok(Recovered { settled, ..Recovered::default() })
    }
}
