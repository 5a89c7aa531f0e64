//! What sinks need of the events that come to them: columns, headers and what fills the holes of text.

use std::sync::Arc;

use weir_plan::HoleFormat;

use super::Lowering;
use crate::checker::OpenHole;
use crate::diagnostics::{HoleNotAllowed, MalformedHole, OptionalHole, UnmetNeed};
use crate::expressions::no_such_column;
use crate::flows::components::CheckedComponent;
use crate::names::scopes::ComponentIndex;
use crate::signatures::ColumnSignature;
use crate::spelling::role_in_words;
use crate::types::Type;
use crate::types::columns::Columns;

impl<'c> Lowering<'_, 'c> {
    /// The columns of the events that come to a sink, which must have what it needs.
    pub(super) fn sink(
        &mut self,
        index: ComponentIndex,
        component: &CheckedComponent<'c>,
    ) -> Option<Arc<Columns>> {
        let span = self.arrivals[index].first().map_or(component.declared.span, |arrival| arrival.span);
        let columns = self.merged(index)?;
        for need in self.needs(component) {
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
        for hole in &component.holes {
            self.hole(hole, &columns);
        }
        for (header, span) in &component.headers {
            if columns.lacks(header) {
                self.checker.report(no_such_column(header.clone(), *span, &columns));
            }
        }
        Some(columns)
    }

    /// What a sink needs: always, and because of the variants that it is set to.
    fn needs(&self, component: &CheckedComponent<'c>) -> Vec<&'c ColumnSignature> {
        let always = component.signature.iter().flat_map(|signature| &signature.needs);
        let chosen = component.chosen_variants(self.checker.library).flat_map(|(variant, _)| &variant.needs);
        always.chain(chosen).collect()
    }

    fn hole(&mut self, hole: &OpenHole, columns: &Columns) {
        let column = columns.columns.get(hole.column.as_str()).cloned();
        let Some(column) = column.or_else(|| columns.part(&hole.column)) else {
            if !columns.lacks(&hole.column) {
                return;
            }
            let missing = no_such_column(hole.column.clone(), hole.name_span, columns);
            self.checker.report(missing);
            return;
        };
        if column.optional {
            let type_name = column.value_type.named(true);
            let (column, origin) = (hole.column.clone(), column.why_optional());
            self.checker.diagnostics.push(OptionalHole { column, type_name, span: hole.span, origin }.into());
            return;
        }
        let (reason, help) = match (&hole.format, &column.value_type) {
            (HoleFormat::Plain, Type::Schema(_)) => {
                ("has no form as text", "name one of its fields: `{field.part}`")
            }
            (HoleFormat::Plain, Type::List(_) | Type::Map(_) | Type::Bool) => {
                ("has no form as text", "leave the hole out")
            }
            (HoleFormat::Plain, _)
            | (HoleFormat::Time(_), Type::Time)
            | (HoleFormat::Padded(_), Type::Int) => return,
            (HoleFormat::Time(_), _) => ("is not a Time", "only times are written with `%`"),
            (HoleFormat::Padded(_), Type::Time) => ("is a Time", "times are written as `:%Y-%m-%d`"),
            (HoleFormat::Padded(_), _) => ("is not an Int", "only whole numbers are padded"),
        };
        let reason = format!("this format does not fit `{}`: it {reason}", hole.column);
        let span = hole.format_span.unwrap_or(hole.span);
        let declared = Some((format!("it is {}", column.value_type), column.declared));
        let help = help.to_owned();
        self.checker.diagnostics.push(MalformedHole { reason, span, column: declared, help }.into());
    }

    pub(super) fn holes_without_events(&mut self, component: &CheckedComponent<'c>) {
        for hole in &component.holes {
            let expected = format!(
                "setting of {} `{}`",
                role_in_words(component.declared.role),
                component.declared.name
            );
            self.checker.diagnostics.push(HoleNotAllowed { span: hole.span, expected }.into());
        }
    }
}
