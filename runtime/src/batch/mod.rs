//! Batches: many events as columns, with the positions of their source that they cover.

mod column;
mod forgetting;
mod identity;
mod origin;

use std::sync::Arc;

use arrow_array::{Array, BinaryViewArray, BooleanArray, UInt32Array, cast::AsArray};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use thiserror::Error;
use tokio::time::Instant;
use weir_plan::BODY;

pub use column::Column;
pub use forgetting::{PARTITIONS_MAX, partitions_to_forget};
pub use identity::Identities;
pub use origin::{Interval, Origins, Partition};

/// The bytes that each event is charged beyond the bytes of its columns: the view of its body.
const ROW_BYTES: u64 = column::VIEW_BYTES;

/// A batch retains at most this many times the bytes that it uses; a batch that retains more is copied.
const RETAINED_TIMES_MAX: u64 = 2;

/// About the bytes of memory that a batch takes beside its columns' values: arrays, origins, and its entry in a channel. A channel
/// in memory counts them, since many batches of one event each would take many times the bytes of their events.
pub(crate) const BATCH_BYTES: u64 = 1536;

/// The first character of a column that only the steps of one path have. No column of an event type has such a name.
pub const LOCAL_SIGIL: char = '$';

/// Events of one type as columns, and the origins that they cover.
///
/// Columns are shared, so a clone copies no event. A batch may be empty: when a step has dropped all events, the
/// origins still make progress.
#[derive(Debug, Clone)]
pub struct Batch {
    schema: SchemaRef,
    columns: Arc<[Column]>,
    rows: usize,
    payload_bytes: u64,
    charged_bytes: u64,
    origins: Origins,
    identities: Option<Arc<Identities>>,
    awaited: Option<Awaited>,
}

/// The wait of a source's peer for events to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// When the peer began to wait.
    pub since: Instant,
    /// When the peer gives up.
    pub until: Instant,
}

/// Why columns don't make a batch. The component that made the columns has a defect.
#[derive(Debug, Error)]
pub enum BatchError {
    /// The number of columns differs from the schema's.
    #[error("{found} columns for a schema of {expected}")]
    ColumnCount {
        /// Columns given.
        found: usize,
        /// Columns of the schema.
        expected: usize,
    },
    /// A column has another length or type than the batch.
    #[error("column `{name}` does not fit: {what}")]
    Column {
        /// The column's name.
        name: String,
        /// Why it does not fit.
        what: String,
    },
    /// The number of identities differs from the number of events.
    #[error("identities that are not those of {rows} events")]
    Identities {
        /// Events of the batch.
        rows: usize,
    },
    /// An Arrow kernel refused.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// The bytes of columns.
struct Counted {
    payload: u64,
    charged: u64,
}

impl Counted {
    fn of(name: &str, column: &Column) -> Counted {
        let bytes = column.bytes_used();
        let views = if name == BODY { 0 } else { column.view_bytes() };
        let is_payload = !name.starts_with([weir_plan::HEADER_SIGIL, LOCAL_SIGIL]);
        Counted { payload: if is_payload { bytes } else { 0 }, charged: bytes + views }
    }

    fn add(&mut self, other: Counted) {
        self.payload += other.payload;
        self.charged += other.charged;
    }

    fn subtract(&mut self, other: Counted) {
        self.payload -= other.payload;
        self.charged -= other.charged;
    }
}

impl Batch {
    /// Makes a batch of `rows` events from columns in the order of the schema's fields.
    ///
    /// # Errors
    /// When a column's type or length is not the schema's or the batch's.
    pub fn new(
        schema: SchemaRef,
        columns: Vec<Column>,
        rows: usize,
        origins: Origins,
    ) -> Result<Batch, BatchError> {
        Batch::check(&schema, &columns, rows)?;
        Ok(Batch::from_checked(schema, columns.into(), rows, origins, None))
    }

    /// Checks that columns fit the schema and the number of events.
    fn check(schema: &Schema, columns: &[Column], rows: usize) -> Result<(), BatchError> {
        if columns.len() != schema.fields().len() {
            return Err(BatchError::ColumnCount { found: columns.len(), expected: schema.fields().len() });
        }
        for (field, column) in schema.fields().iter().zip(columns) {
            let misfit = |what: String| BatchError::Column { name: field.name().clone(), what };
            if column.data_type() != field.data_type() {
                let what = format!("{} where {} is expected", column.data_type(), field.data_type());
                return Err(misfit(what));
            }
            match column {
                Column::Array(array) if array.len() != rows => {
                    return Err(misfit(format!("{} rows in a batch of {rows}", array.len())));
                }
                // Sinks rely on a body for each event.
                Column::Constant(_) if field.name() == BODY => {
                    return Err(misfit("a body is stored for each event".to_string()));
                }
                Column::Array(_) | Column::Constant(_) => {}
            }
        }
        Ok(())
    }

    /// Makes a batch from named columns in any order. Columns that the schema does not have are left out; a nullable
    /// field without a column is null.
    ///
    /// # Errors
    /// When a column is missing, or does not fit.
    pub fn assemble(
        schema: &SchemaRef,
        named: Vec<(&str, Column)>,
        rows: usize,
        origins: Origins,
    ) -> Result<Batch, BatchError> {
        let columns = Batch::arranged(schema, named, rows)?;
        Batch::new(schema.clone(), columns, rows, origins)
    }

    /// Returns named columns in the order of the schema's fields.
    fn arranged(
        schema: &SchemaRef,
        mut named: Vec<(&str, Column)>,
        rows: usize,
    ) -> Result<Vec<Column>, BatchError> {
        let columns = schema.fields().iter().map(|field| {
            let column = match named.iter().position(|(name, _)| name == field.name()) {
                Some(place) => named.remove(place).1,
                None if field.is_nullable() => Column::null(field.data_type()),
                None => {
                    let what = "it is missing".to_string();
                    return Err(BatchError::Column { name: field.name().clone(), what });
                }
            };
            // Sinks rely on a body for each event.
            Ok(if field.name() == BODY { column.repeated(rows)? } else { column })
        });
        columns.collect()
    }

    /// Makes a batch from columns that are known to fit the schema.
    fn from_checked(
        schema: SchemaRef,
        columns: Arc<[Column]>,
        rows: usize,
        origins: Origins,
        identities: Option<Arc<Identities>>,
    ) -> Batch {
        let row_bytes = ROW_BYTES + identities.as_deref().map_or(0, Identities::bytes_each_row);
        let mut counted = Counted { payload: 0, charged: rows as u64 * row_bytes };
        for (field, column) in schema.fields().iter().zip(columns.iter()) {
            counted.add(Counted::of(field.name(), column));
        }
        let Counted { payload: payload_bytes, charged: charged_bytes } = counted;
        let awaited = None;
        Batch { schema, columns, rows, payload_bytes, charged_bytes, origins, identities, awaited }
    }

    /// The type of the events: one field for each column.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of events.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the batch has no events.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The intervals of the source's positions that the batch covers, dropped events included.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// The identity of each row; none unless a promise needs identities.
    pub fn identities(&self) -> Option<&Identities> {
        self.identities.as_deref()
    }

    /// Returns the same events with these identities.
    ///
    /// # Errors
    /// When the number of identities differs from the number of events.
    pub fn with_identities(self, identities: Identities) -> Result<Batch, BatchError> {
        if !identities.fit(self.rows) {
            return Err(BatchError::Identities { rows: self.rows });
        }
        let charged_bytes =
            self.charged_without_identities() + self.rows as u64 * identities.bytes_each_row();
        Ok(Batch { identities: Some(Arc::new(identities)), charged_bytes, ..self })
    }

    /// Returns the same events without identities.
    pub(crate) fn without_identities(self) -> Batch {
        Batch { charged_bytes: self.charged_without_identities(), identities: None, ..self }
    }

    fn charged_without_identities(&self) -> u64 {
        let each_row = self.identities.as_deref().map_or(0, Identities::bytes_each_row);
        self.charged_bytes - self.rows as u64 * each_row
    }

    /// The wait of a source's peer for the events to arrive, if a peer waits. A volatile channel keeps it, and a sink
    /// commits such events without waiting for more events.
    pub fn awaited(&self) -> Option<Awaited> {
        self.awaited
    }

    /// Returns the same events with this wait of a peer.
    pub fn with_awaited(self, awaited: Option<Awaited>) -> Batch {
        Batch { awaited, ..self }
    }

    /// The bytes of the bodies and fields, without headers. Rates and reports count these bytes.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The bytes that the batch is charged against a channel's `byte_capacity`, about its cost in memory: the bytes of
    /// all values, 16 for each event, and 16 for each text outside the body, names and values of maps included. A value
    /// that all events share counts once.
    pub fn charged_bytes(&self) -> u64 {
        self.charged_bytes
    }

    /// The columns, in the order of the schema's fields.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column with this name, if the event type has it.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.schema.fields().find(name).map(|(index, _)| &self.columns[index])
    }

    /// The bodies, one for each event; none if the event type has fields instead.
    pub fn bodies(&self) -> Option<&BinaryViewArray> {
        match self.column(BODY)? {
            Column::Array(array) => array.as_binary_view_opt(),
            Column::Constant(_) => None,
        }
    }

    /// Returns `rows` events from `offset` on, without copying.
    ///
    /// The part keeps the origins of the complete batch, since rows can't be mapped to positions: a caller that splits
    /// a batch settles its origins when all parts are done.
    ///
    /// # Panics
    /// When the range goes beyond the batch.
    pub fn slice(&self, offset: usize, rows: usize) -> Batch {
        let columns = self.columns.iter().map(|column| column.slice(offset, rows)).collect();
        let identities = self.identities.as_ref().map(|identities| Arc::new(identities.slice(offset, rows)));
        let part = Batch::from_checked(self.schema.clone(), columns, rows, self.origins.clone(), identities);
        part.with_awaited(self.awaited)
    }

    /// Returns the same events with these origins.
    pub(crate) fn with_origins(self, origins: Origins) -> Batch {
        Batch { origins, ..self }
    }

    /// Returns the events for which `keep` is true; null counts as false. The origins do not change.
    ///
    /// # Errors
    /// When `keep` has another length than the batch.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Batch, BatchError> {
        let rows = keep.true_count();
        if rows == self.rows {
            return Ok(self.clone());
        }
        let predicate = arrow_select::filter::FilterBuilder::new(keep).optimize().build();
        let columns = self.columns.iter().map(|column| column.filter(&predicate));
        let columns = columns.collect::<Result<Arc<[Column]>, ArrowError>>()?;
        let identities = self.identities.as_ref();
        let identities = identities.map(|identities| identities.filter(self.rows, &predicate)).transpose()?;
        let identities = identities.map(Arc::new);
        let kept = Batch::from_checked(self.schema.clone(), columns, rows, self.origins.clone(), identities);
        Ok(kept.with_awaited(self.awaited))
    }

    /// Returns the events of the rows with these numbers, which do not decrease. The origins do not change.
    ///
    /// # Errors
    /// When Arrow's kernel refuses a column.
    pub(crate) fn take(&self, rows: &UInt32Array) -> Result<Batch, BatchError> {
        let columns = self.columns.iter().map(|column| column.take(rows));
        let columns = columns.collect::<Result<Arc<[Column]>, ArrowError>>()?;
        let identities = self.identities.as_ref().map(|identities| Arc::new(identities.take(rows)));
        let taken =
            Batch::from_checked(self.schema.clone(), columns, rows.len(), self.origins.clone(), identities);
        Ok(taken.with_awaited(self.awaited))
    }

    /// Returns the same events without a column.
    ///
    /// # Errors
    /// When the remaining columns are no batch.
    pub(crate) fn without(&self, name: &str) -> Result<Batch, BatchError> {
        let fields = self.schema.fields().iter().filter(|field| field.name() != name).cloned();
        self.project(&Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    /// Returns one event with these columns, which are constants, for computing an expression once.
    ///
    /// # Errors
    /// When a column is missing.
    pub(crate) fn constants(&self, names: &[String]) -> Result<Batch, BatchError> {
        self.operands(names, 1, |column| Ok(column.clone()))
    }

    /// Returns these columns of the events for which `keep` is true, for computing an expression. `keep` has no nulls.
    ///
    /// # Errors
    /// When a column is missing, or `keep` has another length than the batch.
    pub(crate) fn part(&self, names: &[String], keep: &BooleanArray) -> Result<Batch, BatchError> {
        let predicate = arrow_select::filter::FilterBuilder::new(keep).optimize().build();
        self.operands(names, keep.true_count(), |column| column.filter(&predicate))
    }

    /// Makes events of some columns, whose bytes are not counted.
    fn operands(
        &self,
        names: &[String],
        rows: usize,
        make: impl Fn(&Column) -> Result<Column, ArrowError>,
    ) -> Result<Batch, BatchError> {
        let indices = names.iter().map(|name| self.schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let columns = indices.iter().map(|index| make(&self.columns[*index]));
        let columns = columns.collect::<Result<Arc<[Column]>, ArrowError>>()?;
        Ok(Batch {
            schema: Arc::new(self.schema.project(&indices)?),
            columns,
            rows,
            payload_bytes: 0,
            charged_bytes: 0,
            origins: Origins::default(),
            identities: None,
            awaited: None,
        })
    }

    /// Returns the same events under another schema, which may lack columns and may have further nullable columns.
    ///
    /// # Errors
    /// When a required column of `schema` is missing, or a column has another type.
    pub fn project(&self, schema: &SchemaRef) -> Result<Batch, BatchError> {
        if Arc::ptr_eq(schema, &self.schema) {
            return Ok(self.clone());
        }
        self.with_columns(schema, Vec::new())
    }

    /// The same events with the columns of `schema`: the `new` ones, which are given by name, and for the other fields
    /// those of this batch.
    ///
    /// # Errors
    /// When a column of `schema` is missing or does not fit.
    pub(crate) fn with_columns(
        &self,
        schema: &SchemaRef,
        new: Vec<(&str, Column)>,
    ) -> Result<Batch, BatchError> {
        let names = self.schema.fields().iter().map(|field| field.name().as_str());
        // Of two columns with one name the first counts.
        let named = new.into_iter().chain(names.zip(self.columns.iter().cloned())).collect();
        let columns = Batch::arranged(schema, named, self.rows)?;
        Batch::check(schema, &columns, self.rows)?;
        let Counted { payload, charged } = self.recounted(schema, &columns);
        Ok(Batch {
            schema: schema.clone(),
            columns: columns.into(),
            payload_bytes: payload,
            charged_bytes: charged,
            ..self.clone()
        })
    }

    /// Counts the bytes of the same events with these columns. Only columns that the batch does not have are counted,
    /// since each value takes time.
    fn recounted(&self, schema: &Schema, columns: &[Column]) -> Counted {
        let mut counted = Counted { payload: self.payload_bytes, charged: self.charged_bytes };
        let mut kept = vec![false; self.columns.len()];
        for (field, column) in schema.fields().iter().zip(columns) {
            match self.schema.fields().find(field.name()) {
                Some((index, _)) if self.columns[index].is_same(column) => kept[index] = true,
                _ => counted.add(Counted::of(field.name(), column)),
            }
        }
        let before = self.schema.fields().iter().zip(self.columns.iter()).zip(kept);
        for ((field, column), _) in before.filter(|(_, is_kept)| !is_kept) {
            counted.subtract(Counted::of(field.name(), column));
        }
        counted
    }

    /// Returns the batch, copied into new buffers if it keeps much more memory alive than it uses.
    ///
    /// Bodies are views into the buffers that a source has read. After a filter, a few views may keep megabytes alive,
    /// which a channel's bound would not count.
    pub fn compacted(self) -> Batch {
        let retained: u64 = self.columns.iter().map(Column::bytes_retained).sum();
        if retained <= self.charged_bytes * RETAINED_TIMES_MAX {
            return self;
        }
        let columns = self.columns.iter().map(Column::compacted).collect();
        let copied = Batch::from_checked(self.schema, columns, self.rows, self.origins, self.identities);
        copied.with_awaited(self.awaited)
    }
}

#[cfg(test)]
mod tests;
