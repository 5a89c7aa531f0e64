//! A slow evaluator of expressions for single events, as plain as possible: the definition of what the programs compute.

use std::collections::HashMap;

use arrow_schema::DataType;
use weir_plan::{
    Arithmetic, Comparison, Decimal, DecimalType, Expression, FilledPart, Function, HoleFormat, Operation,
    Pattern, Value,
};
use weir_runtime::batch::Column;

use super::functions;
use super::program::registry;
use super::value::{Single, array_of};

/// An event, and the functions that expressions may call.
pub(super) struct Event<'e> {
    pub(super) columns: HashMap<String, Single>,
    pub(super) locals: Vec<Single>,
    pub(super) functions: &'e [Function],
}

/// The computation of an expression failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Failed;

pub(super) type Outcome = Result<Single, Failed>;

impl Event<'_> {
    /// Evaluates an expression.
    pub(super) fn value(&self, expression: &Expression) -> Outcome {
        let of = |part: &Expression| self.value(part);
        Ok(match &expression.operation {
            Operation::Literal(value) => Single::of_constant(value, &expression.data_type),
            Operation::Column(name) => self.columns[name].clone(),
            Operation::Local(number) => self.locals[*number as usize].clone(),
            Operation::Not(operand) => match of(operand)? {
                Single::Bool(truth) => Single::Bool(!truth),
                _ => Single::Null,
            },
            Operation::And(left, right) => self.decided(left, right, false)?,
            Operation::Or(left, right) => self.decided(left, right, true)?,
            Operation::IsNull(operand) => Single::Bool(matches!(of(operand)?, Single::Null)),
            Operation::IsEmpty(operand) => match of(operand)? {
                Single::Text(text) => Single::Bool(text.is_empty()),
                Single::Bytes(bytes) => Single::Bool(bytes.is_empty()),
                Single::List(items) => Single::Bool(items.is_empty()),
                Single::Map(entries) => Single::Bool(entries.is_empty()),
                _ => Single::Null,
            },
            Operation::Compare(comparison, left, right) => compared(*comparison, &of(left)?, &of(right)?),
            Operation::Arithmetic(operator, left, right) => {
                computed(*operator, of(left)?, of(right)?, &expression.data_type)?
            }
            Operation::Negate(operand) => negated(of(operand)?)?,
            Operation::Coalesce(first, second) => match of(first)? {
                Single::Null => of(second)?,
                value => value,
            },
            Operation::Otherwise(first, second) => of(first).or_else(|_| of(second))?,
            Operation::OneOf(operand, values) => {
                let value = of(operand)?;
                let is_one = |one: &Value| value.is_same(&Single::of_constant(one, &operand.data_type));
                match value {
                    Single::Null => Single::Null,
                    _ => Single::Bool(values.iter().any(is_one)),
                }
            }
            Operation::Between(value, least, most) => {
                let (value, least, most) = (of(value)?, of(least)?, of(most)?);
                match (value.compare(&least), value.compare(&most)) {
                    (Some(above), Some(below)) => Single::Bool(above.is_ge() && below.is_le()),
                    _ => Single::Null,
                }
            }
            Operation::Matches(operand, pattern) => {
                let pattern = regex::bytes::Regex::new(pattern).unwrap();
                match of(operand)? {
                    Single::Text(text) => Single::Bool(pattern.is_match(text.as_bytes())),
                    Single::Bytes(bytes) => Single::Bool(pattern.is_match(&bytes)),
                    _ => Single::Null,
                }
            }
            _ => return self.chosen(expression),
        })
    }

    /// Evaluates an operation that chooses or takes a value.
    fn chosen(&self, expression: &Expression) -> Outcome {
        match &expression.operation {
            Operation::Contains(of, item) => Ok(match (self.value(of)?, self.value(item)?) {
                (Single::Null, _) | (_, Single::Null) => Single::Null,
                (Single::List(items), item) => Single::Bool(items.iter().any(|one| one.is_same(&item))),
                (Single::Map(entries), Single::Text(name)) => {
                    Single::Bool(entries.iter().any(|(known, _)| *known == name))
                }
                _ => Single::Null,
            }),
            Operation::Index(of, item) => Ok(match (self.value(of)?, self.value(item)?) {
                (Single::List(items), Single::Int(index)) => usize::try_from(index)
                    .ok()
                    .and_then(|index| items.get(index).cloned())
                    .unwrap_or(Single::Null),
                (Single::Map(entries), Single::Text(name)) => {
                    let found = entries.into_iter().find(|(known, _)| *known == name);
                    found.map_or(Single::Null, |(_, value)| value)
                }
                (Single::Text(json), Single::Text(name)) => {
                    let json: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
                    match json.get(&name) {
                        None | Some(serde_json::Value::Null) => Single::Null,
                        Some(value) => Single::Text(value.to_string()),
                    }
                }
                _ => Single::Null,
            }),
            Operation::Field(record, name) => Ok(match self.value(record)? {
                Single::Record(fields) => fields
                    .into_iter()
                    .find(|(known, _)| known == name)
                    .map_or(Single::Null, |(_, value)| value),
                _ => Single::Null,
            }),
            Operation::If { cases, otherwise } => {
                for (condition, value) in cases {
                    if matches!(self.value(condition)?, Single::Bool(true)) {
                        return self.value(value);
                    }
                }
                self.value(otherwise)
            }
            Operation::Match { subject, arms, otherwise } => {
                let value = self.value(subject)?;
                let fits = |pattern: &Pattern| fits(pattern, &value, &subject.data_type);
                match arms.iter().find(|arm| arm.patterns.iter().any(fits)) {
                    Some(arm) => self.value(&arm.value),
                    None => otherwise.as_ref().map_or(Ok(Single::Null), |otherwise| self.value(otherwise)),
                }
            }
            Operation::Filled(parts) => self.filled(parts, &expression.data_type),
            Operation::List(items) => {
                let items = items.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>()?;
                let is_whole = items.iter().all(|item| !matches!(item, Single::Null));
                Ok(if is_whole { Single::List(items) } else { Single::Null })
            }
            Operation::Call { function, arguments, .. } => self.called(function, arguments),
            Operation::Apply { function, arguments } => self.applied(*function as usize, arguments),
            other => unreachable!("{other:?} is evaluated before"),
        }
    }

    /// Calls a function of the program.
    fn applied(&self, function: usize, arguments: &[Expression]) -> Outcome {
        let locals = arguments.iter().map(|argument| self.value(argument)).collect::<Result<_, _>>()?;
        let Function { lets, result, .. } = &self.functions[function];
        let mut inner = Event { columns: HashMap::new(), locals, functions: self.functions };
        for value in lets {
            let value = inner.value(value)?;
            inner.locals.push(value);
        }
        inner.value(result)
    }

    /// Evaluates `and` or `or`, which is decided if the left side is `decided`.
    fn decided(&self, left: &Expression, right: &Expression, decided: bool) -> Outcome {
        let left = match self.value(left)? {
            Single::Bool(truth) if truth == decided => return Ok(Single::Bool(decided)),
            other => other,
        };
        Ok(match (left, self.value(right)?) {
            (_, Single::Bool(truth)) if truth == decided => Single::Bool(decided),
            (Single::Bool(_), Single::Bool(truth)) => Single::Bool(truth),
            _ => Single::Null,
        })
    }

    fn filled(&self, parts: &[FilledPart], data_type: &DataType) -> Outcome {
        let (mut text, mut is_whole) = (String::new(), true);
        for part in parts {
            match part {
                FilledPart::Text(fixed) => text.push_str(fixed),
                FilledPart::Value { value, format } => match (self.value(value)?, format) {
                    (Single::Null, _) => is_whole = false,
                    (Single::Int(number), HoleFormat::Padded(digits)) => {
                        text.push_str(&format!("{number:0width$}", width = usize::from(*digits)));
                    }
                    (Single::Time(time), HoleFormat::Time(pattern)) => {
                        let time = jiff::Timestamp::from_microsecond(time).unwrap();
                        text.push_str(&time.to_zoned(jiff::tz::TimeZone::UTC).strftime(pattern).to_string());
                    }
                    (value, _) => text.push_str(&functions::text_of(&value)),
                },
            }
        }
        Ok(match (is_whole, data_type) {
            (false, _) => Single::Null,
            (true, DataType::BinaryView) => Single::Bytes(text.into_bytes()),
            (true, _) => Single::Text(text),
        })
    }

    /// Calls a function: by its own plain definition, or else by the library's for this event alone.
    fn called(&self, name: &str, arguments: &[Expression]) -> Outcome {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.value(argument)?);
        }
        if let Some(outcome) = functions::called(name, &values) {
            return outcome;
        }
        let function = registry().make_function(name, arguments).unwrap();
        let column = |(value, argument): (&Single, &Expression)| {
            Column::Array(array_of(std::slice::from_ref(value), &argument.data_type))
        };
        let columns: Vec<Column> = values.iter().zip(arguments).map(column).collect();
        let called = function.call(&columns, 1).unwrap();
        if called.failures.is_empty() { Ok(Single::of_array(called.values.values(), 0)) } else { Err(Failed) }
    }
}

fn fits(pattern: &Pattern, value: &Single, data_type: &DataType) -> bool {
    let constant = |constant: &Value| Single::of_constant(constant, data_type);
    match pattern {
        Pattern::Value(Value::Null) => matches!(value, Single::Null),
        Pattern::Value(one) => !matches!(value, Single::Null) && value.is_same(&constant(one)),
        Pattern::OneOf(values) => {
            !matches!(value, Single::Null) && values.iter().any(|one| value.is_same(&constant(one)))
        }
        Pattern::Range(least, most) => {
            let above = value.compare(&constant(least)).is_some_and(std::cmp::Ordering::is_ge);
            above && value.compare(&constant(most)).is_some_and(std::cmp::Ordering::is_le)
        }
    }
}

fn compared(comparison: Comparison, left: &Single, right: &Single) -> Single {
    let Some(order) = left.compare(right) else { return Single::Null };
    Single::Bool(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

fn negated(value: Single) -> Outcome {
    Ok(match value {
        Single::Int(number) => Single::Int(number.checked_neg().ok_or(Failed)?),
        Single::Float(number) => Single::Float(0.0 - number),
        Single::Decimal(number) => Single::Decimal(number.negated()),
        Single::Duration(length) => Single::Duration(length.saturating_neg()),
        _ => Single::Null,
    })
}

fn computed(operator: Arithmetic, left: Single, right: Single, result: &DataType) -> Outcome {
    use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
    let quotient = |left: f64, right: f64| {
        if right == 0.0 { Err(Failed) } else { Ok(Single::Float(left / right + 0.0)) }
    };
    Ok(match (operator, left, right) {
        (_, Single::Null, _) | (_, _, Single::Null) => Single::Null,
        (Add, Single::Int(left), Single::Int(right)) => Single::Int(left.checked_add(right).ok_or(Failed)?),
        (Subtract, Single::Int(left), Single::Int(right)) => {
            Single::Int(left.checked_sub(right).ok_or(Failed)?)
        }
        (Multiply, Single::Int(left), Single::Int(right)) => {
            Single::Int(left.checked_mul(right).ok_or(Failed)?)
        }
        (Divide, Single::Int(left), Single::Int(right)) => quotient(left as f64, right as f64)?,
        (Remainder, Single::Int(_), Single::Int(0)) => return Err(Failed),
        (Remainder, Single::Int(left), Single::Int(right)) => Single::Int(left.wrapping_rem(right)),
        (Add, Single::Float(left), Single::Float(right)) => Single::Float(left + right + 0.0),
        (Subtract, Single::Float(left), Single::Float(right)) => Single::Float(left - right + 0.0),
        (Multiply, Single::Float(left), Single::Float(right)) => Single::Float(left * right + 0.0),
        (Divide, Single::Float(left), Single::Float(right)) => quotient(left, right)?,
        (Add, Single::Text(left), Single::Text(right)) => Single::Text(left + &right),
        (Add, Single::Duration(left), Single::Duration(right)) => {
            Single::Duration(left.saturating_add(right))
        }
        (Subtract, Single::Duration(left), Single::Duration(right)) => {
            Single::Duration(left.saturating_sub(right))
        }
        (Divide, Single::Duration(left), Single::Duration(right)) => quotient(left as f64, right as f64)?,
        (Multiply, Single::Duration(one), Single::Int(other))
        | (Multiply, Single::Int(other), Single::Duration(one)) => {
            Single::Duration(one.checked_mul(other).ok_or(Failed)?)
        }
        (Divide, Single::Duration(_), Single::Int(0)) => return Err(Failed),
        (Divide, Single::Duration(left), Single::Int(right)) => Single::Duration(left.saturating_div(right)),
        (Add, Single::Time(time), Single::Duration(length)) => Single::Time(time.saturating_add(length)),
        (Subtract, Single::Time(time), Single::Duration(length)) => Single::Time(time.saturating_sub(length)),
        (Subtract, Single::Time(left), Single::Time(right)) => Single::Duration(left.saturating_sub(right)),
        (Add, Single::Size(left), Single::Size(right)) => {
            Single::Size(left.checked_add(right).ok_or(Failed)?)
        }
        (Subtract, Single::Size(left), Single::Size(right)) => {
            Single::Size(left.checked_sub(right).ok_or(Failed)?)
        }
        (Divide, Single::Size(left), Single::Size(right)) => quotient(left as f64, right as f64)?,
        (Multiply, Single::Size(one), Single::Int(other))
        | (Multiply, Single::Int(other), Single::Size(one)) => {
            let product = i128::from(one) * i128::from(other);
            Single::Size(u64::try_from(product).map_err(|_| Failed)?)
        }
        (operator, left, right) => exact(operator, &left, &right, result)?,
    })
}

fn exact(operator: Arithmetic, left: &Single, right: &Single, result: &DataType) -> Outcome {
    let number = |value: &Single| match value {
        Single::Int(number) => Decimal::from(*number),
        Single::Decimal(number) => *number,
        other => unreachable!("{other:?} is no exact number"),
    };
    let DataType::Decimal128(digits, scale) = result else { unreachable!("{result} is no Decimal") };
    let result = DecimalType { digits: *digits, scale: scale.unsigned_abs() };
    number(left).compute(operator, number(right), result).map(Single::Decimal).ok_or(Failed)
}
