//! Checks the steps of interceptors at each use, with the columns of the events there.

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Call, Expression, ExpressionKind, Interceptor, Parameter, Step};
use weir_plan::{Action, Operation, Value};

use super::{State, StepCheck};
use crate::analysis::graph::Step as CheckedStep;
use crate::diagnostics::{ForeignForm, UnknownName, Within, WrongArguments, WrongType};
use crate::expressions::{Binding, Bindings, Typed, matched};
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::signatures::ParameterSignature;
use crate::types::Type;
use crate::types::columns::{Column, Columns, Origin};
use crate::types::ranges::IntRange;

impl StepCheck<'_, '_> {
    pub(super) fn interceptor(
        &mut self,
        step: &Step,
        call: &Call,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let library = self.checker.library;
        let name = &*call.function.name.text;
        let named = self.checker.scopes.path(&call.function);
        let interceptor: &Interceptor = match named.map(|named| (named.meaning, named.declared)) {
            Some((Meaning::Interceptor(interceptor), _)) => interceptor,
            Some((Meaning::Broken, _)) => return self.lose(state),
            _ => match library.interceptors.get(name).filter(|_| call.function.qualifier.is_none()) {
                Some(interceptor) => interceptor,
                None => {
                    self.unknown_interceptor(call);
                    return self.lose(state);
                }
            },
        };
        self.checker.uses(Mention::of_path(&call.function), interceptor.name.span);
        let Some(parameters) = self.signatures(&interceptor.parameters) else { return self.lose(state) };
        let arguments = match matched(&parameters, &call.arguments) {
            Ok(arguments) => arguments,
            Err(reason) => {
                let (name, span) = (interceptor.name.text.to_string(), step.span);
                let (usage, declared) = (usage(interceptor, &parameters), Some(interceptor.name.span));
                self.checker.report(WrongArguments { name, reason, span, usage, declared });
                return self.lose(state);
            }
        };
        self.checker.uses_parameters(&parameters, &call.arguments);
        let mut bindings = Bindings { next: state.bindings.next, ..Bindings::default() };
        let mut whole = !interceptor.broken;
        for ((parameter, signature), given) in interceptor.parameters.iter().zip(&parameters).zip(arguments) {
            let bound = self.bind(step, parameter, signature, given, state, &mut bindings, to);
            if bound.is_none() {
                whole = false;
                bindings.names.insert(parameter.name.text.clone(), Binding::Broken);
            }
        }
        let outside = std::mem::replace(&mut state.bindings, bindings);
        let reported = self.checker.diagnostics.len();
        let used_at = self.used_at.replace(self.used_at.unwrap_or(step.span));
        let current_use = self.checker.enter_use(interceptor.name.span, step.span);
        whole &= self.steps_of(interceptor, state, to);
        self.checker.current_use = current_use;
        self.used_at = used_at;
        self.tell_use(reported, step.span);
        state.bindings = Bindings { next: state.bindings.next, ..outside };
        state.bindings.forget_all();
        if interceptor.broken {
            self.lose(state);
        }
        whole.then_some(())
    }

    /// Checks the steps of an interceptor, and returns whether they have no errors.
    fn steps_of(&mut self, interceptor: &Interceptor, state: &mut State, to: &mut Vec<CheckedStep>) -> bool {
        let reported = self.checker.diagnostics.len();
        let mut whole = true;
        for step in &interceptor.steps {
            whole &= self.step(step, state, to).is_some();
        }
        if interceptor.broken {
            // An unreadable step might have handled null or added a field, so errors about null and missing fields are
            // dropped.
            let follows = |code: &str| code == "E0308" || code.starts_with("E05");
            let found = self.checker.diagnostics.split_off(reported);
            self.checker.diagnostics.extend(found.into_iter().filter(|found| !follows(found.code())));
        }
        whole
    }

    /// Checks an interceptor that no flow uses. The columns of the events are unknown, so only columns with a
    /// parameter's type are checked.
    pub(crate) fn unused_interceptor(&mut self, interceptor: &Interceptor) {
        let origin = Origin { name: interceptor.name.text.as_ref().into(), span: interceptor.name.span };
        let columns = Columns { origins: vec![origin.clone()], lost: true, ..Columns::default() };
        let mut state = State { columns: Arc::new(columns), bindings: Bindings::default() };
        let mut bindings = Bindings::default();
        for parameter in &interceptor.parameters {
            let binding = match self.signature(parameter) {
                Some(signature) if parameter.field => {
                    Some(unknown_field(parameter, &signature, &origin, &mut state))
                }
                Some(signature) => self.unknown_value(parameter, &signature, &state, &mut bindings),
                None => None,
            };
            bindings.names.insert(parameter.name.text.clone(), binding.unwrap_or(Binding::Broken));
        }
        state.bindings = bindings;
        self.steps_of(interceptor, &mut state, &mut Vec::new());
    }

    /// Returns the binding of a parameter without a known argument; `None` if the parameter's type is unknown too.
    fn unknown_value(
        &mut self,
        parameter: &Parameter,
        signature: &ParameterSignature,
        state: &State,
        bindings: &mut Bindings,
    ) -> Option<Binding> {
        let declared = parameter.name.span;
        let wanted = signature.types.first()?;
        if wanted.is_setting_only() {
            let default = parameter.default.as_ref()?;
            let value = self.typer(state).setting(default, wanted, signature.optional)?;
            return Some(Binding::Constant { value, value_type: wanted.clone(), declared });
        }
        if let Some(default) = &parameter.default {
            self.argument(signature, default, state);
        }
        let [value_type] = signature.types.as_slice() else { return None };
        let (number, value_type) = (bindings.next, value_type.clone());
        bindings.next += 1;
        let optional = signature.optional;
        Some(Binding::Local {
            number,
            value_type,
            optional,
            sensitive: false,
            range: IntRange::ALL,
            declared,
        })
    }

    /// Marks the columns of the events as incomplete.
    fn lose(&mut self, state: &mut State) -> Option<()> {
        Arc::make_mut(&mut state.columns).lost = true;
        None
    }

    /// Adds the span of the use to the diagnostics about an interceptor's steps, from index `reported` on.
    fn tell_use(&mut self, reported: usize, used_at: Span) {
        let library = &self.checker.library.files;
        for diagnostic in &mut self.checker.diagnostics[reported..] {
            let place = diagnostic.describe().labels.first().map_or(used_at, |label| label.span);
            // The diagnostic already points at an argument of the use.
            if place.file == used_at.file && used_at.start <= place.start && place.end <= used_at.end {
                continue;
            }
            let of_library = library.get(place.file).is_some();
            let inner = diagnostic.clone();
            *diagnostic = Within { inner, used_at, of_library }.into();
        }
    }

    fn unknown_interceptor(&mut self, call: &Call) -> Option<()> {
        let span = call.function.span();
        let name = self.checker.files.text(span).to_owned();
        let is_own = matches!(self.checker.scopes.path(&call.function), Some(named) if matches!(named.meaning, Meaning::Function));
        if is_own || self.checker.library.functions.contains_key(name.as_str()) {
            let (expected, found) = (
                "interceptor".to_owned(),
                format!("the function `{name}`, whose value goes somewhere: `set field = {name}(…)`"),
            );
            self.checker.report(WrongType::new(expected, found, span));
            return None;
        }
        let selects = match name.as_str() {
            "filter" | "where" | "when" | "only" => Some("keep if "),
            "exclude" | "discard" | "ignore" => Some("drop if "),
            _ => None,
        };
        if let (Some(step), [argument]) = (selects, call.arguments.as_slice())
            && argument.name.is_none()
        {
            let message =
                format!("there is no step `{name}`: events are selected by `keep if` and `drop if`");
            let title = format!("write `{}`", step.trim());
            self.checker.report(ForeignForm::new(span, message, title, vec![(span, step.to_owned())]));
            return None;
        }
        let own = self.checker.scopes.names(span.file, |meaning| matches!(meaning, Meaning::Interceptor(_)));
        let library = self.checker.library;
        let near = library
            .nearest(&name, own.chain(library.interceptors.keys().map(AsRef::as_ref)))
            .map(str::to_owned);
        self.checker.report(UnknownName { name, wanted: "interceptor", near, quote: false, span });
        None
    }

    fn signatures(&mut self, parameters: &[Parameter]) -> Option<Vec<ParameterSignature>> {
        let signatures: Vec<Option<ParameterSignature>> =
            parameters.iter().map(|parameter| self.signature(parameter)).collect();
        signatures.into_iter().collect()
    }

    fn signature(&mut self, parameter: &Parameter) -> Option<ParameterSignature> {
        let signature = self.checker.parameter(parameter)?;
        // A field's argument is required, even if the field may be null.
        Some(ParameterSignature { optional: signature.optional && !parameter.field, ..signature })
    }

    /// Binds a parameter for one use.
    #[allow(clippy::too_many_arguments)] // One use, seen from both sides.
    fn bind(
        &mut self,
        step: &Step,
        parameter: &Parameter,
        signature: &ParameterSignature,
        given: Option<&Expression>,
        state: &State,
        bindings: &mut Bindings,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let name = parameter.name.text.clone();
        if parameter.field {
            let binding = self.field(parameter, signature, given?, state)?;
            bindings.names.insert(name, binding);
            return Some(());
        }
        let wanted = signature.types.first()?;
        let null = Expression { span: step.span, kind: ExpressionKind::Null };
        let given = given.unwrap_or(&null);
        if wanted.is_setting_only() {
            let value = self.typer(state).setting(given, wanted, signature.optional)?;
            let (value_type, declared) = (wanted.clone(), parameter.name.span);
            bindings.names.insert(name, Binding::Constant { value, value_type, declared });
            return Some(());
        }
        let typed = self.argument(signature, given, state)?;
        if let (Operation::Literal(value @ Value::Text(_)), Type::Text) =
            (&typed.planned.operation, &typed.value_type)
        {
            // A known text is checked where the steps use it, as the replacement of a pattern.
            let (value, value_type, declared) = (value.clone(), Type::Text, parameter.name.span);
            bindings.names.insert(name, Binding::Constant { value, value_type, declared });
            return Some(());
        }
        let local = bindings.local(&name, &typed, parameter.name.span);
        self.push(step, Action::Let { local, value: typed.planned }, None, state, to);
        Some(())
    }

    /// Types an argument and checks it against the types of its parameter.
    fn argument(
        &mut self,
        signature: &ParameterSignature,
        given: &Expression,
        state: &State,
    ) -> Option<Typed> {
        let typed = self.typer(state).typed(given, signature.types.first())?;
        let mut typed = self.checker.sure(typed)?;
        if let [only] = signature.types.as_slice() {
            typed = self.typer(state).adapted(typed, only)?;
        }
        if !signature.types.contains(&typed.value_type) {
            return self.wrong(
                signature.type_names(),
                crate::diagnostics::with_article(&typed.value_type.to_string()),
                typed.span,
            );
        }
        if signature.optional { Some(typed) } else { self.typer(state).present(typed) }
    }

    fn wrong<T>(&mut self, expected: String, found: String, span: Span) -> Option<T> {
        self.checker.report(WrongType::new(expected, found, span));
        None
    }

    /// Resolves the column that an argument names.
    fn field(
        &mut self,
        parameter: &Parameter,
        signature: &ParameterSignature,
        given: &Expression,
        state: &State,
    ) -> Option<Binding> {
        let span = given.span;
        let name = match &given.kind {
            ExpressionKind::Header(name) => format!("@{name}"),
            ExpressionKind::Name(name) => match self.bound(name, span, state) {
                None => name.to_string(),
                Some(Binding::Column { name, .. }) => name.to_string(),
                Some(_) => {
                    return self.wrong("field or header".to_owned(), format!("the value `{name}`"), span);
                }
            },
            ExpressionKind::Broken => return None,
            _ => {
                return self.wrong("field or header".to_owned(), crate::values::literals::found(given), span);
            }
        };
        let optional = parameter.types.iter().any(|type_name| type_name.optional);
        if let (Some(column), false) = (state.columns.columns.get(name.as_str()), signature.types.is_empty())
            && !signature.types.contains(&column.value_type)
        {
            return self.wrong(
                signature.type_names(),
                crate::diagnostics::with_article(&column.value_type.to_string()),
                span,
            );
        }
        if let Some(column) = state.columns.columns.get(name.as_str()) {
            column.named.iter().for_each(|named| self.checker.notes.uses.note(span, *named));
        }
        let required = !signature.types.is_empty() && !optional;
        Some(Binding::Column { name: name.into(), required, span, declared: parameter.name.span })
    }

    /// Returns the binding of a name and records the use.
    fn bound<'s>(&mut self, name: &str, span: Span, state: &'s State) -> Option<&'s Binding> {
        let binding = state.bindings.names.get(name)?;
        if let Some(declared) = binding.declared() {
            self.checker.notes.uses.note(span, declared);
        }
        Some(binding)
    }
}

/// The prefix of placeholder columns, which represent unknown arguments of field parameters. It has a space, so no
/// program can use such a name.
const UNKNOWN_FIELD: &str = "field ";

/// Returns whether a column is a placeholder for an unknown argument, which the events may lack.
pub(super) fn is_unknown_field(column: &str) -> bool {
    column.starts_with(UNKNOWN_FIELD)
}

/// Binds a field parameter whose argument is unknown. A parameter with exactly one type adds a placeholder column to
/// the events.
fn unknown_field(
    parameter: &Parameter,
    signature: &ParameterSignature,
    origin: &Origin,
    state: &mut State,
) -> Binding {
    let span = parameter.name.span;
    let name: Arc<str> = format!("{UNKNOWN_FIELD}{}", parameter.name.text).into();
    let optional = parameter.types.iter().any(|type_name| type_name.optional);
    if let [value_type] = signature.types.as_slice() {
        let column = Column {
            value_type: value_type.clone(),
            optional,
            sensitive: false,
            origin: origin.clone(),
            declared: span,
            named: Arc::new([span]),
            lacking: None,
            attached: false,
            range: IntRange::ALL,
        };
        Arc::make_mut(&mut state.columns).insert(name.clone(), column);
    }
    let required = !signature.types.is_empty() && !optional;
    Binding::Column { name, required, span, declared: span }
}

fn usage(interceptor: &Interceptor, parameters: &[ParameterSignature]) -> String {
    let parameters = interceptor.parameters.iter().zip(parameters).map(|(parameter, signature)| {
        let field = if parameter.field { "field " } else { "" };
        format!("{}: {field}{}", signature.name, signature.type_names()).trim_end().to_owned()
    });
    format!("{}({})", interceptor.name.text, parameters.collect::<Vec<_>>().join(", "))
}
