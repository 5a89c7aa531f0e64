//! Builds batches of records: copies the bytes of records into one buffer and makes columns of views into it, without
//! an allocation for each record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::builder::make_view;
use arrow_array::{BinaryViewArray, BooleanArray, Int64Array, StringViewArray};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::SchemaRef;
use weir_plan::BODY;
use weir_runtime::batch::{Batch, BatchError, Column, Identities, Interval, Origins, Partition};

use super::headers::{HEADERS, HeaderRows};
use super::positions::{StartOffset, TopicPartition};

/// A batch with at least this many bytes is full. The last record may exceed it.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Additional capacity of the buffer, so that a last record of usual length does not make it grow.
const LAST_RECORD_BYTES: usize = 16 << 10;

/// The parts of a record that events can have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) offset: i64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(super) time: i64,
    pub(super) key: Option<&'a [u8]>,
    /// None of a tombstone, which becomes an empty body.
    pub(super) body: Option<&'a [u8]>,
    /// The record's headers, if the schema [has them](BatchBuilder::wants_headers).
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// A record's offset lies before the partition's read position.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WentBack {
    pub(super) partition: Partition,
    pub(super) offset: i64,
    pub(super) position: u64,
}

/// The columns that the schema may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnKind {
    Topic,
    Partition,
    Offset,
    Key,
    Timestamp,
    Tombstone,
    /// The headers of the record.
    Headers,
    Body,
}

impl ColumnKind {
    fn named(name: &str) -> Option<ColumnKind> {
        Some(match name {
            "@topic" => ColumnKind::Topic,
            "@partition" => ColumnKind::Partition,
            "@offset" => ColumnKind::Offset,
            "@key" => ColumnKind::Key,
            "@timestamp" => ColumnKind::Timestamp,
            "@tombstone" => ColumnKind::Tombstone,
            HEADERS => ColumnKind::Headers,
            BODY => ColumnKind::Body,
            _ => return None,
        })
    }
}

/// The index of an owned partition, from [`BatchBuilder::index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartitionIndex(usize);

/// Builds a batch, and keeps the read position of each owned partition.
pub(super) struct BatchBuilder {
    schema: SchemaRef,
    columns: Vec<ColumnKind>,
    batch: usize,
    linger: Duration,
    owned: Vec<ReadPosition>,
    indexes: HashMap<Arc<str>, HashMap<i32, usize>>,
    /// The parts of the batch, in the order of their first records.
    parts: Vec<BatchPart>,
    rows: Rows,
    since: Option<Instant>,
    /// The mean length of the records of the last batch.
    record_bytes: usize,
    /// Whether batches have identities.
    identities: bool,
}

/// The read position of an owned partition.
struct ReadPosition {
    topic: Arc<str>,
    number: i32,
    partition: Partition,
    /// The offset of the next record.
    position: u64,
    /// The index in `parts`, if the batch has records of the partition.
    part: Option<u32>,
}

/// The part of a batch with the records of one partition.
struct BatchPart {
    topic: Arc<str>,
    number: i32,
    partition: Partition,
    after: u64,
    through: u64,
    /// The partition was revoked meanwhile, so its records are left out.
    revoked: bool,
}

/// The values of each row, for the columns of the schema.
#[derive(Default)]
struct Rows {
    /// The index of the part to which each row belongs.
    parts: Vec<u32>,
    /// The position after each row, if batches have identities.
    positions: Vec<u64>,
    offsets: Vec<i64>,
    times: Vec<i64>,
    bodies: BytesColumn,
    keys: BytesColumn,
    /// Whether each row has a key.
    keyed: Vec<bool>,
    /// Whether each row has no value.
    tombstones: Vec<bool>,
    headers: Option<HeaderRows>,
}

/// The values of a column of bytes, and views of them.
#[derive(Default)]
struct BytesColumn {
    bytes: Vec<u8>,
    views: Vec<u128>,
}

impl BytesColumn {
    fn push(&mut self, value: &[u8]) {
        // The buffer has at most the bytes of one batch and one record of less than 2 GiB, so indexes fit into 32 bits.
        self.views.push(make_view(value, 0, self.bytes.len() as u32));
        self.bytes.extend_from_slice(value);
    }

    /// Takes the values as an array, and reserves memory for as many values again.
    fn take(&mut self, nulls: Option<NullBuffer>) -> Result<BinaryViewArray, BatchError> {
        let (bytes, rows) = (self.bytes.len(), self.views.len());
        let capacity = if bytes == 0 { 0 } else { bytes + LAST_RECORD_BYTES };
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(capacity));
        let views = std::mem::replace(&mut self.views, Vec::with_capacity(rows));
        let array =
            BinaryViewArray::try_new(ScalarBuffer::from(views), vec![Buffer::from_vec(bytes)], nulls)?;
        Ok(array)
    }
}

impl BatchBuilder {
    /// Makes a builder of batches with this schema, of at most `batch` rows.
    ///
    /// # Errors
    /// The name of a column that records don't have.
    pub(super) fn new(schema: SchemaRef, batch: usize, linger: Duration) -> Result<BatchBuilder, String> {
        let columns = schema.fields().iter();
        let columns =
            columns.map(|field| ColumnKind::named(field.name()).ok_or_else(|| field.name().clone()));
        let columns = columns.collect::<Result<Vec<ColumnKind>, String>>()?;
        let headers = match schema.field_with_name(HEADERS) {
            Ok(field) => Some(HeaderRows::new(field.data_type()).ok_or_else(|| HEADERS.to_string())?),
            Err(_none) => None,
        };
        Ok(BatchBuilder {
            schema,
            columns,
            batch,
            linger,
            owned: Vec::new(),
            indexes: HashMap::new(),
            parts: Vec::new(),
            rows: Rows { headers, ..Rows::default() },
            since: None,
            record_bytes: 0,
            identities: false,
        })
    }

    /// Gives the batches identities.
    pub(super) fn with_identities(self, identities: bool) -> BatchBuilder {
        BatchBuilder { identities, ..self }
    }

    /// Whether the schema has the headers of records.
    pub(super) fn wants_headers(&self) -> bool {
        self.rows.headers.is_some()
    }

    /// Adds a partition that is read from its start offset on.
    pub(super) fn assign(&mut self, start: &StartOffset) {
        self.revoke(&start.partition);
        let TopicPartition { topic, number } = start.partition.clone();
        self.indexes.entry(topic.clone()).or_default().insert(number, self.owned.len());
        let partition = start.name.clone();
        self.owned.push(ReadPosition { topic, number, partition, position: start.offset, part: None });
    }

    /// Removes a partition, and leaves out its records in the present batch.
    pub(super) fn revoke(&mut self, gone: &TopicPartition) {
        let Some(index) = self.indexes.get_mut(&gone.topic).and_then(|numbers| numbers.remove(&gone.number))
        else {
            return;
        };
        if let Some(part) = self.owned.swap_remove(index).part {
            self.parts[part as usize].revoked = true;
        }
        if let Some(moved) = self.owned.get(index) {
            self.indexes.entry(moved.topic.clone()).or_default().insert(moved.number, index);
        }
    }

    /// Returns the index of a partition, or `None` if it is not owned. The index is valid until the next
    /// [`assign`](BatchBuilder::assign) or [`revoke`](BatchBuilder::revoke).
    pub(super) fn index(&self, topic: &str, number: i32) -> Option<PartitionIndex> {
        self.indexes.get(topic)?.get(&number).copied().map(PartitionIndex)
    }

    /// Adds a record to the batch.
    ///
    /// # Errors
    /// When its offset lies before the partition's read position.
    pub(super) fn add(
        &mut self,
        index: PartitionIndex,
        record: Record<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), WentBack> {
        let owned = &mut self.owned[index.0];
        let offset = u64::try_from(record.offset).unwrap_or(0);
        if offset < owned.position {
            let (partition, position) = (owned.partition.clone(), owned.position);
            return Err(WentBack { partition, offset: record.offset, position });
        }
        // Skipped offsets belong to the markers of transactions, or to aborted transactions.
        let after = std::mem::replace(&mut owned.position, offset + 1);
        let part = match owned.part {
            Some(part) => part,
            None => {
                let part = self.parts.len() as u32;
                owned.part = Some(part);
                self.parts.push(BatchPart {
                    topic: owned.topic.clone(),
                    number: owned.number,
                    partition: owned.partition.clone(),
                    after,
                    through: offset,
                    revoked: false,
                });
                part
            }
        };
        self.parts[part as usize].through = offset + 1;
        if self.identities {
            self.rows.positions.push(offset + 1);
        }
        self.since.get_or_insert_with(now);
        self.rows.push(&self.columns, part, record);
        Ok(())
    }

    /// Whether partitions are assigned.
    pub(super) fn owns_any(&self) -> bool {
        !self.owned.is_empty()
    }

    /// Returns the next offset of each partition.
    pub(super) fn positions(&self) -> impl Iterator<Item = (&str, i32, u64)> {
        self.owned.iter().map(|owned| (&*owned.topic, owned.number, owned.position))
    }

    /// Returns how many records should be added until the batch is full, if they are as long as those before; at least one.
    pub(super) fn room(&self) -> usize {
        let rows = self.batch.saturating_sub(self.rows.parts.len());
        let bytes = BATCH_BYTES_MAX.saturating_sub(self.rows.bytes());
        rows.min(bytes / self.record_bytes.max(1)).max(1)
    }

    /// Whether the batch is full.
    pub(super) fn is_full(&self) -> bool {
        self.rows.parts.len() >= self.batch || self.rows.bytes() >= BATCH_BYTES_MAX
    }

    /// Returns how long the batch may still wait to become full; `None` if it is empty.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        if self.is_full() {
            return Some(Duration::ZERO);
        }
        self.since.map(|since| (since + self.linger).saturating_duration_since(now))
    }

    /// Discards the batch. Its records were not put and will be read again.
    pub(super) fn clear(&mut self) {
        self.parts.iter_mut().for_each(|part| part.revoked = true);
        self.end_batch();
        self.rows.clear();
    }

    fn end_batch(&mut self) -> Vec<BatchPart> {
        self.since = None;
        self.owned.iter_mut().for_each(|owned| owned.part = None);
        std::mem::take(&mut self.parts)
    }

    /// Takes the batch, and starts the next one. Returns `None` if the batch has no records.
    pub(super) fn take(&mut self) -> Result<Option<Batch>, BatchError> {
        let parts = self.end_batch();
        let rows = self.rows.parts.len();
        self.record_bytes = self.rows.bytes() / rows.max(1);
        let kept = parts.iter().filter(|part| !part.revoked);
        let origins = kept.map(|part| Interval {
            partition: part.partition.clone(),
            after: part.after,
            through: part.through,
        });
        let origins = Origins::new(origins.collect());
        let row_parts = std::mem::replace(&mut self.rows.parts, Vec::with_capacity(rows));
        let positions = std::mem::take(&mut self.rows.positions);
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.push(self.rows.take(*column, &parts, &row_parts)?);
        }
        if origins.intervals().is_empty() {
            return Ok(None);
        }
        let mut batch = Batch::new(self.schema.clone(), columns, rows, origins)?;
        if self.identities {
            let partitions = parts.iter().map(|part| part.partition.clone()).collect();
            batch =
                batch.with_identities(Identities::of_several(partitions, row_parts.clone(), positions))?;
        }
        if parts.iter().any(|part| part.revoked) {
            let kept = row_parts.iter().map(|part| Some(!parts[*part as usize].revoked));
            return batch.filter(&BooleanArray::from_iter(kept)).map(Some);
        }
        Ok(Some(batch))
    }
}

impl Rows {
    /// Returns the bytes of bodies, keys and headers.
    fn bytes(&self) -> usize {
        let headers = self.headers.as_ref().map_or(0, HeaderRows::bytes);
        self.bodies.bytes.len() + self.keys.bytes.len() + headers
    }

    fn clear(&mut self) {
        let headers = self.headers.as_ref().map(HeaderRows::without_rows);
        *self = Rows { headers, ..Rows::default() };
    }

    fn push(&mut self, columns: &[ColumnKind], part: u32, record: Record<'_>) {
        self.parts.push(part);
        for column in columns {
            match column {
                ColumnKind::Topic | ColumnKind::Partition => {}
                ColumnKind::Offset => self.offsets.push(record.offset),
                ColumnKind::Timestamp => self.times.push(record.time.saturating_mul(1000)),
                ColumnKind::Key => {
                    self.keyed.push(record.key.is_some());
                    self.keys.push(record.key.unwrap_or_default());
                }
                ColumnKind::Tombstone => self.tombstones.push(record.body.is_none()),
                ColumnKind::Headers => {
                    if let Some(headers) = &mut self.headers {
                        headers.push(record.headers);
                    }
                }
                ColumnKind::Body => self.bodies.push(record.body.unwrap_or_default()),
            }
        }
    }

    /// Takes one column of all rows.
    fn take(
        &mut self,
        column: ColumnKind,
        parts: &[BatchPart],
        row_parts: &[u32],
    ) -> Result<Column, BatchError> {
        let rows = row_parts.len();
        Ok(match column {
            ColumnKind::Topic => topics(parts, row_parts),
            ColumnKind::Partition => numbers(parts, row_parts),
            ColumnKind::Offset => {
                let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows));
                Int64Array::from(offsets).into()
            }
            ColumnKind::Timestamp => {
                Column::times(std::mem::replace(&mut self.times, Vec::with_capacity(rows)))
            }
            ColumnKind::Key => {
                let keyed = std::mem::replace(&mut self.keyed, Vec::with_capacity(rows));
                let nulls = keyed.contains(&false).then(|| NullBuffer::from(keyed));
                self.keys.take(nulls)?.into()
            }
            ColumnKind::Tombstone => {
                let tombstones = std::mem::replace(&mut self.tombstones, Vec::with_capacity(rows));
                Column::Array(Arc::new(BooleanArray::from(tombstones)))
            }
            ColumnKind::Headers => self
                .headers
                .as_mut()
                .expect("a schema with the column `headers` has rows of headers")
                .take()?,
            ColumnKind::Body => self.bodies.take(None)?.into(),
        })
    }
}

fn topics(parts: &[BatchPart], row_parts: &[u32]) -> Column {
    match parts {
        [] => Column::constant_text(""),
        [first, others @ ..] if others.iter().all(|part| part.topic == first.topic) => {
            Column::constant_text(&first.topic)
        }
        _ => {
            // The name of each topic is stored once, and a short name in the views themselves.
            let names = StringViewArray::from_iter_values(parts.iter().map(|part| &*part.topic));
            let views = row_parts.iter().map(|part| names.views()[*part as usize]).collect();
            let array = StringViewArray::try_new(views, names.data_buffers().clone(), None);
            let array = array.expect("every view is a copy of a view of `names`");
            Column::Array(Arc::new(array))
        }
    }
}

fn numbers(parts: &[BatchPart], row_parts: &[u32]) -> Column {
    match parts {
        [] => Column::constant_int(0),
        [first, others @ ..] if others.iter().all(|part| part.number == first.number) => {
            Column::constant_int(first.number.into())
        }
        _ => {
            let numbers = row_parts.iter().map(|part| i64::from(parts[*part as usize].number));
            Int64Array::from_iter_values(numbers).into()
        }
    }
}

#[cfg(test)]
mod tests;
