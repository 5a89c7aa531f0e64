//! Rejected events: the rows that steps reject with the reasons, and the events that the flow's route for rejects takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray, StringViewArray, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use weir_plan::{BODY, LINEAGE};

use crate::batch::{Batch, BatchError, Column, Identities};
use crate::environment::clock::Clock;
use crate::expressions::ReasonKind;
use crate::observability::meter::Reading;

use super::observer::Observer;

/// Writes each event of a batch as a JSON object with its fields.
pub type EventsAsJson = fn(&Batch) -> Result<BinaryViewArray, BatchError>;

/// The column that keeps the body as it came in, while a later step can still reject events whose body has changed. No
/// column of an event type has such a name.
pub(crate) const ORIGINAL_BODY: &str = "$body";

/// Events that a step rejects.
pub(crate) struct Rejected {
    /// The place in [`Leg`](crate::routing::Leg): an event is rejected at most once at a place.
    pub(crate) slot: usize,
    /// The step's first words.
    pub(super) step: Arc<str>,
    /// The events, with the columns that they had before the step.
    pub(crate) events: Batch,
    pub(super) reasons: Reasons,
}

/// The reasons of rejected events.
pub(super) enum Reasons {
    /// All events have this reason.
    Same(ReasonKind, Arc<str>),
    /// The reason of each event.
    Each(Vec<(ReasonKind, String)>),
}

impl Rejected {
    /// Makes the rejection of events by a component, for one reason.
    pub(crate) fn by_component(
        slot: usize,
        component: Arc<str>,
        events: Batch,
        (kind, reason): (ReasonKind, &str),
    ) -> Rejected {
        Rejected { slot, step: component, events, reasons: Reasons::Same(kind, reason.into()) }
    }
}

impl Reasons {
    /// Counts the events by the kinds of their reasons. The bytes are shared out by events.
    pub(super) fn count(&self, events: &Batch) -> BTreeMap<ReasonKind, Reading> {
        let mut counts: BTreeMap<ReasonKind, Reading> = BTreeMap::new();
        match self {
            Reasons::Same(kind, _) => {
                counts.entry(*kind).or_default().add(events.rows(), events.payload_bytes());
            }
            Reasons::Each(reasons) => {
                for (row, (kind, _)) in reasons.iter().enumerate() {
                    counts.entry(*kind).or_default().add(1, events.slice(row, 1).payload_bytes());
                }
            }
        }
        counts
    }
}

/// Makes the events of a flow's rejects.
#[derive(Clone)]
pub(crate) struct RejectEvents {
    schema: SchemaRef,
    /// The names of the sources that the events come from.
    source: Arc<str>,
    clock: Arc<dyn Clock>,
    /// Writes events that have no body; none in an agent that has no such events.
    as_json: Option<EventsAsJson>,
    observer: Option<Arc<dyn Observer>>,
}

impl RejectEvents {
    pub(crate) fn new(
        source: Arc<str>,
        clock: Arc<dyn Clock>,
        as_json: Option<EventsAsJson>,
        observer: Option<Arc<dyn Observer>>,
    ) -> RejectEvents {
        let text = |name: &str| Field::new(name, DataType::Utf8View, false);
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let fields = vec![
            Field::new(BODY, DataType::BinaryView, false),
            text("reason"),
            text("source"),
            text("step"),
            Field::new("time", time, false),
        ];
        RejectEvents { schema: Arc::new(Schema::new(fields)), source, clock, as_json, observer }
    }

    /// Makes one batch of all rejected events of `part`, in the order of `part`. It has the origins of `part`.
    ///
    /// # Errors
    /// When an event has no body and can't be written as JSON, or identities are missing.
    pub(crate) fn make(&self, rejected: &[&Rejected], part: &Batch) -> Result<Batch, BatchError> {
        let rows: usize = rejected.iter().map(|rejected| rejected.events.rows()).sum();
        let bodies = rejected.iter().map(|rejected| Ok(Arc::new(self.bodies(&rejected.events)?) as ArrayRef));
        let bodies = bodies.collect::<Result<Vec<ArrayRef>, BatchError>>()?;
        let reasons = rejected.iter().map(|rejected| reasons(rejected));
        let (steps, reasons): (Vec<ArrayRef>, Vec<ArrayRef>) = match rejected {
            [] => (Vec::new(), Vec::new()),
            _ => (rejected.iter().map(|rejected| steps(rejected)).collect(), reasons.collect()),
        };
        let (order, identities) = match rejected {
            [one] => (None, one.events.identities().cloned()),
            several => {
                let parts = several.iter().map(|rejected| &rejected.events);
                let parts = parts.filter_map(|events| Some((events.identities()?, events.rows())));
                let (order, identities) = Identities::merged(parts).unzip();
                (order, identities)
            }
        };
        let column = |parts: Vec<ArrayRef>, data_type: &DataType| -> Result<Column, BatchError> {
            let all = match parts.as_slice() {
                [] => arrow_array::new_empty_array(data_type),
                [one] => one.clone(),
                several => {
                    let several: Vec<_> = several.iter().map(AsRef::as_ref).collect();
                    arrow_select::concat::concat(&several)?
                }
            };
            Ok(Column::Array(match &order {
                Some(order) if rows == order.len() => arrow_select::take::take(&all, order, None)?,
                _ => all,
            }))
        };
        let mut columns = vec![
            column(bodies, &DataType::BinaryView)?,
            column(reasons, &DataType::Utf8View)?,
            Column::constant_text(&self.source),
            column(steps, &DataType::Utf8View)?,
            Column::constant_time(self.clock.now()),
        ];
        let mut schema = self.schema.clone();
        if let Some((_, field)) = part.schema().fields().find(LINEAGE) {
            let lineage = rejected.iter().map(|rejected| lineage(&rejected.events, field));
            columns.push(column(lineage.collect::<Result<_, _>>()?, field.data_type())?);
            let fields = schema.fields().iter().chain([field]).cloned();
            schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        }
        let events = Batch::new(schema, columns, rows, part.origins().clone())?;
        let events = events.with_awaited(part.awaited());
        let events = match identities {
            Some(identities) => events.with_identities(identities)?,
            None => events,
        };
        if let Some(observer) = self.observer.as_ref().filter(|_| rows > 0) {
            observer.rejected(&events);
        }
        Ok(events)
    }

    /// The bodies as the events came in; the fields as JSON if they came in without a body.
    fn bodies(&self, events: &Batch) -> Result<BinaryViewArray, BatchError> {
        use arrow_array::cast::AsArray;
        if let Some(Column::Array(bodies)) = events.column(ORIGINAL_BODY)
            && let Some(bodies) = bodies.as_binary_view_opt()
        {
            return Ok(bodies.clone());
        }
        match (events.bodies(), self.as_json) {
            (Some(bodies), _) => Ok(bodies.clone()),
            (None, Some(as_json)) => as_json(events),
            (None, None) => {
                let what = "rejected events have no body, and nothing writes them as JSON";
                Err(ArrowError::ComputeError(what.to_owned()).into())
            }
        }
    }
}

/// Returns the lineage of events, by which a test recognises them in the rejects.
fn lineage(events: &Batch, field: &Field) -> Result<ArrayRef, BatchError> {
    match events.column(LINEAGE) {
        Some(column) => match column.clone().repeated(events.rows())? {
            Column::Array(array) => Ok(array),
            Column::Constant(scalar) => Ok(scalar.into_inner()),
        },
        None => Ok(arrow_array::new_null_array(field.data_type(), events.rows())),
    }
}

fn reasons(Rejected { reasons, events, .. }: &Rejected) -> ArrayRef {
    match reasons {
        Reasons::Same(_, reason) => repeated(reason, events.rows()),
        Reasons::Each(reasons) => {
            Arc::new(StringViewArray::from_iter_values(reasons.iter().map(|(_, reason)| reason)))
        }
    }
}

fn steps(Rejected { step, events, .. }: &Rejected) -> ArrayRef {
    repeated(step, events.rows())
}

/// Returns the text for each of `rows` rows; all views refer to one copy.
fn repeated(text: &str, rows: usize) -> ArrayRef {
    let one: ArrayRef = Arc::new(StringViewArray::from_iter_values([text]));
    let indices = UInt32Array::from(vec![0; rows]);
    // Taking rows that exist can't fail.
    arrow_select::take::take(&one, &indices, None).unwrap_or(one)
}
