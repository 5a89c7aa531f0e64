//! Checks steps, and applies their effect on the columns of the events.

mod parse;
mod shape;
mod uses;

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Because, Expression, Failure, Handler, Name, Path, Quality, Step, StepKind};
use weir_plan::{Action, BODY, Expression as Planned, OnFailure, Operation, Rule, Value};

use crate::analysis::graph::Step as CheckedStep;
use crate::checker::Checker;
use crate::diagnostics::{
    CannotFail, DuplicateEntry, DuplicateName, HiddenField, Limit, Misplaced, NameOf, NoBodyToCount,
    OutOfRange, StepEnd, UnknownName, WrongType,
};
use crate::expressions::{Binding, Bindings, Places, Typed, Typer};
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::spelling::{label, nearest};
use crate::types::Type;
use crate::types::columns::{Column, Columns, arrow};

/// The maximum number of steps of a program. The steps of an interceptor count at each use.
const STEPS_MAX: usize = 100_000;

/// The state between two steps: the columns of the events and the bindings of names.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) columns: Arc<Columns>,
    pub(crate) bindings: Bindings,
}

/// A value, and the handling of its failure.
struct Handled {
    typed: Typed,
    on_failure: Option<OnFailure>,
    /// Whether the value and its handler have no errors; errors have been reported.
    whole: bool,
    /// Whether the type of the value is known. It is unknown if the value for failures has an error.
    is_known: bool,
}

/// Checks steps.
pub(crate) struct StepCheck<'a, 'c> {
    pub(crate) checker: &'a mut Checker<'c>,
    /// The spans of the steps that may reject events.
    pub(crate) rejecting: &'a mut Vec<Span>,
    /// The number of steps checked so far.
    pub(crate) count: &'a mut usize,
    /// The span of the interceptor's use, if the steps are part of an interceptor.
    pub(crate) used_at: Option<Span>,
    /// Whether the flow has a route for the events that its steps reject.
    pub(crate) can_reject: bool,
}

impl<'c> StepCheck<'_, 'c> {
    /// Checks a step and adds it to `to`. Returns `None` if the step has errors, which have been reported. A step with
    /// errors may leave the state unchanged.
    pub(crate) fn step(&mut self, step: &Step, state: &mut State, to: &mut Vec<CheckedStep>) -> Option<()> {
        let used = self.checker.current_use;
        self.checker.notes.events.at(step.span, used).before = Some(state.columns.clone());
        let checked = self.step_kind(step, state, to);
        self.checker.notes.events.at(step.span, used).after = Some(state.columns.clone());
        checked
    }

    fn step_kind(&mut self, step: &Step, state: &mut State, to: &mut Vec<CheckedStep>) -> Option<()> {
        *self.count += 1;
        if *self.count > STEPS_MAX {
            if *self.count == STEPS_MAX + 1 {
                let what = "steps in a program".to_owned();
                self.checker.report(Limit { what, limit: STEPS_MAX, span: step.span });
            }
            return None;
        }
        match &step.kind {
            StepKind::Set(target, value) => self.set(step, target, value, state, to),
            StepKind::Unset(target) => self.unset(step, target, state, to),
            StepKind::Explode(target) => self.explode(step, target, state, to),
            StepKind::Flatten(target) => self.flatten(step, target, state, to),
            StepKind::Rename(from, target) => self.rename(step, from, target, state, to),
            StepKind::Select(targets, broken) => self.select(step, targets, *broken, state, to),
            StepKind::Parse(parse) => self.parse(step, parse, state, to),
            StepKind::Keep(condition) => self.filter(step, condition, state, to, true),
            StepKind::Drop(condition) => self.filter(step, condition, state, to, false),
            StepKind::Reject(condition, because) => {
                let (typed, on_failure) = self.condition(step, condition, state)?;
                self.rejecting.push(self.place(step.span));
                narrow(state, &typed.facts.if_false);
                let reason = because.as_ref().map(|because| because.text.clone());
                self.push(step, Action::Reject { condition: typed.planned, reason }, on_failure, state, to);
                Some(())
            }
            StepKind::RejectAll(_) => self.end_within(step),
            StepKind::Check(path) => self.check(step, path, state, to),
            StepKind::Let(name, value) => self.let_step(step, name, value, state, to),
            StepKind::Throttle(rate) => {
                let rate = self.rate(rate, state)?;
                self.push(step, Action::Throttle(rate), None, state, to);
                Some(())
            }
            StepKind::Sample(share) => {
                let Value::Float(value) = self.typer(state).setting(share, &Type::Percent, false)? else {
                    return None;
                };
                if !(0.0..=1.0).contains(&value) {
                    let (name, value) = ("sample".to_owned(), format!("{}%", value * 100.0));
                    let (range, span) = ("from 0% to 100%".to_owned(), share.span);
                    self.checker.report(OutOfRange { name, value, range, span, declared: span });
                    return None;
                }
                self.push(step, Action::Sample(value), None, state, to);
                Some(())
            }
            StepKind::Dedupe(by, within) => {
                // A null key would make unrelated events count as duplicates.
                let by = self.typer(state).typed(by, None).and_then(|by| self.checker.sure(by));
                let by = by.and_then(|by| self.typer(state).present(by));
                let within = self.window(within, state);
                let (by, Value::Duration(within)) = (by?, within?) else { return None };
                self.push(step, Action::Dedupe { by: by.planned, within }, None, state, to);
                Some(())
            }
            StepKind::Use(call) => self.interceptor(step, call, state, to),
        }
    }

    /// Checks `let name = value`.
    fn let_step(
        &mut self,
        step: &Step,
        name: &Name,
        value: &Expression,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let Some(typed) = self.typer(state).typed(value, None) else {
            state.bindings.names.insert(name.text.clone(), Binding::Broken);
            return None;
        };
        let Handled { typed, on_failure, whole, is_known } = self.handled(typed, step, state);
        self.hides_nothing(name, state);
        if !is_known {
            state.bindings.names.insert(name.text.clone(), Binding::Broken);
            return None;
        }
        let local = state.bindings.local(&name.text, &typed, name.span);
        self.checker.notes.locals.insert(name.span, name.text.to_string());
        self.push(step, Action::Let { local, value: typed.planned }, on_failure, state, to);
        whole.then_some(())
    }

    /// Reports a `reject` without a condition in an interceptor.
    fn end_within(&mut self, step: &Step) -> Option<()> {
        // In a flow it is an end, and no step; an interceptor has only steps.
        let name = "`reject` without a condition".to_owned();
        let rule = "it ends a chain of a flow, and an interceptor has steps in the middle".to_owned();
        let (role, span) = ("the end of the events", step.span);
        self.checker.report(Misplaced { name, role, rule, span, declared: None });
        None
    }

    /// Adds the step of the end of a chain, which drops or rejects all events.
    pub(crate) fn end_of_chain(
        &mut self,
        rejects: bool,
        because: Option<&Because>,
        span: Span,
        state: &State,
        to: &mut Vec<CheckedStep>,
    ) {
        let (operation, nullable) = (Operation::Literal(Value::Bool(true)), false);
        let condition = Planned { data_type: arrow(&Type::Bool), nullable, operation };
        let action = match rejects {
            true => {
                self.rejecting.push(span);
                let reason = because.map(|because| because.text.clone());
                Action::Reject { condition, reason }
            }
            false => Action::Drop(condition),
        };
        let (used, after) = (self.checker.current_use, state.columns.clone());
        self.checker.notes.events.at(span, used).before = Some(after.clone());
        self.checker.notes.events.at(span, used).after = Some(after.clone());
        to.push(CheckedStep { span, used, action, on_failure: None, after });
    }

    fn typer<'s>(&'s mut self, state: &'s State) -> Typer<'s, 'c> {
        Typer::new(self.checker, Some(&state.columns), &state.bindings)
    }

    /// Returns the span at which a step is reported: for a step of an interceptor, the use of the interceptor.
    fn place(&self, span: Span) -> Span {
        self.used_at.unwrap_or(span)
    }

    fn push(
        &mut self,
        step: &Step,
        action: Action,
        on_failure: Option<OnFailure>,
        state: &State,
        to: &mut Vec<CheckedStep>,
    ) {
        let (span, used, after) = (step.span, self.checker.current_use, state.columns.clone());
        to.push(CheckedStep { span, used, action, on_failure, after });
    }

    /// Returns the end of a step that can fail, where a handler could be added.
    fn end(&self, step: &Step) -> StepEnd {
        // An interceptor may have uses in flows without such a route.
        StepEnd { span: step.span.after(), rejects: self.can_reject && self.used_at.is_none() }
    }

    /// Applies the step's failure handler to a value.
    fn handled(&mut self, typed: Typed, step: &Step, state: &State) -> Handled {
        let done = |typed, on_failure| Handled { typed, on_failure, whole: true, is_known: true };
        let Some(handler) = &step.handler else {
            let whole = typed.fails.is_none();
            if let Some(fails) = &typed.fails {
                self.checker.unhandled(fails, Some(self.end(step)));
            }
            return Handled { whole, ..done(typed, None) };
        };
        if typed.fails.is_none() {
            self.cannot_fail(&typed, handler);
            return done(typed, None);
        }
        match &handler.failure {
            Failure::Reject => {
                self.rejecting.push(self.place(step.span));
                done(typed, Some(OnFailure::Reject))
            }
            Failure::Drop => done(typed, Some(OnFailure::Drop)),
            Failure::Value(value) => {
                let mut typer = self.typer(state);
                let fallback = typer.typed(value, Some(&typed.value_type));
                let span = typed.span.to(handler.span);
                let replaced =
                    fallback.and_then(|fallback| typer.replaced(typed.clone(), fallback, handler.span, span));
                match replaced.and_then(|replaced| self.checker.sure(replaced)) {
                    Some(replaced) => done(replaced, None),
                    None => Handled { whole: false, is_known: false, ..done(typed, None) },
                }
            }
        }
    }

    fn cannot_fail(&mut self, typed: &Typed, handler: &Handler) {
        let what = format!("`{}`", label(self.checker.files.text(typed.span)));
        let span = Span { start: typed.span.end, ..handler.span };
        self.checker.report(CannotFail { span, what });
    }

    fn condition(
        &mut self,
        step: &Step,
        condition: &Expression,
        state: &State,
    ) -> Option<(Typed, Option<OnFailure>)> {
        let typed = self.typer(state).condition(condition)?;
        let Handled { typed, on_failure, whole, .. } = self.handled(typed, step, state);
        whole.then_some((typed, on_failure))
    }

    /// Checks `keep if` and `drop if`.
    fn filter(
        &mut self,
        step: &Step,
        condition: &Expression,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
        keep: bool,
    ) -> Option<()> {
        let (typed, on_failure) = self.condition(step, condition, state)?;
        narrow(state, if keep { &typed.facts.if_true } else { &typed.facts.if_false });
        let action = if keep { Action::Keep(typed.planned) } else { Action::Drop(typed.planned) };
        self.push(step, action, on_failure, state, to);
        Some(())
    }

    fn check(
        &mut self,
        step: &Step,
        path: &Path,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let named = self.checker.scopes.path(path);
        let quality = match named.map(|named| named.meaning) {
            Some(Meaning::Quality(quality)) => quality,
            Some(Meaning::Broken) => return None,
            other => {
                self.not_found(path, "quality", other, |meaning| matches!(meaning, Meaning::Quality(_)));
                return None;
            }
        };
        self.checker.uses(Mention::of_path(path), quality.name.span);
        self.rejecting.push(self.place(step.span));
        let mut rules = Vec::new();
        let mut facts = Places::new();
        let mut whole = !quality.broken;
        self.rules_named_twice(quality);
        let outside = self.checker.enter_use(quality.name.span, step.span);
        for rule in &quality.rules {
            let typed =
                self.typer(state).condition(&rule.condition).and_then(|typed| self.checker.sure(typed));
            let Some(typed) = typed else {
                whole = false;
                continue;
            };
            facts.extend(typed.facts.if_true);
            let text = || label(self.checker.files.text(rule.condition.span));
            let name = rule.name.as_ref().map_or_else(text, |name| name.text.to_string());
            let reason = rule.because.as_ref().map(|because| because.text.clone());
            rules.push(Rule { name, condition: typed.planned, reason });
        }
        self.checker.current_use = outside;
        narrow(state, &facts);
        let quality = quality.name.text.to_string();
        self.push(step, Action::Check { quality, rules }, None, state, to);
        whole.then_some(())
    }

    fn rules_named_twice(&mut self, quality: &Quality) {
        let mut names: Vec<&Name> = Vec::new();
        for name in quality.rules.iter().filter_map(|rule| rule.name.as_ref()) {
            if let Some(first) = names.iter().find(|first| first.text == name.text) {
                let (name, first, second) = (name.text.to_string(), first.span, name.span);
                self.checker.report(DuplicateEntry { name, first, second });
            }
            names.push(name);
        }
    }

    fn not_found(
        &mut self,
        path: &Path,
        wanted: &'static str,
        found: Option<Meaning<'_>>,
        fits: fn(Meaning<'c>) -> bool,
    ) {
        let span = path.span();
        let name = self.checker.files.text(span).to_owned();
        match found {
            Some(meaning) => {
                let (expected, found) = (wanted.to_owned(), format!("{} `{name}`", meaning.in_words()));
                self.checker.report(WrongType::new(expected, found, span));
            }
            None => {
                let near = nearest(&name, self.checker.scopes.names(span.file, fits)).map(str::to_owned);
                self.checker.report(UnknownName { name, wanted, near, quote: false, span });
            }
        }
    }

    /// Checks the time for which `dedupe` remembers values.
    fn window(&mut self, given: &Expression, state: &State) -> Option<Value> {
        let window = self.typer(state).setting(given, &Type::Duration, false)?;
        if matches!(window, Value::Duration(window) if window.is_zero()) {
            let (name, value) = ("within".to_owned(), window.to_string());
            let (range, span) = ("more than zero: no value would be remembered".to_owned(), given.span);
            self.checker.report(OutOfRange { name, value, range, span, declared: span });
            return None;
        }
        Some(window)
    }

    /// Checks a rate of events or of bytes.
    fn rate(&mut self, given: &Expression, state: &State) -> Option<Value> {
        if self.typer(state).known_only_with_events(given, &Type::EventRate) {
            return None;
        }
        let is_bytes = match &given.kind {
            weir_grammar::tree::ExpressionKind::Name(name) => match state.bindings.names.get(name) {
                Some(Binding::Constant { value_type, .. }) => *value_type == Type::ByteRate,
                Some(_) => false,
                None => self.checker.fold(given)?.value_type == Some(Type::ByteRate),
            },
            weir_grammar::tree::ExpressionKind::Number(number) => {
                crate::values::literals::number_type(*number) == Type::ByteRate
            }
            _ => self.checker.fold(given)?.value_type == Some(Type::ByteRate),
        };
        let wanted = if is_bytes { Type::ByteRate } else { Type::EventRate };
        let rate = self.typer(state).setting(given, &wanted, false)?;
        if matches!(rate, Value::EventRate(rate) | Value::ByteRate(rate) if rate <= 0.0) {
            let (name, value) = ("throttle".to_owned(), rate.to_string());
            let (range, span) = ("more than zero: nothing would ever come through".to_owned(), given.span);
            self.checker.report(OutOfRange { name, value, range, span, declared: span });
            return None;
        }
        if is_bytes && state.columns.lacks(BODY) {
            self.checker.report(NoBodyToCount { span: given.span });
            return None;
        }
        Some(rate)
    }

    /// Reports a local that has the same name as a field or a declaration of the program.
    fn hides_nothing(&mut self, name: &Name, state: &State) {
        if let Some(column) = state.columns.columns.get(&*name.text) {
            let (field, span, declared) = (name.text.to_string(), column.declared, name.span);
            self.checker.report(HiddenField { field, span, what: "let", declared });
            return;
        }
        let local = match state.bindings.names.get(&name.text) {
            Some(Binding::Local { declared, .. }) => Some(*declared),
            _ => None,
        };
        let item = self
            .checker
            .scopes
            .get(name.span.file, &name.text)
            .filter(|named| matches!(named.meaning, Meaning::Let(_) | Meaning::Param));
        if let Some(first) = local.or(item.map(|named| named.declared)) {
            let (name, second) = (name.text.to_string(), name.span);
            self.checker.report(DuplicateName { name, first, second, of: NameOf::Items });
        }
    }

    /// Reports a field that a param or a let would hide.
    fn not_hidden(&mut self, field: &str, span: Span, file_span: Span) {
        if field.starts_with('@') {
            return;
        }
        let Some(named) = self.checker.scopes.get(file_span.file, field) else { return };
        let what = match named.meaning {
            Meaning::Param => "param",
            Meaning::Let(_) => "let",
            _ => return,
        };
        let declared = named.declared;
        self.checker.report(HiddenField { field: field.to_owned(), span, what, declared });
    }
}

/// Marks columns and locals as not null for the following steps.
pub(crate) fn narrow(state: &mut State, places: &Places) {
    for place in places {
        let is_part = place.contains(['.', '[']);
        if is_part && place.starts_with('$') {
            state.bindings.known.insert(place.clone());
        } else if is_part {
            Arc::make_mut(&mut state.columns).known.insert(place.clone());
        } else if let Some(number) = place.strip_prefix('$') {
            for binding in state.bindings.names.values_mut() {
                if let Binding::Local { number: local, optional, .. } = binding
                    && local.to_string() == number
                {
                    *optional = false;
                }
            }
        } else if state.columns.columns.get(place).is_some_and(|column: &Column| column.optional)
            && let Some(column) = Arc::make_mut(&mut state.columns).columns.get_mut(place)
        {
            column.optional = false;
            column.lacking = None;
        }
    }
}
