//! Batches: many events as columns, with the part of their source that they cover.

mod column;
mod forgetting;
mod identity;
mod origin;

use std::sync::Arc;

use arrow_array::{Array, BinaryViewArray, BooleanArray, cast::AsArray};
use arrow_schema::{ArrowError, SchemaRef};
use thiserror::Error;
use tokio::time::Instant;
use weir_plan::BODY;

pub use column::Column;
pub use forgetting::{PARTITIONS_MAX, to_forget};
pub use identity::Identities;
pub use origin::{Interval, Origins, Partition};

/// What each event is charged beyond the bytes of its columns: the view of its body.
const ROW_BYTES: u64 = column::VIEW_BYTES;

/// A batch retains at most this many times the bytes that it uses; beyond, it is copied together.
const RETAINED_TIMES_MAX: u64 = 2;

/// Events of one type as columns, and the origins that they cover.
///
/// Columns are shared, so a clone copies no event. An empty batch is legal: its origins make
/// progress without events, when a step has dropped them all.
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

/// A peer of the source waits until the events have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// Since when.
    pub since: Instant,
    /// When it gives up.
    pub until: Instant,
}

/// Columns that don't make a batch. This is a defect of the component that made them.
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
        /// In which way.
        what: String,
    },
    /// There are not as many identities as events.
    #[error("identities that are not those of {rows} events")]
    Identities {
        /// Events of the batch.
        rows: usize,
    },
    /// An Arrow kernel refused.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl Batch {
    /// A batch of `rows` events with these columns, in the order of the schema's fields.
    ///
    /// # Errors
    /// When a column's type or length is not the schema's or the batch's.
    pub fn new(
        schema: SchemaRef,
        columns: Vec<Column>,
        rows: usize,
        origins: Origins,
    ) -> Result<Batch, BatchError> {
        if columns.len() != schema.fields().len() {
            return Err(BatchError::ColumnCount { found: columns.len(), expected: schema.fields().len() });
        }
        for (field, column) in schema.fields().iter().zip(&columns) {
            let misfit = |what: String| BatchError::Column { name: field.name().clone(), what };
            if column.data_type() != field.data_type() {
                let what = format!("{} where {} is expected", column.data_type(), field.data_type());
                return Err(misfit(what));
            }
            match column {
                Column::Array(array) if array.len() != rows => {
                    return Err(misfit(format!("{} rows in a batch of {rows}", array.len())));
                }
                // Sinks may count on a body for each event.
                Column::Constant(_) if field.name() == BODY => {
                    return Err(misfit("a body is stored for each event".to_string()));
                }
                Column::Array(_) | Column::Constant(_) => {}
            }
        }
        Ok(Batch::trusted(schema, columns.into(), rows, origins, None))
    }

    /// A batch whose columns are given by name, in any order. Columns that the schema does not
    /// have are left out.
    ///
    /// # Errors
    /// When a column is missing, or does not fit.
    pub fn assemble(
        schema: &SchemaRef,
        mut named: Vec<(&str, Column)>,
        rows: usize,
        origins: Origins,
    ) -> Result<Batch, BatchError> {
        let columns = schema.fields().iter().map(|field| {
            match named.iter().position(|(name, _)| name == field.name()) {
                Some(place) => Ok(named.swap_remove(place).1),
                None if field.is_nullable() => Ok(Column::null(field.data_type())),
                None => {
                    Err(BatchError::Column { name: field.name().clone(), what: "it is missing".to_string() })
                }
            }
        });
        let columns = columns.collect::<Result<Vec<Column>, BatchError>>()?;
        Batch::new(schema.clone(), columns, rows, origins)
    }

    /// A batch whose columns are known to fit.
    fn trusted(
        schema: SchemaRef,
        columns: Arc<[Column]>,
        rows: usize,
        origins: Origins,
        identities: Option<Arc<Identities>>,
    ) -> Batch {
        let mut payload_bytes = 0;
        let row_bytes = ROW_BYTES + identities.as_deref().map_or(0, Identities::bytes_each_row);
        let mut charged_bytes = rows as u64 * row_bytes;
        for (field, column) in schema.fields().iter().zip(columns.iter()) {
            let bytes = column.bytes_used();
            charged_bytes += bytes;
            if field.name() != BODY {
                charged_bytes += column.view_bytes();
            }
            if !field.name().starts_with(weir_plan::HEADER_SIGIL) {
                payload_bytes += bytes;
            }
        }
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

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The part of the source's partitions that the batch covers, dropped events included.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Which event of its source each row is; none unless a promise needs to know.
    pub fn identities(&self) -> Option<&Identities> {
        self.identities.as_deref()
    }

    /// The same events, which say which events they are.
    ///
    /// # Errors
    /// When these are the identities of more events, or of fewer.
    pub fn with_identities(self, identities: Identities) -> Result<Batch, BatchError> {
        if !identities.fit(self.rows) {
            return Err(BatchError::Identities { rows: self.rows });
        }
        let charged_bytes =
            self.charged_without_identities() + self.rows as u64 * identities.bytes_each_row();
        Ok(Batch { identities: Some(Arc::new(identities)), charged_bytes, ..self })
    }

    /// The same events, which no longer say which they are.
    pub(crate) fn without_identities(self) -> Batch {
        Batch { charged_bytes: self.charged_without_identities(), identities: None, ..self }
    }

    fn charged_without_identities(&self) -> u64 {
        let each_row = self.identities.as_deref().map_or(0, Identities::bytes_each_row);
        self.charged_bytes - self.rows as u64 * each_row
    }

    /// Whether a peer of the source waits for the events to arrive. A volatile channel hands this on, and a
    /// sink commits such events without waiting for others.
    pub fn awaited(&self) -> Option<Awaited> {
        self.awaited
    }

    /// The same events, with a peer that waits for them.
    pub fn with_awaited(self, awaited: Option<Awaited>) -> Batch {
        Batch { awaited, ..self }
    }

    /// The bytes of the bodies and fields, without headers: what rates and reports count.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// What the batch is charged against a channel's `byte_capacity`, which is about what it costs in memory: the
    /// bytes of all its values, 16 for each event, and 16 for each text in another column than the body, names and
    /// values of maps included. A value that all events share counts once.
    pub fn charged_bytes(&self) -> u64 {
        self.charged_bytes
    }

    /// The columns, in the order of the schema's fields.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column with this name, if the event type has it.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.schema.index_of(name).ok().map(|index| &self.columns[index])
    }

    /// The bodies, one for each event; none if the event type has fields instead.
    pub fn bodies(&self) -> Option<&BinaryViewArray> {
        match self.column(BODY)? {
            Column::Array(array) => array.as_binary_view_opt(),
            Column::Constant(_) => None,
        }
    }

    /// The events from `offset`, `rows` of them, without copying.
    ///
    /// The part keeps the whole batch's origins, since rows do not say which part is theirs:
    /// whoever splits a batch settles its origins when all parts are done.
    ///
    /// # Panics
    /// When the range goes beyond the batch.
    pub fn slice(&self, offset: usize, rows: usize) -> Batch {
        let columns = self.columns.iter().map(|column| column.slice(offset, rows)).collect();
        let identities = self.identities.as_ref().map(|identities| Arc::new(identities.slice(offset, rows)));
        let part = Batch::trusted(self.schema.clone(), columns, rows, self.origins.clone(), identities);
        part.with_awaited(self.awaited)
    }

    /// The same events with other origins.
    pub(crate) fn with_origins(self, origins: Origins) -> Batch {
        Batch { origins, ..self }
    }

    /// The events for which `keep` is true; null counts as false. The origins stay as they are.
    ///
    /// # Errors
    /// When `keep` has another length than the batch.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Batch, BatchError> {
        let rows = keep.iter().filter(|kept| *kept == Some(true)).count();
        if rows == self.rows {
            return Ok(self.clone());
        }
        let predicate = arrow_select::filter::FilterBuilder::new(keep).optimize().build();
        let columns = self.columns.iter().map(|column| column.filter(&predicate));
        let columns = columns.collect::<Result<Arc<[Column]>, ArrowError>>()?;
        let identities = self.identities.as_ref();
        let identities = identities.map(|identities| identities.filter(self.rows, &predicate)).transpose()?;
        let identities = identities.map(Arc::new);
        let kept = Batch::trusted(self.schema.clone(), columns, rows, self.origins.clone(), identities);
        Ok(kept.with_awaited(self.awaited))
    }

    /// The same events under a schema with some of the columns, or with more that are optional.
    ///
    /// # Errors
    /// When a column of `schema` is missing or has another type.
    pub fn project(&self, schema: &SchemaRef) -> Result<Batch, BatchError> {
        if Arc::ptr_eq(schema, &self.schema) {
            return Ok(self.clone());
        }
        let names = self.schema.fields().iter().map(|field| field.name().as_str());
        let named = names.zip(self.columns.iter().cloned()).collect();
        let projected = Batch::assemble(schema, named, self.rows, self.origins.clone())?;
        let projected = projected.with_awaited(self.awaited);
        match &self.identities {
            Some(identities) => projected.with_identities(identities.as_ref().clone()),
            None => Ok(projected),
        }
    }

    /// The batch, copied together if it pins much more memory than it uses.
    ///
    /// Bodies are views into the buffers that a source has read; a filter may leave a few of
    /// them that keep megabytes alive, which the channel's bound would not see.
    pub fn compacted(self) -> Batch {
        let retained: u64 = self.columns.iter().map(Column::bytes_retained).sum();
        if retained <= self.charged_bytes * RETAINED_TIMES_MAX {
            return self;
        }
        let columns = self.columns.iter().map(Column::compacted).collect();
        let copied = Batch::trusted(self.schema, columns, self.rows, self.origins, self.identities);
        copied.with_awaited(self.awaited)
    }
}

#[cfg(test)]
mod tests;
