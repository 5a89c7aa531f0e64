//! Checks expressions: operands have the types that their operations need, and all names exist.

use arrow_schema::{DataType, Schema};

use super::constants::fits;
use super::{Faults, Place, data_type, is_same};
use crate::{Expression, FilledPart, Function, HoleFormat, MatchArm, Operation, Pattern, Table};

/// The columns, locals and functions that an expression may use.
pub(super) struct Scope<'a> {
    /// The columns of the events.
    pub(super) columns: Columns<'a>,
    /// The types of the locals so far. The type of a parameter is unknown until its first use.
    pub(super) locals: Vec<Option<DataType>>,
    /// The functions that may be called; in a function, only those that do not call it.
    pub(super) functions: &'a [Option<Signature>],
}

/// The columns that an expression may use.
#[derive(Clone, Copy)]
pub(super) enum Columns<'a> {
    /// The columns of this schema.
    Of(&'a Schema),
    /// Any column, since the type of the events is not known.
    Any,
    /// No column: functions have only locals.
    None,
}

/// The types of a function's parameters and result.
pub(super) struct Signature {
    /// The types of the parameters; `None` for unused ones.
    parameters: Vec<Option<DataType>>,
    result: DataType,
}

/// The maximum number of a function's parameters. Functions of the compiler have fewer.
const PARAMETERS_MAX: u32 = 1_000;

/// Returns the indices of functions, each behind those that it calls. Functions that call each other in a circle stand in
/// any order.
fn called_first(functions: &[Function]) -> Vec<usize> {
    fn collect(expression: &Expression, called: &mut Vec<usize>) {
        if let Operation::Apply { function, .. } = expression.operation {
            called.push(function as usize);
        }
        expression.operation.parts().into_iter().for_each(|part| collect(part, called));
    }
    let (mut order, mut is_seen) = (Vec::with_capacity(functions.len()), vec![false; functions.len()]);
    let mut stack: Vec<(usize, bool)> = (0..functions.len()).rev().map(|index| (index, false)).collect();
    while let Some((index, are_called_done)) = stack.pop() {
        if are_called_done {
            order.push(index);
            continue;
        }
        if std::mem::replace(&mut is_seen[index], true) {
            continue;
        }
        stack.push((index, true));
        let mut called = Vec::new();
        functions[index].lets.iter().for_each(|value| collect(value, &mut called));
        collect(&functions[index].result, &mut called);
        let called = called.into_iter().filter(|other| is_seen.get(*other) == Some(&false));
        stack.extend(called.map(|other| (other, false)));
    }
    order
}

/// Checks the functions of a plan, and returns their signatures; none for a function with too many parameters.
pub(super) fn functions(functions: &[Function], faults: &mut Faults) -> Vec<Option<Signature>> {
    let mut signatures: Vec<Option<Signature>> = functions.iter().map(|_| None).collect();
    for index in called_first(functions) {
        let Function { name, parameters, lets, result } = &functions[index];
        let place = Place::new(format!("functions[{index}]"), format!("function {name}"));
        faults.name(&place, name);
        if *parameters > PARAMETERS_MAX {
            faults.add(&place, format!("it has {parameters} parameters, more than {PARAMETERS_MAX}"));
            continue;
        }
        let locals = vec![None; *parameters as usize];
        let mut scope = Scope { columns: Columns::None, locals, functions: &signatures };
        for (at, value) in lets.iter().enumerate() {
            scope.check(&place.part(format!("lets[{at}]")), value, faults);
            scope.locals.push(Some(value.data_type.clone()));
        }
        scope.check(&place.part("result"), result, faults);
        let mut locals = scope.locals;
        locals.truncate(*parameters as usize);
        signatures[index] = Some(Signature { parameters: locals, result: result.data_type.clone() });
    }
    signatures
}

impl Scope<'_> {
    /// Checks an expression that must be a `Bool`.
    pub(super) fn condition(&mut self, place: &Place, condition: &Expression, faults: &mut Faults) {
        if condition.data_type != DataType::Boolean {
            let found = crate::type_name(&condition.data_type);
            faults.add(place, format!("its condition is {found}, not Bool"));
        }
        self.check(place, condition, faults);
    }

    pub(super) fn check(&mut self, place: &Place, expression: &Expression, faults: &mut Faults) {
        data_type(place, &expression.data_type, faults);
        if let Err(fault) = self.names(expression).and_then(|()| operands(expression)) {
            faults.add(place, fault);
        }
        let parts = expression.operation.parts();
        parts.into_iter().for_each(|part| self.check(place, part, faults));
    }

    /// Checks that the column, local or function of the expression exists and has the expression's type.
    fn names(&mut self, expression: &Expression) -> Result<(), String> {
        let Expression { data_type, operation, .. } = expression;
        match operation {
            Operation::Column(name) => {
                let found = match self.columns {
                    Columns::Any => return Ok(()),
                    Columns::None => None,
                    Columns::Of(schema) => schema.field_with_name(name).ok().map(|field| field.data_type()),
                };
                match found {
                    None => Err(format!("there is no column {name} in the events here")),
                    Some(found) => same(&format!("the column {name}"), found, data_type),
                }
            }
            Operation::Local(number) => match self.locals.get_mut(*number as usize) {
                None => Err(format!("there is no local value {number} before this place")),
                Some(Some(found)) => same(&format!("the value {number}"), found, data_type),
                Some(unknown) => {
                    *unknown = Some(data_type.clone());
                    Ok(())
                }
            },
            Operation::Apply { function, arguments } => {
                let known = self.functions.get(*function as usize).and_then(Option::as_ref);
                let Some(Signature { parameters, result }) = known else {
                    return Err(format!("there is no function {function} that this place may call"));
                };
                if parameters.len() != arguments.len() {
                    let (wanted, given) = (parameters.len(), arguments.len());
                    return Err(format!("the function {function} takes {wanted} values, not {given}"));
                }
                for (wanted, argument) in parameters.iter().zip(arguments) {
                    if let Some(wanted) = wanted {
                        same("an argument of the function", &argument.data_type, wanted)?;
                    }
                }
                same("the function's result", result, data_type)
            }
            Operation::Call { function, .. } if function.is_empty() => {
                Err("a function without a name is called".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn same(what: &str, found: &DataType, wanted: &DataType) -> Result<(), String> {
    match is_same(found, wanted) {
        true => Ok(()),
        false => {
            let (found, wanted) = (crate::type_name(found), crate::type_name(wanted));
            Err(format!("{what} is {found}, not {wanted}"))
        }
    }
}

/// Whether both are integers or decimal numbers, which are compared whatever their digits.
fn are_exact_numbers(types: [&DataType; 2]) -> bool {
    types.iter().all(|found| matches!(found, DataType::Int64 | DataType::Decimal128(..)))
}

/// Checks the types of the operands and of the result of an operation.
fn operands(expression: &Expression) -> Result<(), String> {
    let result = &expression.data_type;
    let boolean = |what: &str| same(what, result, &DataType::Boolean);
    let is_text =
        |operand: &Expression| matches!(operand.data_type, DataType::Utf8View | DataType::BinaryView);
    match &expression.operation {
        Operation::Literal(value) => match fits(value, result, expression.nullable) {
            true => Ok(()),
            false => Err(format!("the constant {value:?} is no {}", crate::type_name(result))),
        },
        Operation::Not(operand) => {
            boolean("not")?;
            same("the negated value", &operand.data_type, &DataType::Boolean)
        }
        Operation::And(left, right) | Operation::Or(left, right) => {
            boolean("and, or")?;
            [left, right]
                .iter()
                .try_for_each(|side| same("a side of and, or", &side.data_type, &DataType::Boolean))
        }
        Operation::Compare(_, left, right) => {
            boolean("a comparison")?;
            match are_exact_numbers([&left.data_type, &right.data_type]) {
                true => Ok(()),
                false => same("the compared value", &right.data_type, &left.data_type),
            }
        }
        Operation::IsNull(_) => boolean("is null"),
        Operation::IsEmpty(operand) => {
            boolean("is empty")?;
            let has_items =
                is_text(operand) || matches!(operand.data_type, DataType::List(_) | DataType::Map(..));
            has_items.then_some(()).ok_or_else(|| "only texts, bytes, lists and maps can be empty".to_owned())
        }
        Operation::Negate(operand) => same("the negated value", &operand.data_type, result),
        Operation::Coalesce(left, right) | Operation::Otherwise(left, right) => {
            [left, right].iter().try_for_each(|side| same("one of two values", &side.data_type, result))
        }
        Operation::OneOf(operand, values) => {
            boolean("is one of")?;
            constants(values.iter(), operand)
        }
        Operation::Between(operand, least, most) => {
            boolean("is between")?;
            [least, most].iter().try_for_each(|bound| same("a bound", &bound.data_type, &operand.data_type))
        }
        Operation::Contains(list, item) => {
            boolean("contains")?;
            match &list.data_type {
                DataType::List(items) => same("the searched item", &item.data_type, items.data_type()),
                DataType::Map(..) => same("the searched name", &item.data_type, &DataType::Utf8View),
                other => Err(format!("{} has no items", crate::type_name(other))),
            }
        }
        Operation::Matches(operand, _) => {
            boolean("matches")?;
            is_text(operand)
                .then_some(())
                .ok_or_else(|| "only text can match a regular expression".to_owned())
        }
        operation => choices(operation, result),
    }
}

/// Checks the types of operations that choose among values or access parts of them.
fn choices(operation: &Operation, result: &DataType) -> Result<(), String> {
    let value = |value: &Expression| same("a value", &value.data_type, result);
    match operation {
        Operation::If { cases, otherwise } => {
            for (condition, then) in cases {
                same("a condition", &condition.data_type, &DataType::Boolean)?;
                value(then)?;
            }
            value(otherwise)
        }
        Operation::Match { subject, arms, otherwise } => {
            for MatchArm { patterns, value: then } in arms {
                for pattern in patterns {
                    match pattern {
                        Pattern::Value(pattern) => constants([pattern].into_iter(), subject)?,
                        Pattern::Range(from, to) => constants([from, to].into_iter(), subject)?,
                        Pattern::OneOf(patterns) => constants(patterns.iter(), subject)?,
                    }
                }
                value(then)?;
            }
            otherwise.iter().try_for_each(|otherwise| value(otherwise))
        }
        Operation::Table(of) => table(of, result),
        Operation::Filled(parts) => filled(parts, result),
        Operation::List(items) => match result {
            DataType::List(item) => {
                items.iter().try_for_each(|found| same("an item", &found.data_type, item.data_type()))
            }
            other => Err(format!("a list is no {}", crate::type_name(other))),
        },
        Operation::Field(record, name) => match &record.data_type {
            DataType::Struct(fields) => match fields.iter().find(|field| field.name() == name) {
                Some(field) => same(&format!("the field {name}"), field.data_type(), result),
                None => Err(format!("there is no field {name} in the record")),
            },
            other => Err(format!("{} has no fields", crate::type_name(other))),
        },
        Operation::Index(from, at) => match (&from.data_type, &at.data_type) {
            (DataType::List(item), DataType::Int64) => same("an item", item.data_type(), result),
            (DataType::Map(..) | DataType::Utf8View, DataType::Utf8View) => Ok(()),
            (DataType::Utf8View, DataType::Int64) => Ok(()),
            (from, at) => {
                let (from, at) = (crate::type_name(from), crate::type_name(at));
                Err(format!("{from} has no items by {at}"))
            }
        },
        _ => Ok(()),
    }
}

/// Checks that a table is a map to records with its fields, and that its key is one of them.
fn table(table: &Table, result: &DataType) -> Result<(), String> {
    let rows = match result {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => fields[1].data_type(),
            other => other,
        },
        other => other,
    };
    let DataType::Struct(fields) = rows else {
        return Err(format!("a lookup table is no {}", crate::type_name(result)));
    };
    let names = table.fields.iter().map(|field| field.name.as_str());
    if fields.iter().map(|field| field.name().as_str()).ne(names) {
        return Err("the fields of a lookup table are not those of its rows".to_owned());
    }
    match fields.iter().find(|field| *field.name() == table.key) {
        Some(key) => same("the key of a lookup table", key.data_type(), &DataType::Utf8View),
        None => Err(format!("a lookup table has no field {}, its key", table.key)),
    }
}

/// Checks that the values of a text with holes have a form as text.
fn filled(parts: &[FilledPart], result: &DataType) -> Result<(), String> {
    if !matches!(result, DataType::Utf8View | DataType::BinaryView) {
        return Err(format!("a text with holes is no {}", crate::type_name(result)));
    }
    for part in parts {
        let FilledPart::Value { value, format } = part else { continue };
        let fits = match format {
            HoleFormat::Plain => !matches!(
                value.data_type,
                DataType::List(_) | DataType::Map(..) | DataType::Struct(_) | DataType::BinaryView
            ),
            HoleFormat::Time(_) => matches!(value.data_type, DataType::Timestamp(..)),
            HoleFormat::Padded(_) => value.data_type == DataType::Int64,
        };
        if !fits {
            return Err(format!("a hole can't be filled by {}", crate::type_name(&value.data_type)));
        }
    }
    Ok(())
}

/// Checks that constants have the type of the operand with which they are compared. Null is allowed.
fn constants<'a>(
    mut values: impl Iterator<Item = &'a crate::Value>,
    operand: &Expression,
) -> Result<(), String> {
    match values.find(|value| !fits(value, &operand.data_type, true)) {
        None => Ok(()),
        Some(value) => Err(format!("the constant {value:?} is no {}", crate::type_name(&operand.data_type))),
    }
}
