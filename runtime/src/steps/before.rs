//! The events before a step, as they are known when the step is compiled.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{Field, FieldRef, SchemaRef};
use weir_plan::{Expression, Operation, SENSITIVE};

use crate::expressions::local_column;

/// The columns and locals of the events before a step.
#[derive(Clone, Default)]
pub(crate) struct Before {
    /// The type of the events; none if it is not known, as for rejected events.
    pub(crate) schema: Option<SchemaRef>,
    /// The locals of the steps before: further columns of the batches, which a channel or a sink does not take.
    pub(crate) locals: Vec<FieldRef>,
    /// The number of the steps `sample` before.
    pub(super) samples: u64,
}

impl Before {
    /// Makes the columns at the begin of a path, if they are known.
    pub(crate) fn first_step(schema: Option<SchemaRef>) -> Before {
        Before { schema, ..Before::default() }
    }

    /// Whether an expression reads a sensitive column, so that a reason must not quote a value.
    pub(super) fn is_sensitive(&self, expression: &Expression) -> bool {
        let reads = match &expression.operation {
            Operation::Column(name) => self.has_sensitive(name),
            Operation::Local(number) => self.has_sensitive(&local_column(*number)),
            _ => false,
        };
        reads || expression.operation.parts().into_iter().any(|part| self.is_sensitive(part))
    }

    /// Whether a column or a local is sensitive.
    pub(super) fn has_sensitive(&self, name: &str) -> bool {
        let fields = self.schema.iter().flat_map(|schema| schema.fields().iter()).chain(&self.locals);
        fields.into_iter().any(|field| field.name() == name && field.metadata().contains_key(SENSITIVE))
    }

    /// Adds the local of a `let`.
    pub(super) fn add_local(&mut self, name: String, value: &Expression) {
        let field = Field::new(name, value.data_type.clone(), value.nullable);
        let metadata: HashMap<String, String> =
            self.is_sensitive(value).then(|| (SENSITIVE.to_owned(), String::new())).into_iter().collect();
        self.locals.push(Arc::new(field.with_metadata(metadata)));
    }
}
