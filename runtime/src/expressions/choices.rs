//! `??`, `else`, `if` and `match`: operations that take each event's value from one of several operands.
//!
//! A costly operand is computed only for the rows that take it. A failure counts only in the rows that take the operand.

use arrow_arith::boolean::{and, and_not, is_not_null, is_null, or};
use arrow_array::BooleanArray;
use arrow_schema::DataType;
use weir_plan::{Expression, MatchArm, Pattern, Value};

use super::branches::{Branch, all, merged};
use super::membership::{between, equals_any};
use super::{CompileError, Evaluate, Evaluated, Evaluation, Failures, Tools, compile, without_nulls};
use crate::batch::{BatchError, Column};

/// The first operand, or the second where the first is null.
pub(super) struct Coalesce(pub(super) Box<dyn Evaluate>, pub(super) Branch);

/// The first operand, or the second where computing the first fails.
pub(super) struct Otherwise(pub(super) Box<dyn Evaluate>, pub(super) Branch);

/// The value of the first case whose condition is true.
pub(super) struct If {
    /// Conditions and values.
    pub(super) cases: Vec<(Branch, Branch)>,
    /// The value if no condition is true.
    pub(super) otherwise: Branch,
    /// The type of the values.
    pub(super) data_type: DataType,
}

/// The value of the first arm with a pattern that the subject fits.
pub(super) struct Match {
    subject: Box<dyn Evaluate>,
    arms: Vec<(Vec<CompiledPattern>, Branch)>,
    otherwise: Option<Branch>,
    data_type: DataType,
}

enum CompiledPattern {
    Null,
    Values(Vec<Column>),
    Range(Column, Column),
}

impl Evaluate for Coalesce {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let (first, rows) = (self.0.evaluate(batch)?, batch.rows());
        if first.values.values().null_count() == 0 || rows == 0 {
            return Ok(first);
        }
        let values = first.values.repeated(rows)?;
        let mut present = is_not_null(values.values())?;
        // A row that failed is null, and its failure is not the second operand's to mend.
        if !first.failures.is_empty() {
            present = or(&present, &first.failures.mask(rows))?;
        }
        let missing = and_not(&all(true, rows), &present)?;
        let second = self.1.evaluate(batch, &missing)?;
        let data_type = values.data_type().clone();
        let first = Evaluated { values, failures: first.failures };
        merged(vec![(present, first), (missing, second)], &data_type, rows)
    }
}

impl Evaluate for Otherwise {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let (first, rows) = (self.0.evaluate(batch)?, batch.rows());
        if first.failures.is_empty() {
            return Ok(first);
        }
        let failed = first.failures.mask(rows);
        let second = self.1.evaluate(batch, &failed)?;
        let data_type = first.values.data_type().clone();
        let kept = and_not(&all(true, rows), &failed)?;
        merged(vec![(kept, first.values.into()), (failed, second)], &data_type, rows)
    }
}

impl Evaluate for If {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let rows = batch.rows();
        let (mut rest, mut pieces) = (all(true, rows), Vec::with_capacity(self.cases.len() + 1));
        let mut failures = Failures::default();
        for (condition, value) in &self.cases {
            let asked = condition.evaluate(batch, &rest)?;
            let taken = and(&rest, &asked.true_rows(rows)?)?;
            let value = value.evaluate(batch, &taken)?;
            rest = and_not(&rest, &taken)?;
            if !asked.failures.is_empty() {
                rest = and_not(&rest, &asked.failures.mask(rows))?;
                failures = failures.and(asked.failures);
            }
            pieces.push((taken, value));
        }
        let otherwise = self.otherwise.evaluate(batch, &rest)?;
        pieces.push((rest, otherwise));
        let result = merged(pieces, &self.data_type, rows)?;
        Ok(Evaluated { values: result.values, failures: failures.and(result.failures) })
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
        data_type: &DataType,
        tools: &Tools<'_>,
    ) -> Result<Match, CompileError> {
        let constant = |value: &Value| {
            let literal = super::literal::Literal::new(value, &subject.data_type);
            literal
                .map(super::literal::Literal::into_column)
                .ok_or_else(|| CompileError::Unsupported("`match`".to_owned()))
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
            let patterns = arm.patterns.iter().map(pattern).collect::<Result<Vec<_>, CompileError>>()?;
            Ok((patterns, Branch::compile(&arm.value, tools)?))
        };
        Ok(Match {
            subject: compile(subject, tools)?,
            arms: arms.iter().map(arm).collect::<Result<_, CompileError>>()?,
            otherwise: otherwise.map(|value| Branch::compile(value, tools)).transpose()?,
            data_type: data_type.clone(),
        })
    }
}

impl CompiledPattern {
    /// The rows of the subject that fit, without nulls.
    fn fits(&self, subject: &Column) -> Result<BooleanArray, BatchError> {
        Ok(match self {
            CompiledPattern::Null => is_null(subject.values())?,
            CompiledPattern::Values(values) => without_nulls(equals_any(subject, values)?),
            CompiledPattern::Range(from, to) => without_nulls(between(subject, from, to)?),
        })
    }
}

impl Evaluate for Match {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let (subject, rows) = (self.subject.evaluate(batch)?, batch.rows());
        let each = subject.values.repeated(rows)?;
        let mut rest = all(true, rows);
        if !subject.failures.is_empty() {
            rest = and_not(&rest, &subject.failures.mask(rows))?;
        }
        let mut pieces = Vec::with_capacity(self.arms.len() + 1);
        for (patterns, value) in &self.arms {
            let mut taken = all(false, rows);
            for pattern in patterns {
                taken = or(&taken, &pattern.fits(&each)?)?;
            }
            taken = and(&rest, &taken)?;
            rest = and_not(&rest, &taken)?;
            let value = value.evaluate(batch, &taken)?;
            pieces.push((taken, value));
        }
        // Without `otherwise` one of the arms fits every event.
        if let Some(otherwise) = &self.otherwise {
            let otherwise = otherwise.evaluate(batch, &rest)?;
            pieces.push((rest, otherwise));
        }
        let result = merged(pieces, &self.data_type, rows)?;
        Ok(Evaluated { values: result.values, failures: subject.failures.and(result.failures) })
    }
}
