//! Checks the steps that change the columns of events: `set`, `unset`, `rename`, `select`, `explode`, `flatten`.

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Expression, Name, Step, Target};
use weir_plan::{Action, HEADER_SIGIL};

use super::uses::is_unknown_field;
use super::{Handled, State, StepCheck};
use crate::analysis::graph::Step as CheckedStep;
use crate::diagnostics::{DuplicateEntry, DuplicateName, NameOf, WrongType, with_article};
use crate::expressions::{Binding, Typed, no_such_column};
use crate::types::columns::{Column, Columns, Origin};
use crate::types::ranges::IntRange;
use crate::types::{FieldFormat, FieldType, Type};

impl StepCheck<'_, '_> {
    pub(super) fn set(
        &mut self,
        step: &Step,
        target: &Target,
        value: &Expression,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let column = self.target(target, state)?;
        let expected = state.columns.columns.get(&*column).map(|column| column.value_type.clone());
        let typed = self.typer(state).typed(value, expected.as_ref());
        let typed = typed.filter(|typed| self.is_of_events(typed));
        let Some(typed) = typed else {
            Arc::make_mut(&mut state.columns).break_column(column);
            return None;
        };
        let Handled { typed, on_failure, whole, is_known } = self.handled(typed, step, state);
        if !is_known {
            Arc::make_mut(&mut state.columns).break_column(column);
            return None;
        }
        if !state.columns.columns.contains_key(&*column) {
            self.not_hidden(&column, target.span, target.span);
        }
        let origin = origin(&state.columns, target);
        let declared = target.span;
        let named = self.named(step, target, &column, state);
        let new = Column {
            value_type: typed.value_type,
            optional: typed.optional,
            sensitive: typed.sensitive,
            origin,
            declared,
            named,
            lacking: None,
            attached: false,
            range: typed.range,
        };
        state.bindings.forget(&column);
        Arc::make_mut(&mut state.columns).insert(column.clone(), new);
        let column = column.to_string();
        self.push(step, Action::Set { column, value: typed.planned }, on_failure, state, to);
        whole.then_some(())
    }

    /// Returns whether events may have a value of this type; otherwise reports an error.
    fn is_of_events(&mut self, typed: &Typed) -> bool {
        let fits = !typed.value_type.is_setting_only();
        if !fits {
            let (expected, span) = ("value of an event".to_owned(), typed.span);
            let found = with_article(&typed.value_type.to_string());
            self.checker.report(WrongType::new(expected, found, span));
        }
        fits
    }

    /// Returns the definitions of the name of an assigned column: the existing definitions, or else the target. In an
    /// interceptor the target may be a parameter, whose argument names the column.
    fn named(&mut self, step: &Step, target: &Target, column: &str, state: &State) -> Arc<[Span]> {
        let Some(before) = state.columns.columns.get(column) else {
            return self.renamed(step, target, column, state);
        };
        let span = self.bound_span(target, state);
        before.named.iter().for_each(|named| self.checker.notes.uses.note(span, *named));
        before.named.clone()
    }

    /// Records the target as the definition of a new column and returns its span.
    fn renamed(&mut self, step: &Step, target: &Target, column: &str, state: &State) -> Arc<[Span]> {
        let span = self.bound_span(target, state);
        self.checker.notes.definitions.column(&Name { text: column.into(), span }, step.span);
        Arc::new([span])
    }

    /// Returns the name of the column that a target refers to.
    fn target(&mut self, target: &Target, state: &State) -> Option<Arc<str>> {
        if let Some(declared) = state.bindings.names.get(&target.text).and_then(Binding::declared) {
            self.checker.notes.uses.note(target.span, declared);
        }
        match state.bindings.names.get(&target.text) {
            None => Some(target.text.as_ref().into()),
            Some(Binding::Column { name, .. }) => Some(name.clone()),
            Some(Binding::Broken) => None,
            Some(_) => {
                let (expected, found) =
                    ("field or header".to_owned(), format!("the value `{}`", target.text));
                let span = target.span;
                self.checker.report(WrongType::new(expected, found, span));
                None
            }
        }
    }

    /// Returns the name of the column that a target refers to; the column must exist.
    fn existing(&mut self, target: &Target, state: &State) -> Option<Arc<str>> {
        let column = self.target(target, state)?;
        if let Some(there) = state.columns.columns.get(&*column) {
            let span = self.bound_span(target, state);
            there.named.iter().for_each(|named| self.checker.notes.uses.note(span, *named));
            return Some(column);
        }
        if !state.columns.lacks(&column) {
            return None;
        }
        let span = self.bound_span(target, state);
        let missing = no_such_column(column.to_string(), span, &state.columns);
        self.checker.report(missing);
        None
    }

    /// Returns the span that names the target's column: for a parameter of an interceptor, the argument.
    fn bound_span(&self, target: &Name, state: &State) -> Span {
        match state.bindings.names.get(&target.text) {
            Some(Binding::Column { span, .. }) => *span,
            _ => target.span,
        }
    }

    pub(super) fn unset(
        &mut self,
        step: &Step,
        target: &Target,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let column = self.existing(target, state)?;
        state.bindings.forget(&column);
        Arc::make_mut(&mut state.columns).remove(&column);
        self.push(step, Action::Unset(column.to_string()), None, state, to);
        Some(())
    }

    /// Checks `explode list`.
    pub(super) fn explode(
        &mut self,
        step: &Step,
        target: &Target,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let name = self.existing(target, state)?;
        let before = state.columns.columns.get(&*name)?.clone();
        let Type::List(element) = &before.value_type else {
            return self.other_type(target, "list", &name, &before, state);
        };
        let (value_type, declared) = (element.as_ref().clone(), target.span);
        let column = Column {
            value_type,
            optional: false,
            lacking: None,
            range: IntRange::ALL,
            declared,
            ..before.clone()
        };
        state.bindings.forget(&name);
        Arc::make_mut(&mut state.columns).insert(name.clone(), column);
        self.push(step, Action::Explode(name.to_string()), None, state, to);
        Some(())
    }

    /// Checks `flatten record`.
    pub(super) fn flatten(
        &mut self,
        step: &Step,
        target: &Target,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let name = self.existing(target, state)?;
        let before = state.columns.columns.get(&*name)?.clone();
        let Type::Schema(record) = &before.value_type else {
            return self.other_type(target, "record of a schema", &name, &before, state);
        };
        let span = self.bound_span(target, state);
        let parts: Vec<(Arc<str>, Column)> =
            record.fields.iter().map(|field| part(&name, &before, field)).collect();
        for (part, _) in &parts {
            let there = state.columns.columns.get(part).filter(|_| !is_unknown_field(part));
            if let Some(there) = there {
                let (name, first, second) = (part.to_string(), there.declared, span);
                self.checker.report(DuplicateName { name, first, second, of: NameOf::Events });
                return None;
            }
            self.not_hidden(part, span, span);
        }
        state.bindings.forget(&name);
        let columns = Arc::make_mut(&mut state.columns);
        columns.remove(&name);
        for (part, column) in parts {
            columns.insert(part, column);
        }
        let fields = record.fields.iter().map(|field| field.name.to_string()).collect();
        self.push(step, Action::Flatten { column: name.to_string(), fields }, None, state, to);
        Some(())
    }

    /// Reports a column that has another type than the step takes.
    fn other_type(
        &mut self,
        target: &Target,
        expected: &str,
        name: &Arc<str>,
        column: &Column,
        state: &mut State,
    ) -> Option<()> {
        let (span, found) = (self.bound_span(target, state), with_article(&column.value_type.to_string()));
        self.checker.report(
            WrongType::new(expected, found, span)
                .declared(Some(("declared here".to_owned(), column.declared))),
        );
        Arc::make_mut(&mut state.columns).break_column(name.clone());
        None
    }

    pub(super) fn rename(
        &mut self,
        step: &Step,
        from: &Target,
        target: &Target,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let old = self.existing(from, state);
        let new = self.target(target, state)?;
        let Some(old) = old else {
            Arc::make_mut(&mut state.columns).break_column(new);
            return None;
        };
        let there = state.columns.columns.get(&*new).filter(|_| !is_unknown_field(&new));
        if let Some(there) = there {
            let (name, first, second) = (new.to_string(), there.declared, self.bound_span(target, state));
            self.checker.report(DuplicateName { name, first, second, of: NameOf::Events });
            return None;
        }
        self.not_hidden(&new, target.span, target.span);
        state.bindings.forget(&old);
        let named = self.renamed(step, target, &new, state);
        Arc::make_mut(&mut state.columns).rename(&old, new.clone(), named);
        let action = Action::Rename { from: old.to_string(), to: new.to_string() };
        self.push(step, action, None, state, to);
        Some(())
    }

    pub(super) fn select(
        &mut self,
        step: &Step,
        targets: &[Target],
        broken: bool,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        for (index, target) in targets.iter().enumerate() {
            if let Some(first) = targets[..index].iter().find(|first| first.text == target.text) {
                let (name, first, second) = (target.text.to_string(), first.span, target.span);
                self.checker.report(DuplicateEntry { name, first, second });
            }
        }
        let selected: Vec<Option<Arc<str>>> =
            targets.iter().map(|target| self.existing(target, state)).collect();
        let Some(selected) = selected.into_iter().collect::<Option<Vec<_>>>().filter(|_| !broken) else {
            // The selected fields are unknown, so an absent column must not be reported as missing.
            Arc::make_mut(&mut state.columns).lost = true;
            return None;
        };
        let columns = Arc::make_mut(&mut state.columns);
        columns.columns.retain(|name, column| {
            name.starts_with(HEADER_SIGIL) || column.attached || selected.contains(name)
        });
        let selected = selected.iter().map(ToString::to_string).collect();
        self.push(step, Action::Select(selected), None, state, to);
        Some(())
    }
}

/// Returns the column of a field of the record in a column, with its name.
fn part(name: &str, record: &Column, field: &FieldType) -> (Arc<str>, Column) {
    let range = match field.format {
        FieldFormat::Within(range) => range,
        _ => IntRange::ALL,
    };
    let column = Column {
        value_type: field.value_type.clone(),
        optional: record.optional || field.optional,
        sensitive: record.sensitive || field.sensitive,
        declared: field.span,
        named: Arc::new([field.span]),
        attached: false,
        range,
        ..record.clone()
    };
    (Action::flattened(name, &field.name).into(), column)
}

/// Returns the origin of a column that a step adds: the first origin of the events.
pub(super) fn origin(columns: &Columns, target: &Name) -> Origin {
    let first = columns.origins.first().cloned();
    first.unwrap_or_else(|| Origin { name: target.text.as_ref().into(), span: target.span })
}
