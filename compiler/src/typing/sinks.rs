//! Checks that events have the columns and headers that a sink needs, and the columns that its templates use.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_grammar::Span;
use weir_plan::{HoleFormat, TemplatePart, Value};

use super::Typing;
use crate::analysis::graph::Component;
use crate::analysis::settings::{OpenHole, Origin};
use crate::checker::Checker;
use crate::diagnostics::{
    DateWithoutBraces, ForeignForm, HoleNotAllowed, HoleStep, MalformedHole, NestedField, OptionalHole,
    UnmetNeed, UnwritableColumns,
};
use crate::expressions::no_such_column;
use crate::files::sources::Files;
use crate::names::scopes::ComponentIndex;
use crate::signatures::{ColumnSignature, Library};
use crate::spelling::role_in_words;
use crate::types::Type;
use crate::types::columns::{Column, Columns};
use crate::values::templates::misfit;
use crate::values::times::{self, PatternError};

/// The setting of a format that names the headers which are written as columns.
const FORMAT_HEADERS: &str = "format.headers";

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
        for date in dates(component, self.checker.files, &columns) {
            self.checker.report(date);
        }
        self.flat(index, &columns);
        self.written(index, &columns);
        let component = &self.components[index];
        for (header, span) in &component.settings.headers {
            let named = columns.columns.get(header.as_str()).map(|column| column.named.clone());
            named.iter().flat_map(|named| named.iter()).for_each(|named| {
                self.checker.notes.uses.note(*span, *named);
            });
            if columns.lacks(header) {
                self.checker.report(no_such_column(header.clone(), *span, &columns));
            }
        }
        self.components[index].reads = reads(&self.components[index], self.checker.library);
        Some(columns)
    }

    /// Reports fields that a format can't write, since it writes one value for each field.
    fn flat(&mut self, index: ComponentIndex, columns: &Columns) {
        let component = &self.components[index];
        let library = self.checker.library;
        let chosen = component.chosen_variants(library);
        let flat = chosen.filter_map(|(_, variant, _)| Some((variant, variant.flat.as_ref()?)));
        for (variant, because) in flat {
            let nested = columns.columns.iter().find(|(name, column)| {
                !name.starts_with('@') && !column.attached && column.value_type.is_nested()
            });
            if let Some((name, column)) = nested {
                self.checker.diagnostics.push(
                    NestedField {
                        field: name.to_string(),
                        type_name: column.value_type.to_string(),
                        by: format!("the format {}", variant.name.text),
                        reason: because.text.clone(),
                        span: component.declared.span,
                        field_span: Some(column.declared),
                        declared: Some(because.span),
                    }
                    .into(),
                );
            }
        }
    }

    /// Reports a format of fields that has nothing to write, or two columns of one name.
    fn written(&mut self, index: ComponentIndex, columns: &Columns) {
        let component = &self.components[index];
        // Only the formats that write fields have the setting.
        let Some(Value::List(headers)) =
            component.settings.get(FORMAT_HEADERS).and_then(|setting| setting.value.as_ref())
        else {
            return;
        };
        let place = |header: &str| component.settings.headers.iter().find(|(name, _)| name == header);
        let is_field = |column: &Column| !column.attached;
        let twice = headers.iter().find_map(|header| {
            let Value::Text(header) = header else { return None };
            columns.columns.get(header.as_str())?;
            let name = header.trim_start_matches('@');
            let field = columns.columns.get(name).filter(|column| is_field(column))?;
            Some((name.to_owned(), place(header)?.1, field.declared))
        });
        let has_fields =
            columns.columns.iter().any(|(name, column)| !name.starts_with('@') && is_field(column));
        let unwritable = match twice {
            Some((name, span, field)) => UnwritableColumns::Twice { name, span, field },
            None if has_fields || !headers.is_empty() || columns.lost || !columns.broken.is_empty() => return,
            None => {
                let sink = component.declared.name.to_string();
                UnwritableColumns::Nothing { sink, span: component.declared.span, origins: columns.labels() }
            }
        };
        self.checker.report(unwritable);
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
pub(crate) fn needs<'h>(component: &'h Component, library: &'h Library) -> Vec<&'h ColumnSignature> {
    let always = component.signature.iter().flat_map(|signature| &signature.needs);
    let chosen = component.chosen_variants(library).flat_map(|(_, variant, _)| &variant.needs);
    always.chain(chosen).collect()
}

/// Returns the columns that a sink reads; `None` if it reads all, as a format that writes all fields. A sink or variant that
/// says what it needs reads nothing else, except what templates and lists of headers name.
fn reads(component: &Component, library: &Library) -> Option<BTreeSet<String>> {
    let needs = needs(component, library);
    if needs.is_empty() {
        return None;
    }
    let holes = component.settings.holes.iter().map(|hole| hole.column.as_str());
    // A hole may name a part of a field.
    let roots = holes.clone().filter_map(|hole| Some(hole.split_once('.')?.0));
    let headers = component.settings.headers.iter().map(|(header, _)| header.as_str());
    let named = needs.iter().map(|need| &*need.name).chain(holes).chain(roots).chain(headers);
    Some(named.map(str::to_owned).collect())
}

/// Checks a template hole against the columns of the events.
fn hold(hole: &OpenHole, columns: &Columns, checker: &mut Checker<'_>) {
    let column = columns.columns.get(hole.column.as_str()).cloned();
    let Some(column) = column.or_else(|| columns.part(&hole.column)) else {
        if !columns.lacks(&hole.column) {
            return;
        }
        let before = Span { start: 0, end: hole.span.start, ..hole.span };
        let header = format!("@{}", hole.column);
        if checker.files.text(before).ends_with('%') && columns.columns.contains_key(header.as_str()) {
            let place = Span { start: hole.span.start - 1, ..hole.span };
            let message = format!("a header in a path is written `{{{header}}}`, without `%`");
            let edits = vec![(place, format!("{{{header}}}"))];
            checker.report(ForeignForm::new(place, message, format!("write `{{{header}}}`"), edits));
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
        checker.report(MalformedHole { reason, span, column: declared, help, instead: None });
        return;
    }
    if let (HoleFormat::Time(pattern), Some(place)) = (&hole.format, hole.format_span)
        && let Some(PatternError { range, reason, .. }) = times::fault_in_names(pattern)
    {
        let start = place.start + range.start as u32;
        let span = Span { start, end: place.start + range.end as u32, ..place };
        let help = times::LETTERS.to_owned();
        checker.report(MalformedHole { reason, span, column: None, help, instead: None });
    }
}

/// The header that a date in a template means.
const TIMESTAMP: &str = "@timestamp";

/// Returns a warning for each date such as `%Y-%m-%d` in the text around a template's holes, which stays as it is.
fn dates(component: &Component, files: &Files, columns: &Columns) -> Vec<DateWithoutBraces> {
    let timestamp = columns.columns.get(TIMESTAMP);
    let has_time = timestamp.is_some_and(|column| column.value_type == Type::Time && !column.optional);
    let mut found = Vec::new();
    for setting in component.settings.iter() {
        let (Some(Value::Template(template)), Origin::Written(span)) = (&setting.value, setting.origin)
        else {
            continue;
        };
        let written = files.text(span);
        for part in &template.parts {
            let TemplatePart::Text(text) = part else { continue };
            found.extend(times::runs(text).into_iter().map(|run| {
                let date = text[run].to_owned();
                let at = written.find(&date).map(|start| {
                    let start = span.start + start as u32;
                    Span { start, end: start + date.len() as u32, ..span }
                });
                let fix = at.filter(|_| has_time).map(|_| format!("{{{TIMESTAMP}:{date}}}"));
                DateWithoutBraces { setting: setting.name.clone(), date, span: at.unwrap_or(span), fix }
            }));
        }
    }
    found
}
