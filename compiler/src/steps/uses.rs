//! Interceptors: their steps, checked at each use with the columns that there are.

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Call, Expression, ExpressionKind, Interceptor, Parameter, Step};
use weir_plan::{Action, Step as PlannedStep};

use super::{State, StepLowering};
use crate::diagnostics::{UnknownName, Within, WrongArguments, WrongType};
use crate::expressions::{Binding, Bindings, matched};
use crate::names::scopes::Meaning;
use crate::signatures::ParameterSignature;
use crate::spelling::nearest;

impl StepLowering<'_, '_> {
    pub(super) fn interceptor(
        &mut self,
        step: &Step,
        call: &Call,
        state: &mut State,
        to: &mut Vec<PlannedStep>,
    ) -> Option<()> {
        let library = self.checker.library;
        let name = &*call.function.name.text;
        let named = self.checker.scopes.path(&call.function);
        let interceptor: &Interceptor = match named.map(|named| (named.meaning, named.declared)) {
            Some((Meaning::Interceptor(interceptor), declared)) => {
                self.checker.used.insert(declared);
                interceptor
            }
            Some((Meaning::Broken, _)) => return self.lose(state),
            _ => match library.interceptors.get(name).filter(|_| call.function.qualifier.is_none()) {
                Some(interceptor) => interceptor,
                None => {
                    self.unknown_interceptor(call);
                    return self.lose(state);
                }
            },
        };
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
        let Bindings { next, known, .. } = &state.bindings;
        let mut bindings = Bindings { next: *next, known: known.clone(), ..Bindings::default() };
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
        for step in &interceptor.steps {
            whole &= self.step(step, state, to).is_some();
        }
        self.used_at = used_at;
        if interceptor.broken {
            // A step that could not be read may have asked for null, or made a field.
            let follows = |code: &str| code == "E0308" || code.starts_with("E05");
            let found = self.checker.diagnostics.split_off(reported);
            self.checker.diagnostics.extend(found.into_iter().filter(|found| !follows(found.code())));
        }
        self.tell_use(reported, step.span);
        let Bindings { next, ref mut known, .. } = state.bindings;
        state.bindings = Bindings { next, known: std::mem::take(known), ..outside };
        if interceptor.broken {
            self.lose(state);
        }
        whole.then_some(())
    }

    /// Nothing is known any more of the events.
    fn lose(&mut self, state: &mut State) -> Option<()> {
        Arc::make_mut(&mut state.columns).lost = true;
        None
    }

    /// Adds the place of the use to what has been reported since about an interceptor's steps.
    fn tell_use(&mut self, reported: usize, used_at: Span) {
        let library = &self.checker.library.files;
        for diagnostic in &mut self.checker.diagnostics[reported..] {
            let place = diagnostic.describe().labels.first().map_or(used_at, |label| label.span);
            // What an argument does wrong is told at the argument.
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
        let own = self.checker.scopes.names(span.file, |meaning| matches!(meaning, Meaning::Interceptor(_)));
        let library = self.checker.library;
        let near =
            nearest(&name, own.chain(library.interceptors.keys().map(AsRef::as_ref))).map(str::to_owned);
        self.checker.report(UnknownName { name, wanted: "interceptor", near, quote: false, span });
        None
    }

    fn signatures(&mut self, parameters: &[Parameter]) -> Option<Vec<ParameterSignature>> {
        let signatures: Vec<Option<ParameterSignature>> = parameters
            .iter()
            .map(|parameter| {
                let signature = self.checker.parameter(parameter)?;
                // A field has to be named, also one that may be null.
                Some(ParameterSignature { optional: signature.optional && !parameter.field, ..signature })
            })
            .collect();
        signatures.into_iter().collect()
    }

    /// Gives a parameter its meaning for one use.
    #[allow(clippy::too_many_arguments)] // One use, seen from both sides.
    fn bind(
        &mut self,
        step: &Step,
        parameter: &Parameter,
        signature: &ParameterSignature,
        given: Option<&Expression>,
        state: &State,
        bindings: &mut Bindings,
        to: &mut Vec<PlannedStep>,
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
            bindings.names.insert(name, Binding::Constant { value, value_type: wanted.clone() });
            return Some(());
        }
        let typed = self.typer(state).typed(given, Some(wanted))?;
        let typed = self.checker.sure(typed)?;
        if !signature.types.contains(&typed.value_type) {
            return self.wrong(
                signature.type_names(),
                crate::diagnostics::with_article(&typed.value_type.to_string()),
                typed.span,
            );
        }
        let typed = if signature.optional { typed } else { self.typer(state).present(typed)? };
        let local = bindings.local(&name, &typed, parameter.name.span);
        self.push(step, Action::Let { local, value: typed.planned }, None, state, to);
        Some(())
    }

    fn wrong<T>(&mut self, expected: String, found: String, span: Span) -> Option<T> {
        self.checker.report(WrongType::new(expected, found, span));
        None
    }

    /// The column that an argument names.
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
            ExpressionKind::Name(name) => match state.bindings.names.get(name) {
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
        let required = !signature.types.is_empty() && !optional;
        Some(Binding::Column { name: name.into(), required, span })
    }
}

fn usage(interceptor: &Interceptor, parameters: &[ParameterSignature]) -> String {
    let parameters = interceptor.parameters.iter().zip(parameters).map(|(parameter, signature)| {
        let field = if parameter.field { "field " } else { "" };
        format!("{}: {field}{}", signature.name, signature.type_names()).trim_end().to_owned()
    });
    format!("{}({})", interceptor.name.text, parameters.collect::<Vec<_>>().join(", "))
}
