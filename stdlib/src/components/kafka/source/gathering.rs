//! Records become batches: their bytes are copied into one buffer, and columns of views into it
//! are made, without anything that is allocated for a single record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::builder::make_view;
use arrow_array::{BinaryViewArray, BooleanArray, Int64Array, StringViewArray};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::SchemaRef;
use weir_plan::BODY;
use weir_runtime::batch::{Batch, BatchError, Column, Interval, Origins, Partition};

use super::headers::{HEADERS, HeaderRows};
use super::positions::{Beginning, TopicPartition};

/// The bytes after which a batch is full; one record more may lie in it.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What is left free beyond, so that a usual last record does not make the buffer grow.
const LAST_RECORD_BYTES: usize = 16 << 10;

/// A record, as far as the source is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) offset: i64,
    /// In milliseconds since 1970-01-01T00:00:00Z.
    pub(super) time: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) body: &'a [u8],
    /// Its own headers, if the event type [asks for them](Gathering::wants_headers).
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// An offset came that lies before what was already read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WentBack {
    pub(super) partition: Partition,
    pub(super) offset: i64,
    pub(super) position: u64,
}

/// The columns that the event type asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Topic,
    Partition,
    Offset,
    Key,
    Timestamp,
    /// The record's own headers.
    Map,
    Body,
}

impl Header {
    fn named(name: &str) -> Option<Header> {
        Some(match name {
            "@topic" => Header::Topic,
            "@partition" => Header::Partition,
            "@offset" => Header::Offset,
            "@key" => Header::Key,
            "@timestamp" => Header::Timestamp,
            HEADERS => Header::Map,
            BODY => Header::Body,
            _ => return None,
        })
    }
}

/// The place of an owned partition; `None` from [`Gathering::place`] means that it is not owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

/// The batch that is being gathered, and how far each owned partition has been read.
pub(super) struct Gathering {
    schema: SchemaRef,
    columns: Vec<Header>,
    batch: usize,
    linger: Duration,
    readings: Vec<Reading>,
    places: HashMap<Arc<str>, HashMap<i32, usize>>,
    /// The partitions in this batch, in the order of their first records.
    slots: Vec<Slot>,
    rows: Rows,
    since: Option<Instant>,
}

/// How far an owned partition has been read.
struct Reading {
    topic: Arc<str>,
    number: i32,
    partition: Partition,
    position: u64,
    /// Its place in `slots`, if the batch has something of it.
    slot: Option<u32>,
}

/// What a batch holds of one partition.
struct Slot {
    topic: Arc<str>,
    number: i32,
    partition: Partition,
    after: u64,
    through: u64,
    /// The partition was revoked meanwhile: its records are left out.
    forgotten: bool,
}

/// The values of each row, as far as the event type asks for them.
#[derive(Default)]
struct Rows {
    slots: Vec<u32>,
    offsets: Vec<i64>,
    times: Vec<i64>,
    bodies: Values,
    keys: Values,
    /// Whether each row has a key.
    keyed: Vec<bool>,
    headers: Option<HeaderRows>,
}

#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    views: Vec<u128>,
}

impl Values {
    fn push(&mut self, value: &[u8]) {
        // A buffer holds at most the bytes of one batch, and a record less than 2 GiB.
        self.views.push(make_view(value, 0, self.bytes.len() as u32));
        self.bytes.extend_from_slice(value);
    }

    /// The values as an array, leaving room for as many again.
    fn take(&mut self, nulls: Option<NullBuffer>) -> Result<BinaryViewArray, BatchError> {
        let (bytes, rows) = (self.bytes.len(), self.views.len());
        let room = if bytes == 0 { 0 } else { bytes + LAST_RECORD_BYTES };
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(room));
        let views = std::mem::replace(&mut self.views, Vec::with_capacity(rows));
        let array =
            BinaryViewArray::try_new(ScalarBuffer::from(views), vec![Buffer::from_vec(bytes)], nulls)?;
        Ok(array)
    }
}

impl Gathering {
    /// Gathers batches for this event type. The error is a column that no record has.
    pub(super) fn new(schema: SchemaRef, batch: usize, linger: Duration) -> Result<Gathering, String> {
        let columns = schema.fields().iter();
        let columns = columns.map(|field| Header::named(field.name()).ok_or_else(|| field.name().clone()));
        let columns = columns.collect::<Result<Vec<Header>, String>>()?;
        let headers = match schema.field_with_name(HEADERS) {
            Ok(field) => Some(HeaderRows::new(field.data_type()).ok_or_else(|| HEADERS.to_string())?),
            Err(_none) => None,
        };
        Ok(Gathering {
            schema,
            columns,
            batch,
            linger,
            readings: Vec::new(),
            places: HashMap::new(),
            slots: Vec::new(),
            rows: Rows { headers, ..Rows::default() },
            since: None,
        })
    }

    /// Whether records are to come with their headers.
    pub(super) fn wants_headers(&self) -> bool {
        self.rows.headers.is_some()
    }

    /// Reads a partition from now on, from there.
    pub(super) fn assign(&mut self, beginning: &Beginning) {
        self.revoke(&beginning.partition);
        let TopicPartition { topic, number } = beginning.partition.clone();
        self.places.entry(topic.clone()).or_default().insert(number, self.readings.len());
        let partition = beginning.partition.partition();
        self.readings.push(Reading { topic, number, partition, position: beginning.offset, slot: None });
    }

    /// Reads a partition no more, and leaves out what the batch has of it.
    pub(super) fn revoke(&mut self, gone: &TopicPartition) {
        let Some(place) = self.places.get_mut(&gone.topic).and_then(|numbers| numbers.remove(&gone.number))
        else {
            return;
        };
        if let Some(slot) = self.readings.swap_remove(place).slot {
            self.slots[slot as usize].forgotten = true;
        }
        if let Some(moved) = self.readings.get(place) {
            self.places.entry(moved.topic.clone()).or_default().insert(moved.number, place);
        }
    }

    /// Where a partition stands; good until the next [`assign`](Gathering::assign) or
    /// [`revoke`](Gathering::revoke).
    pub(super) fn place(&self, topic: &str, number: i32) -> Option<Place> {
        self.places.get(topic)?.get(&number).copied().map(Place)
    }

    /// Adds a record.
    pub(super) fn add(
        &mut self,
        place: Place,
        record: Record<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), WentBack> {
        let reading = &mut self.readings[place.0];
        let offset = u64::try_from(record.offset).unwrap_or(0);
        if offset < reading.position {
            let (partition, position) = (reading.partition.clone(), reading.position);
            return Err(WentBack { partition, offset: record.offset, position });
        }
        // What lies between is no record: the end of a transaction, or one that was aborted.
        let after = std::mem::replace(&mut reading.position, offset + 1);
        let slot = match reading.slot {
            Some(slot) => slot,
            None => {
                let slot = self.slots.len() as u32;
                reading.slot = Some(slot);
                self.slots.push(Slot {
                    topic: reading.topic.clone(),
                    number: reading.number,
                    partition: reading.partition.clone(),
                    after,
                    through: offset,
                    forgotten: false,
                });
                slot
            }
        };
        self.slots[slot as usize].through = offset + 1;
        self.since.get_or_insert_with(now);
        self.rows.push(&self.columns, slot, record);
        Ok(())
    }

    /// Whether the batch is full.
    pub(super) fn is_full(&self) -> bool {
        self.rows.slots.len() >= self.batch || self.rows.bytes() >= BATCH_BYTES_MAX
    }

    /// How long the batch may still wait to become full; `None` if there is nothing in it.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        if self.is_full() {
            return Some(Duration::ZERO);
        }
        self.since.map(|since| (since + self.linger).saturating_duration_since(now))
    }

    /// Throws the batch away: its records were never put.
    pub(super) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.forgotten = true);
        self.end_batch();
        self.rows.clear();
    }

    fn end_batch(&mut self) -> Vec<Slot> {
        self.since = None;
        self.readings.iter_mut().for_each(|reading| reading.slot = None);
        std::mem::take(&mut self.slots)
    }

    /// The batch, if there is anything in it; the next one begins.
    pub(super) fn take(&mut self) -> Result<Option<Batch>, BatchError> {
        let slots = self.end_batch();
        let rows = self.rows.slots.len();
        let kept = slots.iter().filter(|slot| !slot.forgotten);
        let origins = kept.map(|slot| Interval {
            partition: slot.partition.clone(),
            after: slot.after,
            through: slot.through,
        });
        let origins = Origins::new(origins.collect());
        let row_slots = std::mem::replace(&mut self.rows.slots, Vec::with_capacity(rows));
        let mut columns = Vec::with_capacity(self.columns.len());
        for header in &self.columns {
            columns.push(self.rows.take(*header, &slots, &row_slots)?);
        }
        if origins.intervals().is_empty() {
            return Ok(None);
        }
        let batch = Batch::new(self.schema.clone(), columns, rows, origins)?;
        if slots.iter().any(|slot| slot.forgotten) {
            let kept = row_slots.iter().map(|slot| Some(!slots[*slot as usize].forgotten));
            return batch.filter(&BooleanArray::from_iter(kept)).map(Some);
        }
        Ok(Some(batch))
    }
}

impl Rows {
    /// How many bytes of records there are.
    fn bytes(&self) -> usize {
        let headers = self.headers.as_ref().map_or(0, HeaderRows::bytes);
        self.bodies.bytes.len() + self.keys.bytes.len() + headers
    }

    fn clear(&mut self) {
        let headers = self.headers.as_ref().map(HeaderRows::without_rows);
        *self = Rows { headers, ..Rows::default() };
    }

    fn push(&mut self, columns: &[Header], slot: u32, record: Record<'_>) {
        self.slots.push(slot);
        for column in columns {
            match column {
                Header::Topic | Header::Partition => {}
                Header::Offset => self.offsets.push(record.offset),
                Header::Timestamp => self.times.push(record.time.saturating_mul(1000)),
                Header::Key => {
                    self.keyed.push(record.key.is_some());
                    self.keys.push(record.key.unwrap_or_default());
                }
                Header::Map => {
                    if let Some(headers) = &mut self.headers {
                        headers.push(record.headers);
                    }
                }
                Header::Body => self.bodies.push(record.body),
            }
        }
    }

    /// A column of all rows; what it is made of is empty afterwards.
    fn take(&mut self, header: Header, slots: &[Slot], row_slots: &[u32]) -> Result<Column, BatchError> {
        let rows = row_slots.len();
        Ok(match header {
            Header::Topic => topics(slots, row_slots),
            Header::Partition => numbers(slots, row_slots),
            Header::Offset => {
                let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows));
                Int64Array::from(offsets).into()
            }
            Header::Timestamp => Column::times(std::mem::replace(&mut self.times, Vec::with_capacity(rows))),
            Header::Key => {
                let keyed = std::mem::replace(&mut self.keyed, Vec::with_capacity(rows));
                let nulls = keyed.contains(&false).then(|| NullBuffer::from(keyed));
                self.keys.take(nulls)?.into()
            }
            Header::Map => self
                .headers
                .as_mut()
                .expect("there are rows of headers where there is their column")
                .take()?,
            Header::Body => self.bodies.take(None)?.into(),
        })
    }
}

fn topics(slots: &[Slot], row_slots: &[u32]) -> Column {
    match slots {
        [] => Column::constant_text(""),
        [first, others @ ..] if others.iter().all(|slot| slot.topic == first.topic) => {
            Column::constant_text(&first.topic)
        }
        _ => {
            // Each topic's name is stored once, and short ones in the views themselves.
            let names = StringViewArray::from_iter_values(slots.iter().map(|slot| &*slot.topic));
            let views = row_slots.iter().map(|slot| names.views()[*slot as usize]).collect();
            let array = StringViewArray::try_new(views, names.data_buffers().clone(), None);
            let array = array.expect("every view is one of the names'");
            Column::Array(Arc::new(array))
        }
    }
}

fn numbers(slots: &[Slot], row_slots: &[u32]) -> Column {
    match slots {
        [] => Column::constant_int(0),
        [first, others @ ..] if others.iter().all(|slot| slot.number == first.number) => {
            Column::constant_int(first.number.into())
        }
        _ => {
            let numbers = row_slots.iter().map(|slot| i64::from(slots[*slot as usize].number));
            Int64Array::from_iter_values(numbers).into()
        }
    }
}

#[cfg(test)]
mod tests;
