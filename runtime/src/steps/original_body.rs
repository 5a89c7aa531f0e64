//! The body as it came in, which is kept as a further column while a later step can still reject events.

use arrow_schema::{DataType, SchemaRef};
use weir_plan::{Action, BODY, Leg, Step as PlannedStep};

use super::{Applied, Apply, Before, ORIGINAL_BODY};
use crate::batch::{Batch, BatchError};
use crate::expressions::{Failures, Memo};

/// Copies the body column, whose views are shared, to [`ORIGINAL_BODY`].
pub(super) struct KeepOriginalBody {
    /// The columns after the step, locals included.
    pub(super) after: SchemaRef,
}

impl Apply for KeepOriginalBody {
    fn apply(&self, batch: &Batch, _: &Memo) -> Result<Applied, BatchError> {
        let body = batch.column(BODY).map(|body| (ORIGINAL_BODY, body.clone()));
        let kept = batch.with_columns(&self.after, body.into_iter().collect())?;
        Applied::changed(kept, Failures::default())
    }
}

/// Whether the body has to be kept before the step `index` of a leg: the step changes the body, and a step behind it can
/// reject events.
pub(crate) fn keeps_original_body(leg: &Leg, index: usize, before: &Before) -> bool {
    let has_body = |schema: &SchemaRef| {
        schema.field_with_name(BODY).is_ok_and(|body| *body.data_type() == DataType::BinaryView)
    };
    !before.locals.iter().any(|local| local.name() == ORIGINAL_BODY)
        && before.schema.as_ref().is_some_and(has_body)
        && changes_body(&leg.steps[index])
        && (leg.steps[index + 1..].iter().any(PlannedStep::rejects)
            || leg.to.legs().into_iter().any(Leg::rejects))
}

fn changes_body(step: &PlannedStep) -> bool {
    match &step.action {
        Action::Parse { .. } => true,
        Action::Set { column, .. }
        | Action::Unset(column)
        | Action::Explode(column)
        | Action::Flatten { column, .. } => column == BODY,
        Action::Rename { from, to } => from == BODY || to == BODY,
        Action::Select(columns) => !columns.iter().any(|column| column == BODY),
        Action::Keep(_)
        | Action::Drop(_)
        | Action::Reject { .. }
        | Action::Check { .. }
        | Action::Let { .. }
        | Action::Throttle(_)
        | Action::Sample(_)
        | Action::Dedupe { .. } => false,
    }
}
