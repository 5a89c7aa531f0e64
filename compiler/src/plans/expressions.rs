//! Checks the expressions of plans: calls match the signatures of the library's functions, arithmetic matches its
//! operands, and failures are handled.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::DataType;
use weir_plan::{Action, Expression, FieldFormat, Function, Operation, Step, Value};

use super::{Held, Place, Ranges};
use crate::signatures::{FunctionSignature, ParameterSignature};
use crate::types::columns::arrow;
use crate::types::ranges::IntRange;
use crate::types::{Bound, Type};
use crate::values::numbers::{are_exact, decimal_type};
use crate::values::operators::{Arithmetics, arithmetics, is_zero};

/// The properties of an expression's value: whether its computation can fail, and its range.
#[derive(Debug)]
struct Known {
    /// The reason why the computation can fail; `None` if it cannot.
    fails: Option<String>,
    /// The range of an integer.
    range: IntRange,
}

impl Known {
    const SURE: Known = Known { fails: None, range: IntRange::ALL };
}

/// The types that a call binds to the type variables of a signature.
type Variables = HashMap<Arc<str>, DataType>;

impl Held<'_> {
    /// Checks a function of the program, which must not fail.
    pub(super) fn function(&mut self, index: usize, Function { name, parameters, lets, result }: &Function) {
        let place = Place::new(format!("function {name}"), format!("functions[{index}]"));
        self.ranges = Ranges::default();
        for (local, value) in (*parameters..).zip(lets) {
            let range = self.sure(&place, value);
            self.ranges.locals.insert(local, range);
        }
        self.sure(&place, result);
    }

    /// Checks the expressions of a step.
    pub(super) fn step(&mut self, place: &Place, step: &Step) {
        let Known { fails, range } = match &step.action {
            Action::Keep(value)
            | Action::Drop(value)
            | Action::Reject { condition: value, .. }
            | Action::Let { value, .. }
            | Action::Set { value, .. }
            | Action::Dedupe { by: value, .. } => self.expression(place, value),
            Action::Check { rules, .. } => {
                for rule in rules {
                    self.sure(place, &rule.condition);
                }
                Known::SURE
            }
            Action::Parse { .. } => {
                Known { fails: Some("a body may not be what it reads".to_owned()), ..Known::SURE }
            }
            Action::Unset(_)
            | Action::Rename { .. }
            | Action::Select(_)
            | Action::Explode(_)
            | Action::Flatten { .. }
            | Action::Throttle(_)
            | Action::Sample(_) => Known::SURE,
        };
        self.ranges_after(&step.action, range);
        if let (Some(reason), None) = (fails, step.on_failure) {
            self.add(place, format!("it can fail ({reason}), and `on_failure` says nothing of it"));
        }
    }

    /// Keeps the ranges of the columns and locals after a step; `range` is that of the step's value.
    fn ranges_after(&mut self, action: &Action, range: IntRange) {
        let columns = &mut self.ranges.columns;
        match action {
            Action::Set { column, .. } => drop(columns.insert(column.clone(), range)),
            Action::Let { local, .. } => drop(self.ranges.locals.insert(*local, range)),
            Action::Unset(column) | Action::Explode(column) => drop(columns.remove(column)),
            Action::Flatten { column, .. } => drop(columns.remove(column)),
            Action::Rename { from, to } => {
                let range = columns.remove(from).unwrap_or(IntRange::ALL);
                columns.insert(to.clone(), range);
            }
            Action::Parse { fields, .. } => {
                for field in fields {
                    let range = match field.format {
                        FieldFormat::Within(least, most) => IntRange { least, most },
                        _ => IntRange::ALL,
                    };
                    columns.insert(field.name.clone(), range);
                }
            }
            _ => {}
        }
    }

    /// Checks an expression that must not fail, and returns its range.
    pub(super) fn sure(&mut self, place: &Place, expression: &Expression) -> IntRange {
        let Known { fails, range } = self.expression(place, expression);
        if let Some(reason) = fails {
            self.add(place, format!("it can fail ({reason}), and nothing handles that here"));
        }
        range
    }

    /// Adds the faults of an expression. Returns why it can fail, and its range.
    fn expression(&mut self, place: &Place, expression: &Expression) -> Known {
        let Expression { data_type, operation, .. } = expression;
        if let Operation::Otherwise(value, instead) = operation {
            let value = self.expression(place, value);
            let instead = self.expression(place, instead);
            return Known { range: value.range.or(instead.range), ..instead };
        }
        let parts: Vec<Known> =
            operation.parts().into_iter().map(|part| self.expression(place, part)).collect();
        let (range, overflows) = self.range(expression, &parts);
        let of_itself = match operation {
            Operation::Arithmetic(operator, left, right) => {
                match value_type(&left.data_type).zip(value_type(&right.data_type)) {
                    Some((one, other)) => match arithmetics(*operator, &one, &other) {
                        Some(Arithmetics { result, fails, only_at_zero }) => {
                            self.result(place, operator.symbol(), &arrow(&result), data_type);
                            let is_int = *data_type == DataType::Int64;
                            let divisor = parts.get(1).map_or(IntRange::ALL, |part| part.range);
                            let is_safe = match only_at_zero {
                                true => {
                                    is_constant_beside_zero(right)
                                        || right.data_type == DataType::Int64 && !divisor.contains(0)
                                }
                                false => is_int && !overflows,
                            };
                            fails.filter(|_| !is_safe).map(str::to_owned)
                        }
                        None => {
                            let symbol = operator.symbol();
                            self.add(place, format!("`{symbol}` does not take {one} and {other}"));
                            None
                        }
                    },
                    None => None,
                }
            }
            Operation::Negate(operand) if operand.data_type == DataType::Int64 && overflows => {
                Some("the least Int has no negative".to_owned())
            }
            Operation::Call { function, arguments, varies } => {
                self.call(place, function, arguments, *varies, expression)
            }
            _ => None,
        };
        let fails = parts.into_iter().find_map(|part| part.fails).or(of_itself);
        Known { fails, range }
    }

    /// Returns the range of an expression from those of its parts, and whether a result may be no integer.
    fn range(&self, expression: &Expression, parts: &[Known]) -> (IntRange, bool) {
        let of_part = |index: usize| parts.get(index).map_or(IntRange::ALL, |part| part.range);
        let expressions = expression.operation.parts();
        let of_parts = |indices: &mut dyn Iterator<Item = usize>| {
            let values = indices.filter(|index| expressions.get(*index).is_some_and(|part| !is_null(part)));
            values.map(of_part).reduce(IntRange::or).unwrap_or(IntRange::ALL)
        };
        if expression.data_type != DataType::Int64 {
            return (IntRange::ALL, true);
        }
        let range = match &expression.operation {
            Operation::Literal(value) => IntRange::of(value),
            Operation::Column(name) => *self.ranges.columns.get(name).unwrap_or(&IntRange::ALL),
            Operation::Local(number) => *self.ranges.locals.get(number).unwrap_or(&IntRange::ALL),
            Operation::Arithmetic(operator, ..) => return of_part(0).computed(*operator, of_part(1)),
            Operation::Negate(_) => return (of_part(0).negated(), !of_part(0).has_negatives()),
            Operation::Coalesce(..) => of_parts(&mut (0..2)),
            // Conditions and values alternate, and the last value follows.
            Operation::If { cases, .. } => {
                of_parts(&mut (0..cases.len()).map(|case| 2 * case + 1).chain([parts.len() - 1]))
            }
            Operation::Match { .. } => of_parts(&mut (1..parts.len())),
            Operation::Call { function, .. } => {
                let signature = self.library.functions.get(function.as_str());
                signature.and_then(|signature| signature.range).unwrap_or(IntRange::ALL)
            }
            _ => IntRange::ALL,
        };
        (range, false)
    }

    fn result(&mut self, place: &Place, what: &str, wanted: &DataType, found: &DataType) {
        if !wanted.equals_datatype(found) {
            let (wanted, found) = (weir_plan::type_name(wanted), weir_plan::type_name(found));
            self.add(place, format!("the result of `{what}` is {wanted}, not {found}"));
        }
    }

    /// Checks a call of a library function. Returns the reason why the function can fail; `None` if it cannot.
    fn call(
        &mut self,
        place: &Place,
        name: &str,
        arguments: &[Expression],
        varies: bool,
        called: &Expression,
    ) -> Option<String> {
        let library = self.library;
        let Some(signature) = library.functions.get(name) else {
            self.add(place, format!("there is no function `{name}`"));
            return None;
        };
        let FunctionSignature { parameters, result, .. } = &**signature;
        if parameters.len() != arguments.len() {
            let (usage, found) = (signature.usage(), arguments.len());
            let wanted = parameters.len();
            self.add(place, format!("`{name}` has {found} arguments, and takes {wanted}: {usage}"));
            return signature.fails.clone();
        }
        let mut variables = Variables::new();
        for (index, (parameter, argument)) in parameters.iter().zip(arguments).enumerate() {
            // A function that masks gives null for null.
            let takes_null = parameter.optional || (signature.masks && index == 0);
            self.argument(place, signature, (parameter, takes_null), argument, &mut variables);
        }
        match result {
            Type::Variable(variable, _) => {
                if let Some(wanted) = variables.get(variable) {
                    self.result(place, name, wanted, &called.data_type);
                }
            }
            result if has_variable(result) => {}
            result => self.result(place, name, &arrow(result), &called.data_type),
        }
        let gives_null = signature.optional || (signature.masks && arguments.first().is_some_and(is_null));
        if gives_null && !called.nullable {
            self.add(place, format!("the result of `{name}` may be null, and the plan says that it is not"));
        }
        if signature.varies != varies {
            let is = if signature.varies { "varies" } else { "does not vary" };
            self.add(place, format!("`{name}` {is} between calls with the same arguments"));
        }
        signature.fails.clone()
    }

    fn argument(
        &mut self,
        place: &Place,
        signature: &FunctionSignature,
        (parameter, takes_null): (&ParameterSignature, bool),
        argument: &Expression,
        variables: &mut Variables,
    ) {
        let name = format!("{}: {}", signature.name, parameter.name);
        if is_null(argument) {
            if !takes_null {
                self.add(place, format!("`{name}` is null: {}", signature.usage()));
            }
            return;
        }
        if let [only] = &parameter.types[..]
            && only.is_setting_only()
        {
            match &argument.operation {
                Operation::Literal(value) => self.value(&place.named(&name), only, value),
                _ => self.add(place, format!("`{name}` has to be a constant")),
            }
            return;
        }
        let fits = parameter.types.iter().any(|wanted| is_of(&argument.data_type, wanted, variables));
        if !fits {
            let found = weir_plan::type_name(&argument.data_type);
            self.add(place, format!("`{name}` is {found}: {}", signature.usage()));
        }
    }
}

fn is_null(expression: &Expression) -> bool {
    matches!(expression.operation, Operation::Literal(Value::Null))
}

/// Returns whether an Arrow type matches the wanted type, and binds the type variables of the wanted type.
fn is_of(found: &DataType, wanted: &Type, variables: &mut Variables) -> bool {
    match (wanted, found) {
        (Type::Variable(name, bound), found) => match variables.get(name) {
            Some(known) if known.equals_datatype(found) => true,
            Some(known) => {
                let both = value_type(known).zip(value_type(found));
                let both = both.filter(|(known, found)| are_exact(known, found));
                let both =
                    both.and_then(|(known, found)| decimal_type(&known)?.of_both(decimal_type(&found)?));
                both.map(|both| variables.insert(name.clone(), arrow(&both.into()))).is_some()
            }
            None => {
                // Json is Text in a plan, so that every type may be a plain one.
                let is_allowed = matches!(bound, Bound::Any | Bound::Plain)
                    || value_type(found).is_some_and(|it| bound.allows(&it));
                if is_allowed {
                    variables.insert(name.clone(), found.clone());
                }
                is_allowed
            }
        },
        (Type::List(wanted), DataType::List(items)) => is_of(items.data_type(), wanted, variables),
        (Type::Map(wanted), DataType::Map(entries, _)) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => is_of(fields[1].data_type(), wanted, variables),
            _ => false,
        },
        (wanted, found) => arrow(wanted).equals_datatype(found),
    }
}

fn has_variable(value_type: &Type) -> bool {
    match value_type {
        Type::Variable(..) => true,
        Type::List(item) | Type::Map(item) => has_variable(item),
        _ => false,
    }
}

/// Returns the scalar type that corresponds to an Arrow type.
fn value_type(data_type: &DataType) -> Option<Type> {
    Some(match data_type {
        DataType::Boolean => Type::Bool,
        DataType::Int64 => Type::Int,
        DataType::Float64 => Type::Float,
        DataType::UInt64 => Type::Size,
        DataType::Utf8View => Type::Text,
        DataType::BinaryView => Type::Bytes,
        DataType::Timestamp(..) => Type::Time,
        DataType::Duration(_) => Type::Duration,
        DataType::Decimal128(digits, scale) => Type::Decimal(*digits, u8::try_from(*scale).ok()?),
        _ => return None,
    })
}

fn is_constant_beside_zero(expression: &Expression) -> bool {
    matches!(&expression.operation, Operation::Literal(value) if !is_zero(value))
}
