//! Types calls of functions.

use std::collections::HashMap;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Argument, Call, Expression};
use weir_plan::{Expression as Planned, Operation, Value};

use super::{Merged, Typed, Typer, constant};
use crate::checker::Checker;
use crate::diagnostics::{OutOfRange, UnknownName, WrongArguments, WrongType, with_article};
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::signatures::{FunctionSignature, ParameterSignature};
use crate::spelling::nearest;
use crate::types::{Bound, Type};
use crate::values::regexes;

impl Typer<'_, '_> {
    pub(super) fn call(&mut self, call: &Call, span: Span, expected: Option<&Type>) -> Option<Typed> {
        let named = self.checker.scopes.path(&call.function);
        let signature = match named.map(|named| (named.meaning, named.declared)) {
            Some((Meaning::Function, declared)) => {
                self.checker.uses(Mention::of_path(&call.function), declared);
                self.checker.functions.get(&declared).cloned()
            }
            Some((Meaning::Broken, _)) => None,
            _ if call.function.qualifier.is_some() => return self.unknown(call),
            _ => {
                let name = &*call.function.name.text;
                match (name, call.arguments.as_slice()) {
                    ("env", _) => {
                        let constant = self.checker.environment(call, span)?;
                        return Some(super::constant(constant.value, Type::Text, span));
                    }
                    ("header", [argument]) if argument.name.is_none() => {
                        return self.header(&argument.value, span);
                    }
                    _ => {}
                }
                match self.checker.library.functions.get(name) {
                    Some(signature) => {
                        self.checker.uses(Mention::of_path(&call.function), signature.declared);
                        Some(signature.clone())
                    }
                    None => return self.unknown(call),
                }
            }
        };
        match signature {
            Some(signature) => self.apply(&signature, &call.arguments, span, expected),
            None => {
                // The function's declaration has errors; the arguments may have errors of their own.
                for argument in &call.arguments {
                    self.typed(&argument.value, None);
                }
                None
            }
        }
    }

    fn unknown(&mut self, call: &Call) -> Option<Typed> {
        let span = call.function.span();
        let name = self.checker.files.text(span).to_owned();
        let own = self.checker.scopes.names(span.file, |meaning| matches!(meaning, Meaning::Function));
        let library = self.checker.library;
        let known = own.chain(library.functions.keys().map(AsRef::as_ref)).chain(["env", "header"]);
        let near = nearest(&name, known).map(str::to_owned);
        self.report(UnknownName { name, wanted: "function", near, quote: false, span });
        for argument in &call.arguments {
            self.typed(&argument.value, None);
        }
        None
    }

    fn apply(
        &mut self,
        signature: &FunctionSignature,
        arguments: &[Argument],
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        let matched = match matched(&signature.parameters, arguments) {
            Ok(matched) => matched,
            Err(reason) => {
                let (name, usage) = (signature.name.to_string(), signature.usage());
                let declared = Some(signature.declared);
                self.report(WrongArguments { name, reason, span, usage, declared });
                return None;
            }
        };
        self.checker.uses_parameters(&signature.parameters, arguments);
        let mut variables: HashMap<Arc<str>, Type> = HashMap::new();
        let mut merged = Merged::default();
        let mut planned = Vec::with_capacity(matched.len());
        let mut whole = true;
        let mut optional = signature.optional;
        for (index, (parameter, given)) in signature.parameters.iter().zip(&matched).enumerate() {
            // A function that masks gives null for null.
            let takes_null = parameter.optional || (signature.masks && index == 0);
            let argument = match given {
                Some(given) => self.argument(parameter, given, &mut variables, expected, takes_null),
                None => {
                    Some(constant(Value::Null, parameter.types.first().cloned().unwrap_or(Type::Text), span))
                }
            };
            match argument {
                Some(argument) => {
                    merged.add(&argument);
                    optional |= argument.optional && !parameter.optional;
                    planned.push(argument.planned);
                }
                None => whole = false,
            }
        }
        if !whole {
            return None;
        }
        self.group_exists(signature, &matched, &planned)?;
        if signature.masks {
            merged.sensitive = false;
        }
        if let Some(reason) = &signature.fails {
            merged.fails.get_or_insert_with(|| super::Fails { reason: reason.clone(), span });
        }
        if signature.varies {
            merged.varies.get_or_insert_with(|| (signature.name.to_string(), span));
        }
        let result = substituted(&signature.result, &variables);
        let operation = match signature.index {
            Some(function) => Operation::Apply { function, arguments: planned },
            None => {
                let (function, varies) = (signature.name.to_string(), signature.varies);
                Operation::Call { function, arguments: planned, varies }
            }
        };
        Some(merged.typed(operation, result, optional, span))
    }

    /// Checks that the pattern of a call has the group that another argument numbers.
    fn group_exists(
        &mut self,
        signature: &FunctionSignature,
        given: &[Option<&Expression>],
        planned: &[Planned],
    ) -> Option<()> {
        let of_type = |wanted: &Type| {
            let index =
                signature.parameters.iter().position(|parameter| parameter.types.first() == Some(wanted))?;
            match &planned.get(index)?.operation {
                Operation::Literal(value) => Some((given.get(index).copied().flatten()?, value)),
                _ => None,
            }
        };
        let (Some((pattern, Value::Text(text))), Some((number, Value::Int(group)))) =
            (of_type(&Type::Regex), of_type(&Type::Group))
        else {
            return Some(());
        };
        let count = regexes::group_count(text);
        if usize::try_from(*group).is_ok_and(|group| group <= count) {
            return Some(());
        }
        // A default is at a place of the library.
        let is_default = self.checker.library.files.get(number.span.file).is_some();
        let span = if is_default { pattern.span } else { number.span };
        let range = match count {
            0 => "0, since the pattern has no group".to_owned(),
            1 => "0 or 1, since the pattern has 1 group".to_owned(),
            count => format!("from 0 to {count}, since the pattern has {count} groups"),
        };
        let (name, value, declared) = ("group".to_owned(), group.to_string(), pattern.span);
        self.report(OutOfRange { name, value, range, span, declared });
        None
    }

    fn argument(
        &mut self,
        parameter: &ParameterSignature,
        given: &Expression,
        variables: &mut HashMap<Arc<str>, Type>,
        expected: Option<&Type>,
        takes_null: bool,
    ) -> Option<Typed> {
        let first = parameter.types.first()?;
        if first.is_setting_only() {
            let value = self.setting(given, first, parameter.optional)?;
            return Some(constant(value, first.clone(), given.span));
        }
        let hint = match first {
            Type::Variable(name, _) => variables.get(name).or(expected).cloned(),
            // A literal takes the parameter's first type, unless the literal determines its type itself.
            other => Some(other.clone()),
        };
        let hint =
            hint.filter(|hint| !matches!(hint, Type::List(item) if matches!(**item, Type::Variable(..))));
        let number = matches!(given.kind, weir_grammar::tree::ExpressionKind::Number(_));
        let hint = hint.filter(|_| !number || parameter.types.len() == 1);
        let typed = self.typed(given, hint.as_ref())?;
        let fits = parameter.types.iter().any(|wanted| unified(wanted, &typed.value_type, variables));
        if !fits {
            let found = with_article(&typed.value_type.to_string());
            let expected: Vec<String> =
                parameter.types.iter().map(|wanted| in_words(&substituted(wanted, variables))).collect();
            let expected = expected.join(" or ");
            let (span, declared) = (typed.span, self.declared(&typed));
            self.report(WrongType::new(expected, found, span).declared(declared));
            return None;
        }
        if takes_null { Some(typed) } else { self.present(typed) }
    }
}

impl Checker<'_> {
    /// Records the uses of the parameters that the arguments name.
    pub(crate) fn uses_parameters(&mut self, parameters: &[ParameterSignature], arguments: &[Argument]) {
        for name in arguments.iter().filter_map(|argument| argument.name.as_ref()) {
            let parameter = parameters.iter().find(|parameter| *parameter.name == *name.text);
            parameter.iter().for_each(|parameter| self.notes.uses.note(name.span, parameter.declared));
        }
    }
}

fn in_words(wanted: &Type) -> String {
    match wanted {
        Type::Variable(_, Bound::Any) => "value".to_owned(),
        Type::Variable(_, Bound::Ordered) => "value that has an order".to_owned(),
        Type::Variable(_, Bound::Number) => "number".to_owned(),
        other => other.to_string(),
    }
}

/// Returns whether a type matches the wanted type, and binds the type variables of the wanted type.
fn unified(wanted: &Type, found: &Type, variables: &mut HashMap<Arc<str>, Type>) -> bool {
    match (wanted, found) {
        (Type::Variable(name, bound), found) => match variables.get(name) {
            Some(known) => known == found,
            None if bound.allows(found) => {
                variables.insert(name.clone(), found.clone());
                true
            }
            None => false,
        },
        (Type::List(wanted), Type::List(found)) | (Type::Map(wanted), Type::Map(found)) => {
            unified(wanted, found, variables)
        }
        (wanted, found) => wanted == found,
    }
}

fn substituted(result: &Type, variables: &HashMap<Arc<str>, Type>) -> Type {
    match result {
        Type::Variable(name, _) => variables.get(name).cloned().unwrap_or_else(|| result.clone()),
        Type::List(item) => Type::List(Box::new(substituted(item, variables))),
        Type::Map(item) => Type::Map(Box::new(substituted(item, variables))),
        other => other.clone(),
    }
}

/// Returns the value of each parameter: an argument, a default, or `None` for an omitted optional parameter.
pub(crate) fn matched<'e>(
    parameters: &'e [ParameterSignature],
    arguments: &'e [Argument],
) -> Result<Vec<Option<&'e Expression>>, String> {
    let mut values: Vec<Option<&Expression>> = vec![None; parameters.len()];
    let mut next = 0;
    for argument in arguments {
        let place = match &argument.name {
            Some(name) => match parameters.iter().position(|parameter| *parameter.name == *name.text) {
                Some(place) => place,
                None => return Err(format!("has no parameter `{}`", name.text)),
            },
            None => {
                next += 1;
                next - 1
            }
        };
        match values.get_mut(place) {
            Some(value @ None) => *value = Some(&argument.value),
            Some(Some(_)) => return Err(format!("is given `{}` twice", parameters[place].name)),
            None => return Err(format!("takes {}, not {}", counted(parameters.len()), arguments.len())),
        }
    }
    for (value, parameter) in values.iter_mut().zip(parameters) {
        if value.is_none() {
            *value = parameter.default.as_ref();
        }
        if value.is_none() && !parameter.optional {
            return Err(format!("is not given `{}`", parameter.name));
        }
    }
    Ok(values)
}

fn counted(count: usize) -> String {
    match count {
        0 => "no argument".to_owned(),
        1 => "1 argument".to_owned(),
        count => format!("{count} arguments"),
    }
}
