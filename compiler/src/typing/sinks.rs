//! Checks that events have the columns and headers that a sink needs, and the columns that its templates use.

use std::sync::Arc;

use super::Typing;
use crate::analysis::graph::Component;
use crate::analysis::settings::OpenHole;
use crate::checker::Checker;
use crate::diagnostics::{HoleNotAllowed, HoleStep, MalformedHole, OptionalHole, UnmetNeed};
use crate::expressions::no_such_column;
use crate::names::scopes::ComponentIndex;
use crate::signatures::{ColumnSignature, Library};
use crate::spelling::role_in_words;
use crate::types::columns::Columns;
use crate::values::templates::misfit;

impl Typing<'_, '_> {
    /// Returns the columns of the events that arrive at a sink, and reports columns that the sink needs and the events
    /// lack.
    pub(super) fn sink(&mut self, index: ComponentIndex) -> Option<Arc<Columns>> {
        let first = self.arrivals[index].first().map(|arrival| arrival.span);
        let columns = self.merged(index)?;
        let component = &self.components[index];
        let span = first.unwrap_or(component.declared.span);
        for need in needs(component, self.checker.library) {
            let found = columns.columns.get(&need.name);
            let met = found.map_or(need.optional, |column| {
                column.value_type == need.value_type && (need.optional || !column.optional)
            });
            if !met && (found.is_some() || columns.lacks(&need.name)) {
                let unmet = UnmetNeed {
                    sink: component.declared.name.to_string(),
                    column: need.name.to_string(),
                    type_name: need.value_type.named(need.optional),
                    found: found.map(|column| column.value_type.named(column.optional)),
                    span,
                    declared: need.span,
                    origins: columns.labels(),
                };
                self.checker.diagnostics.push(unmet.into());
            }
        }
        for hole in &component.settings.holes {
            hold(hole, &columns, self.checker);
        }
        for (header, span) in &component.settings.headers {
            let named = columns.columns.get(header.as_str()).map(|column| column.named.clone());
            named.iter().flat_map(|named| named.iter()).for_each(|named| {
                self.checker.notes.uses.note(*span, *named);
            });
            if columns.lacks(header) {
                self.checker.report(no_such_column(header.clone(), *span, &columns));
            }
        }
        Some(columns)
    }

    pub(super) fn holes_without_events(&mut self, index: ComponentIndex) {
        let Component { declared, settings, .. } = &self.components[index];
        for hole in &settings.holes {
            let expected = format!("setting of {} `{}`", role_in_words(declared.role), declared.name);
            self.checker.report(HoleNotAllowed { span: hole.span, expected });
        }
    }
}

/// Returns the columns that a sink's signature and its chosen variants need.
fn needs<'h>(component: &'h Component, library: &'h Library) -> Vec<&'h ColumnSignature> {
    let always = component.signature.iter().flat_map(|signature| &signature.needs);
    let chosen = component.chosen_variants(library).flat_map(|(variant, _)| &variant.needs);
    always.chain(chosen).collect()
}

/// Checks a template hole against the columns of the events.
fn hold(hole: &OpenHole, columns: &Columns, checker: &mut Checker<'_>) {
    let column = columns.columns.get(hole.column.as_str()).cloned();
    let Some(column) = column.or_else(|| columns.part(&hole.column)) else {
        if !columns.lacks(&hole.column) {
            return;
        }
        let missing = no_such_column(hole.column.clone(), hole.name_span, columns);
        checker.report(missing);
        return;
    };
    column.named.iter().for_each(|named| checker.notes.uses.note(hole.name_span, *named));
    if column.optional {
        let type_name = column.value_type.named(true);
        let (unknown, origin) = (columns.optional_parts(&hole.column), column.why_optional());
        let (column, step, span) = (hole.column.clone(), HoleStep::Set, hole.span);
        checker.report(OptionalHole { column, type_name, unknown, step, span, origin });
        return;
    }
    if let Some(misfit) = misfit(&hole.format, &column.value_type, false) {
        let (reason, help) = misfit.in_words(&hole.column, HoleStep::Set);
        let span = hole.format_span.unwrap_or(hole.span);
        let declared = Some((format!("it is {}", column.value_type), column.declared));
        checker.report(MalformedHole { reason, span, column: declared, help });
    }
}
