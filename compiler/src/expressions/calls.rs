//! Types calls of functions.

use std::collections::HashMap;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Argument, Call, Expression};
use weir_plan::{DECIMAL_DIGITS_MAX, Expression as Planned, Operation, Value};

use super::{Merged, Typed, Typer, constant};
use crate::checker::Checker;
use crate::diagnostics::{
    ForeignForm, MalformedText, OutOfRange, UnknownName, WrongArguments, WrongType, with_article,
};
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::signatures::{FunctionSignature, ParameterSignature, ResultSizes};
use crate::types::ranges::IntRange;
use crate::types::{Bound, Type};
use crate::values::numbers::{are_exact, decimal_type, is_number};
use crate::values::regexes;

/// The parameter for the replacement of the functions that replace the matches of a pattern.
const REPLACEMENT: &str = "with";

impl Typer<'_, '_> {
    pub(super) fn call(&mut self, call: &Call, span: Span, expected: Option<&Type>) -> Option<Typed> {
        let named = self.checker.scopes.path(&call.function);
        let signature = match named.map(|named| (named.meaning, named.declared)) {
            Some((Meaning::Function, declared)) => {
                self.checker.uses(Mention::of_path(&call.function), declared);
                self.checker.functions.get(&declared).cloned()
            }
            Some((Meaning::Broken, _)) => None,
            _ if self.is_method(call) => return self.method(call),
            _ if call.function.qualifier.is_some() => return self.unknown(call),
            _ => {
                let name = &*call.function.name.text;
                match (name, call.arguments.as_slice()) {
                    ("env", _) => {
                        let constant = self.checker.environment(call, span)?;
                        return Some(super::constant(constant.value, Type::Text, span));
                    }
                    (super::tables::LOOKUP, _) => return self.lookup(call, span),
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

    /// Returns whether a call is that of a method, `x.lower()`, on a value and not on an imported file.
    fn is_method(&self, call: &Call) -> bool {
        let Some(qualifier) = &call.function.qualifier else { return false };
        let named = self.checker.scopes.get(qualifier.span.file, &qualifier.text);
        !matches!(named.map(|named| named.meaning), Some(Meaning::File(_)))
    }

    fn method(&mut self, call: &Call) -> Option<Typed> {
        let qualifier = call.function.qualifier.as_ref()?;
        let name = &call.function.name;
        let known = self.checker.library.functions.keys().map(AsRef::as_ref);
        let function = if self.checker.library.functions.contains_key(&*name.text) {
            Some(&*name.text)
        } else {
            self.checker.library.known_as(&name.text, known)
        };
        let Some(function) = function else { return self.unknown(call) };
        let text = self.checker.files.get(name.span.file).map(|file| &*file.text).unwrap_or_default();
        let opening = text.get(name.span.end as usize..).and_then(|rest| rest.find('('))?;
        let before = Span { end: qualifier.span.start, ..qualifier.span };
        let dot =
            Span { start: qualifier.span.end, end: name.span.end + opening as u32 + 1, ..qualifier.span };
        let separator = if call.arguments.is_empty() { "" } else { ", " };
        let edits = vec![(before, format!("{function}(")), (dot, separator.to_owned())];
        let message = format!("a value has no methods: `{function}` is a function");
        let title = format!("write `{function}({}…)`", qualifier.text);
        self.report(ForeignForm::new(name.span, message, title, edits));
        None
    }

    fn unknown(&mut self, call: &Call) -> Option<Typed> {
        let span = call.function.span();
        let name = self.checker.files.text(span).to_owned();
        let own = self.checker.scopes.names(span.file, |meaning| matches!(meaning, Meaning::Function));
        let library = self.checker.library;
        let known = own.chain(library.functions.keys().map(AsRef::as_ref)).chain([
            "env",
            "header",
            super::tables::LOOKUP,
        ]);
        let near = library.nearest(&name, known).map(str::to_owned);
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
        let arguments = self.arguments(signature, &matched, &mut variables, span, expected)?;
        if let Some(sizes) = &signature.sizes {
            let size = self.sized(signature, sizes, &arguments)?;
            variables.insert(signature.result.to_string().into(), size);
        }
        let mut merged = Merged::of(&arguments);
        let parameters = signature.parameters.iter();
        let optional = signature.optional
            || parameters
                .zip(&arguments)
                .any(|(parameter, argument)| argument.optional && !parameter.optional);
        let planned: Vec<Planned> = arguments.into_iter().map(|argument| argument.planned).collect();
        self.group_exists(signature, &matched, &planned)?;
        self.replacement_fits(signature, &matched, &planned)?;
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
        let range = signature.range.unwrap_or(IntRange::ALL);
        Some(Typed { range, ..merged.typed(operation, result, optional, span) })
    }

    /// Types the arguments of a call. Number literals come last, since they take the types of the other arguments.
    fn arguments(
        &mut self,
        signature: &FunctionSignature,
        given: &[Option<&Expression>],
        variables: &mut HashMap<Arc<str>, Type>,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Vec<Typed>> {
        let mut typed: Vec<Option<Typed>> = vec![None; given.len()];
        let is_literal = |typer: &Self, given: &Option<&Expression>| {
            given.is_some_and(|given| typer.is_number_literal(given))
        };
        for literals in [false, true] {
            for (index, (parameter, given)) in signature.parameters.iter().zip(given).enumerate() {
                if is_literal(self, given) != literals {
                    continue;
                }
                // A function that masks gives null for null.
                let takes_null = parameter.optional || (signature.masks && index == 0);
                typed[index] = match given {
                    Some(given) => self.argument(parameter, given, variables, expected, takes_null),
                    None => {
                        let value_type = parameter.types.first().cloned().unwrap_or(Type::Text);
                        Some(constant(Value::Null, value_type, span))
                    }
                };
            }
        }
        typed.into_iter().collect()
    }

    /// Returns the type of a result whose digits the arguments say.
    fn sized(
        &mut self,
        signature: &FunctionSignature,
        sizes: &ResultSizes,
        arguments: &[Typed],
    ) -> Option<Type> {
        match sizes {
            ResultSizes::Decimal { digits, scale } => {
                let digits = self.size(signature, *digits, arguments, 1, DECIMAL_DIGITS_MAX)?;
                let scale = self.size(signature, *scale, arguments, 0, digits)?;
                Some(Type::Decimal(digits, scale))
            }
            ResultSizes::Rounded { number, digits } => {
                let number_type = arguments.get(*number)?.value_type.clone();
                match (&number_type, decimal_type(&number_type)) {
                    (Type::Decimal(..), Some(decimal)) => {
                        let digits = self.size(signature, *digits, arguments, 0, DECIMAL_DIGITS_MAX)?;
                        Some(decimal.rounded(i64::from(digits)).into())
                    }
                    _ => Some(number_type),
                }
            }
        }
    }

    /// Returns an argument that is a number of digits, which has to be a constant.
    fn size(
        &mut self,
        signature: &FunctionSignature,
        index: usize,
        arguments: &[Typed],
        least: u8,
        most: u8,
    ) -> Option<u8> {
        let argument = arguments.get(index)?;
        let Operation::Literal(Value::Int(value)) = argument.planned.operation else {
            let found = "a number that is known only with each event".to_owned();
            self.report(WrongType::new("constant", found, argument.span));
            return None;
        };
        match u8::try_from(value) {
            Ok(size) if (least..=most).contains(&size) => Some(size),
            _ => {
                let (name, span) = (signature.parameters.get(index)?.name.to_string(), argument.span);
                let range = format!("a whole number from {least} to {most}");
                self.report(OutOfRange { name, value: value.to_string(), range, span, declared: span });
                None
            }
        }
    }

    /// Checks that the pattern of a call has the groups that its replacement names: an unknown one would be empty.
    fn replacement_fits(
        &mut self,
        signature: &FunctionSignature,
        given: &[Option<&Expression>],
        planned: &[Planned],
    ) -> Option<()> {
        let literal = |is: &dyn Fn(&ParameterSignature) -> bool| literal(signature, given, planned, is);
        let pattern = literal(&|parameter| parameter.types.first() == Some(&Type::Regex));
        let with = literal(&|parameter| &*parameter.name == REPLACEMENT);
        let (Some((_, Value::Regex(pattern))), Some((with, Value::Text(text)))) = (pattern, with) else {
            return Some(());
        };
        let Some(unknown) = regexes::unknown_reference(text, pattern) else { return Some(()) };
        let reason = format!("its pattern has no group `{unknown}`");
        let help = "`$1` and `${name}` stand for a group, and `$$` for a `$`; before a letter, a digit or `_`, the braces \
                    are needed: `${1}a`"
            .to_owned();
        let (expected, text, near) = ("replacement".to_owned(), text.clone(), None);
        let span = with.span;
        self.report(MalformedText { expected, text, reason, help, near, span });
        None
    }

    /// Checks that the pattern of a call has the group that another argument numbers.
    fn group_exists(
        &mut self,
        signature: &FunctionSignature,
        given: &[Option<&Expression>],
        planned: &[Planned],
    ) -> Option<()> {
        let of_type = |wanted: &Type| {
            literal(signature, given, planned, &|parameter| parameter.types.first() == Some(wanted))
        };
        let (Some((pattern, Value::Regex(text))), Some((number, Value::Int(group)))) =
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
        let number = self.is_number_literal(given);
        let hint = hint.filter(|_| !number || parameter.types.len() == 1);
        let mut typed = self.typed(given, hint.as_ref())?;
        let takes = |wanted: &&Type| typed.value_type == **wanted;
        if typed.adapts && !parameter.types.iter().any(|wanted| takes(&wanted)) {
            let of_variable = match first {
                Type::Variable(name, _) => variables.get(name).cloned(),
                _ => None,
            };
            let wanted =
                of_variable.or_else(|| parameter.types.iter().find(|wanted| is_number(wanted)).cloned());
            if let Some(wanted) = wanted {
                typed = self.adapted(typed, &wanted)?;
            }
        }
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
        Type::Variable(_, Bound::Plain) => "value that is no Json".to_owned(),
        Type::Variable(_, Bound::Ordered) => "value that has an order".to_owned(),
        Type::Variable(_, Bound::Number) => "number".to_owned(),
        Type::Variable(_, Bound::Decimal) => "Decimal".to_owned(),
        other => other.to_string(),
    }
}

/// Returns whether a type matches the wanted type, and binds the type variables of the wanted type.
fn unified(wanted: &Type, found: &Type, variables: &mut HashMap<Arc<str>, Type>) -> bool {
    match (wanted, found) {
        (Type::Variable(name, bound), found) => match variables.get(name) {
            Some(known) if known == found => true,
            // Exact numbers have a type that has both.
            Some(known) if are_exact(known, found) => {
                let both = decimal_type(known).zip(decimal_type(found));
                let both = both.and_then(|(known, found)| known.of_both(found));
                both.map(|both| variables.insert(name.clone(), both.into())).is_some()
            }
            Some(_) => false,
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

/// Returns the argument of the first parameter for which the predicate is true, if it is a constant, with its value.
fn literal<'e>(
    signature: &FunctionSignature,
    given: &[Option<&'e Expression>],
    planned: &'e [Planned],
    is: &dyn Fn(&ParameterSignature) -> bool,
) -> Option<(&'e Expression, &'e Value)> {
    let index = signature.parameters.iter().position(is)?;
    match &planned.get(index)?.operation {
        Operation::Literal(value) => Some((given.get(index).copied().flatten()?, value)),
        _ => None,
    }
}

fn counted(count: usize) -> String {
    match count {
        0 => "no argument".to_owned(),
        1 => "1 argument".to_owned(),
        count => format!("{count} arguments"),
    }
}
