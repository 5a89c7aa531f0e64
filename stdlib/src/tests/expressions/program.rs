//! Compiles the expression of a step of a program.

use std::sync::{Arc, LazyLock};

use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;
use weir_compiler::{Library, Options, analyse, lower};
use weir_plan::{Action, Expression, Plan};
use weir_runtime::batch::Batch;
use weir_runtime::expressions::{Evaluated, Program};
use weir_runtime::{Registry, SystemClock};

/// The functions of the library.
pub(super) fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(crate::registry);
    &REGISTRY
}

/// The library, as the compiler reads it.
pub(super) fn library() -> Library {
    Library::parse(crate::library_sources().iter().copied()).expect("the library is right")
}

/// The expression of a step, with the plan of its program.
pub(super) struct Compiled {
    pub(super) plan: Plan,
    pub(super) expression: Expression,
    /// The columns that the events have before the step.
    pub(super) columns: SchemaRef,
    program: Program,
}

impl Compiled {
    /// Compiles an expression over events with the fields of a schema, in a program with these further items.
    ///
    /// # Errors
    /// The diagnostics of the compiler, or why the runtime refuses the expression.
    pub(super) fn new(
        library: &Library,
        fields: &str,
        items: &str,
        expression: &str,
    ) -> Result<Compiled, String> {
        let text = format!(
            "{items}\nschema Row {{\n{fields}\n}}\nsource events = files {{ paths: [\"events.json\"] }}\n\
             sink out = null {{}}\nflow main {{\n  events\n    -> parse json as Row else drop\n    \
             -> set result = ({expression}) else drop\n    -> out\n}}\n"
        );
        let analysis = analyse(&("a.flow", text.as_str()), "a.flow", library, &Options::default());
        let plan = lower(&analysis).ok_or_else(|| format!("{text}\n{:?}", analysis.diagnostics))?;
        let steps = plan.flows.iter().flat_map(|flow| &flow.paths).flat_map(|path| &path.leg.steps);
        let steps: Vec<_> = steps.cloned().collect();
        let value = steps.iter().find_map(|step| match &step.action {
            Action::Set { value, .. } => Some(value.clone()),
            _ => None,
        });
        let expression = value.ok_or("the program has no step")?;
        let columns = plan.event_types[steps[0].event_type.0 as usize].schema.clone();
        let clock = Arc::new(SystemClock) as Arc<dyn weir_runtime::Clock>;
        let program = registry().compile(&expression, &plan.functions, &clock)?;
        Ok(Compiled { plan, expression, columns, program })
    }

    /// Evaluates the expression for each event of a batch.
    pub(super) fn evaluate(&self, batch: &Batch) -> Evaluated {
        self.program.evaluate(batch).expect("the batch has the type of the events")
    }
}

/// Returns the values of a result, one for each of `rows` events.
pub(super) fn values(evaluated: &Evaluated, rows: usize) -> ArrayRef {
    let values = evaluated.values.values();
    let indices: arrow_array::UInt32Array = (0..rows).map(|row| evaluated.values.index(row) as u32).collect();
    arrow_select::take::take(values, &indices, None).expect("each event has a value")
}
