//! Checks the expressions of plans: calls match the signatures of the library's functions, arithmetic matches its
//! operands, and failures are handled.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::DataType;
use weir_plan::{Action, Expression, Function, Operation, Step, Value};

use super::{Held, Place};
use crate::signatures::{FunctionSignature, ParameterSignature};
use crate::types::columns::arrow;
use crate::types::{Bound, Type};
use crate::values::operators::{Arithmetics, arithmetics, is_zero};

/// The types that a call binds to the type variables of a signature.
type Variables = HashMap<Arc<str>, DataType>;

impl Held<'_> {
    /// Checks a function of the program, which must not fail.
    pub(super) fn function(&mut self, index: usize, Function { name, lets, result, .. }: &Function) {
        let place = Place::new(format!("function {name}"), format!("functions[{index}]"));
        for value in lets.iter().chain([result]) {
            self.sure(&place, value);
        }
    }

    /// Checks the expressions of a step.
    pub(super) fn step(&mut self, place: &Place, step: &Step) {
        let fails = match &step.action {
            Action::Keep(value)
            | Action::Drop(value)
            | Action::Reject { condition: value, .. }
            | Action::Let { value, .. }
            | Action::Set { value, .. }
            | Action::Dedupe { by: value, .. } => self.expression(place, value),
            Action::Check { rules, .. } => {
                rules.iter().for_each(|rule| self.sure(place, &rule.condition));
                None
            }
            Action::Parse { .. } => Some("a body may not be what it reads".to_owned()),
            Action::Unset(_)
            | Action::Rename { .. }
            | Action::Select(_)
            | Action::Throttle(_)
            | Action::Sample(_) => None,
        };
        if let (Some(reason), None) = (fails, step.on_failure) {
            self.add(place, format!("it can fail ({reason}), and `on_failure` says nothing of it"));
        }
    }

    /// Checks an expression that must not fail.
    pub(super) fn sure(&mut self, place: &Place, expression: &Expression) {
        if let Some(reason) = self.expression(place, expression) {
            self.add(place, format!("it can fail ({reason}), and nothing handles that here"));
        }
    }

    /// Adds the faults of an expression. Returns the reason why the expression can fail; `None` if it cannot.
    fn expression(&mut self, place: &Place, expression: &Expression) -> Option<String> {
        let Expression { data_type, operation, .. } = expression;
        if let Operation::Otherwise(value, instead) = operation {
            self.expression(place, value);
            return self.expression(place, instead);
        }
        let parts: Vec<Option<String>> =
            operation.parts().into_iter().map(|part| self.expression(place, part)).collect();
        let of_itself = match operation {
            Operation::Arithmetic(operator, left, right) => {
                match value_type(&left.data_type).zip(value_type(&right.data_type)) {
                    Some((one, other)) => match arithmetics(*operator, &one, &other) {
                        Some(Arithmetics { result, fails, only_at_zero }) => {
                            self.result(place, operator.symbol(), &arrow(&result), data_type);
                            let is_safe = only_at_zero && is_constant_beside_zero(right);
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
            Operation::Negate(operand) if operand.data_type == DataType::Int64 => {
                Some("the least Int has no negative".to_owned())
            }
            Operation::Call { function, arguments, varies } => {
                self.call(place, function, arguments, *varies, expression)
            }
            _ => None,
        };
        parts.into_iter().flatten().next().or(of_itself)
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
        let gives_null = signature.optional
            || (signature.masks && arguments.first().is_some_and(|argument| is_null(argument)));
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
            Some(known) => known.equals_datatype(found),
            None => {
                let is_allowed =
                    *bound == Bound::Any || value_type(found).is_some_and(|it| bound.allows(&it));
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
