//! `??`, `else`, `if` and `match`: operations that take each event's value from one of several operands.
//!
//! Every operand is computed for the whole batch. A failure of an operand counts only in the rows that take it.

use arrow_arith::boolean;
use arrow_array::BooleanArray;
use arrow_select::zip::zip;
use weir_plan::{Expression, MatchArm, Pattern, Value};

use super::membership::{between, equals_any};
use super::{Evaluate, Evaluated, Functions, Unsupported, compile, without_nulls};
use crate::batch::{Batch, BatchError, Column};

/// The first operand, or the second where the first is null.
pub(super) struct Coalesce(pub(super) Box<dyn Evaluate>, pub(super) Box<dyn Evaluate>);

/// The first operand, or the second where computing the first fails.
pub(super) struct Otherwise(pub(super) Box<dyn Evaluate>, pub(super) Box<dyn Evaluate>);

/// The value of the first case whose condition is true.
pub(super) struct If {
    /// Conditions and values.
    pub(super) cases: Vec<(Box<dyn Evaluate>, Box<dyn Evaluate>)>,
    /// The value if no condition is true.
    pub(super) otherwise: Box<dyn Evaluate>,
}

/// The value of the first arm with a pattern that the subject fits.
pub(super) struct Match {
    subject: Box<dyn Evaluate>,
    arms: Vec<(Vec<CompiledPattern>, Box<dyn Evaluate>)>,
    otherwise: Option<Box<dyn Evaluate>>,
}

enum CompiledPattern {
    Null,
    Values(Vec<Column>),
    Range(Column, Column),
}

/// The values of `taken` in the rows of the mask, and of `others` in the other rows. The mask has no nulls.
fn choose(mask: &BooleanArray, taken: Evaluated, others: Evaluated) -> Result<Evaluated, BatchError> {
    let values = zip(mask, taken.values.datum(), others.values.datum())?;
    let failures = taken.failures.retain(|row| mask.value(row));
    let failures = failures.and(others.failures.retain(|row| !mask.value(row)));
    Ok(Evaluated { values: Column::Array(values), failures })
}

impl Evaluate for Coalesce {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let first = self.0.evaluate(batch)?;
        let is_constant = matches!(first.values, Column::Constant(_));
        if first.values.values().null_count() == 0 || batch.rows() == 0 {
            return Ok(first);
        }
        if is_constant && first.failures.is_empty() {
            return self.1.evaluate(batch);
        }
        let rows = first.values.clone().repeated(batch.rows())?;
        let mut present = boolean::is_not_null(rows.values())?;
        // A row that failed is null, and its failure is not the second operand's to mend.
        if !first.failures.is_empty() {
            present = boolean::or(&present, &first.failures.mask(batch.rows()))?;
        }
        choose(&present, Evaluated { values: rows, failures: first.failures }, self.1.evaluate(batch)?)
    }
}

impl Evaluate for Otherwise {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let first = self.0.evaluate(batch)?;
        if first.failures.is_empty() {
            return Ok(first);
        }
        let mended = first.failures.mask(batch.rows());
        choose(&mended, self.1.evaluate(batch)?, first)
    }
}

impl Evaluate for If {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let mut result = self.otherwise.evaluate(batch)?;
        for (condition, value) in self.cases.iter().rev() {
            let asked = condition.evaluate(batch)?;
            let mask = asked.true_rows(batch.rows())?;
            result = choose(&mask, value.evaluate(batch)?, result)?;
            // A condition is asked only where no earlier one is true: an earlier case takes its rows from here.
            result.failures = asked.failures.and(result.failures);
        }
        Ok(result)
    }
}

impl Match {
    /// Compiles a match over constants of the subject's type.
    ///
    /// # Errors
    /// When this version does not support a part of it.
    pub(super) fn compile(
        subject: &Expression,
        arms: &[MatchArm],
        otherwise: Option<&Expression>,
        functions: &Functions,
    ) -> Result<Match, Unsupported> {
        let constant = |value: &Value| {
            let literal = super::literal::Literal::new(value, &subject.data_type);
            literal.map(super::literal::Literal::into_column).ok_or_else(|| Unsupported("`match`".to_owned()))
        };
        let pattern = |pattern: &Pattern| {
            Ok(match pattern {
                Pattern::Value(Value::Null) => CompiledPattern::Null,
                Pattern::Value(value) => CompiledPattern::Values(vec![constant(value)?]),
                Pattern::OneOf(values) => {
                    CompiledPattern::Values(values.iter().map(constant).collect::<Result<_, _>>()?)
                }
                Pattern::Range(from, to) => CompiledPattern::Range(constant(from)?, constant(to)?),
            })
        };
        let arm = |arm: &MatchArm| {
            let patterns = arm.patterns.iter().map(pattern).collect::<Result<Vec<_>, Unsupported>>()?;
            Ok((patterns, compile(&arm.value, functions)?))
        };
        Ok(Match {
            subject: compile(subject, functions)?,
            arms: arms.iter().map(arm).collect::<Result<_, Unsupported>>()?,
            otherwise: otherwise.map(|value| compile(value, functions)).transpose()?,
        })
    }
}

impl CompiledPattern {
    /// The rows of the subject that fit, without nulls.
    fn fits(&self, subject: &Column) -> Result<BooleanArray, BatchError> {
        Ok(match self {
            CompiledPattern::Null => boolean::is_null(subject.values())?,
            CompiledPattern::Values(values) => without_nulls(equals_any(subject, values)?),
            CompiledPattern::Range(from, to) => without_nulls(between(subject, from, to)?),
        })
    }
}

impl Evaluate for Match {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let subject = self.subject.evaluate(batch)?;
        let each = subject.values.repeated(batch.rows())?;
        // Without `otherwise` one of the arms fits every event: the last one's value stands for the rest.
        let (mut result, arms) = match (&self.otherwise, &*self.arms) {
            (Some(otherwise), arms) => (otherwise.evaluate(batch)?, arms),
            (None, [arms @ .., (_, last)]) => (last.evaluate(batch)?, arms),
            (None, []) => return Err(super::unexpected(each.data_type(), "a match with an arm")),
        };
        for (patterns, value) in arms.iter().rev() {
            let mut mask = BooleanArray::from(vec![false; batch.rows()]);
            for pattern in patterns {
                mask = boolean::or(&mask, &pattern.fits(&each)?)?;
            }
            result = choose(&mask, value.evaluate(batch)?, result)?;
        }
        result.failures = subject.failures.and(result.failures);
        Ok(result)
    }
}
