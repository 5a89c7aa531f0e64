//! `check`: rejects the events that break a rule of a quality, and counts the rules.

use std::sync::Arc;

use arrow_arith::boolean::{and, and_not};
use arrow_array::BooleanArray;
use arrow_buffer::BooleanBuffer;
use arrow_schema::{Field, Schema};
use weir_plan::{Expression, HEADER_SIGIL, Operation, Rule};

use super::rejection::{EventsAsJson, Reasons};
use super::{Applied, Apply, Before, StepTools};
use crate::batch::{Batch, BatchError, Column, Origins};
use crate::expressions::{CompileError, Failures, MASK, Memo, Program, ReasonKind};
use crate::observability::meter::{RuleCount, RuleName};

/// An example has at most this many characters.
const EXAMPLE_CHARACTERS_MAX: usize = 200;

pub(super) struct Check {
    rules: Vec<CompiledRule>,
}

struct CompiledRule {
    name: Arc<RuleName>,
    reason: Arc<str>,
    condition: Program,
    example: Example,
}

/// The values that the condition of a rule reads, by which an example shows why it is broken.
struct Example {
    columns: Vec<String>,
    /// The columns with sensitive values.
    masked: Vec<String>,
    as_json: Option<EventsAsJson>,
}

impl Check {
    /// Compiles the rules of a quality.
    ///
    /// # Errors
    /// When this version does not support a part of a condition.
    pub(super) fn compile(
        quality: &str,
        rules: &[Rule],
        before: &Before,
        tools: &StepTools<'_>,
    ) -> Result<Check, CompileError> {
        let compiled = |rule: &Rule| {
            let reason = match &rule.reason {
                Some(reason) => format!("{}: {reason}", rule.name),
                None => rule.name.clone(),
            };
            Ok(CompiledRule {
                name: Arc::new(RuleName { quality: quality.to_owned(), rule: rule.name.clone() }),
                reason: reason.into(),
                condition: Program::compile_with(&rule.condition, &tools.expressions())?,
                example: Example::of(&rule.condition, before, tools.as_json),
            })
        };
        Ok(Check { rules: rules.iter().map(compiled).collect::<Result<_, CompileError>>()? })
    }
}

impl Apply for Check {
    fn apply(&self, batch: &Batch, memo: &Memo) -> Result<Applied, BatchError> {
        let rows = batch.rows();
        let mut fine = BooleanArray::new(BooleanBuffer::new_set(rows), None);
        let (mut rejected, mut counts) = (Vec::new(), Vec::with_capacity(self.rules.len()));
        for CompiledRule { name, reason, condition, example } in &self.rules {
            // A rule that is null for an event is broken.
            let kept = condition.evaluate_with(batch, memo)?.true_rows(rows)?;
            let broken = rows - kept.true_count();
            let mut count = RuleCount { rule: name.clone(), checked: rows, broken, example: None };
            if broken > 0 {
                let first = kept.values().iter().position(|is_kept| !is_kept);
                count.example = first.and_then(|row| example.show(batch, row));
                // An event has the reason of the first rule that it breaks.
                let newly = and_not(&fine, &kept)?;
                if newly.has_true() {
                    let reasons = Reasons::Same(ReasonKind::Rule, reason.clone());
                    rejected.push((batch.filter(&newly)?, reasons));
                }
                fine = and(&fine, &kept)?;
            }
            counts.push(count);
        }
        let rest = batch.filter(&fine)?;
        let applied = Applied::rejected(rest, Failures::default(), rejected).selecting(fine);
        Ok(Applied { rules: counts, ..applied })
    }
}

impl Example {
    fn of(condition: &Expression, before: &Before, as_json: Option<EventsAsJson>) -> Example {
        let mut names = Vec::new();
        column_names(condition, &mut names);
        let (masked, columns) = names.into_iter().partition(|name| before.has_sensitive(name));
        Example { columns, masked, as_json }
    }

    /// Shows the values of one event as JSON; none if nothing can show them.
    fn show(&self, batch: &Batch, row: usize) -> Option<String> {
        let event = batch.slice(row, 1);
        let plain = |name: &str| name.trim_start_matches(HEADER_SIGIL).to_owned();
        let columns: Vec<(String, Column)> =
            self.columns.iter().filter_map(|name| Some((plain(name), event.column(name)?.clone()))).collect();
        let fields = columns.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let named = columns.iter().map(|(name, column)| (name.as_str(), column.clone())).collect();
        let shown = Batch::assemble(&schema, named, 1, Origins::default()).ok()?;
        let json = self.as_json?(&shown).ok()?;
        let text = String::from_utf8_lossy(json.value(0)).into_owned();
        let masked = self.masked.iter().map(|name| format!("\"{}\":\"{MASK}\"", plain(name)));
        let values = text.trim_start_matches('{').trim_end_matches('}').to_owned();
        let values: Vec<String> =
            std::iter::once(values).filter(|values| !values.is_empty()).chain(masked).collect();
        Some(format!("{{{}}}", values.join(",")).chars().take(EXAMPLE_CHARACTERS_MAX).collect())
    }
}

/// Adds the names of the columns that an expression reads, each once.
fn column_names(expression: &Expression, names: &mut Vec<String>) {
    if let Operation::Column(name) = &expression.operation
        && !names.contains(name)
    {
        names.push(name.clone());
    }
    expression.operation.parts().into_iter().for_each(|part| column_names(part, names));
}
