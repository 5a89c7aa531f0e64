//! Types text with holes: `"{user}:{id:06}"`. A hole is a path, so an expression is computed by a step before.

use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind, Hole, Name, Text, TextPart};
use weir_plan::{FilledPart, HoleFormat, Operation, Value};

use super::{Merged, Typed, Typer, constant};
use crate::diagnostics::{HoleStep, MalformedHole, OptionalHole};
use crate::types::Type;
use crate::types::columns::Column;
use crate::values::templates::{Misfit, misfit};

impl Typer<'_, '_> {
    /// Types text with holes, of the type `wanted`: `Text` or `Bytes`. A text whose holes are all constant is a constant.
    pub(super) fn filled(&mut self, text: &Text, wanted: &Type, span: Span) -> Option<Typed> {
        let mut parts = Vec::new();
        let mut merged = Merged::default();
        let mut whole = true;
        for part in &text.parts {
            match part {
                TextPart::Literal(literal) => push_text(&mut parts, literal),
                TextPart::Hole(hole) => match self.hole(hole, &mut parts) {
                    Some(typed) => merged.add(&typed),
                    None => whole = false,
                },
            }
        }
        if !whole {
            return None;
        }
        match parts.as_mut_slice() {
            [] => Some(constant(Value::Text(String::new()), wanted.clone(), span)),
            [FilledPart::Text(text)] => {
                Some(constant(Value::Text(std::mem::take(text)), wanted.clone(), span))
            }
            _ => Some(merged.typed(Operation::Filled(parts), wanted.clone(), false, span)),
        }
    }

    /// Types a hole and adds its parts.
    fn hole(&mut self, hole: &Hole, parts: &mut Vec<FilledPart>) -> Option<Typed> {
        let format = self.checker.hole_format(hole);
        let typed = self.typed(&path(&hole.name), None)?;
        let typed = self.filling(hole, typed)?;
        let format = format?;
        match (&typed.planned.operation, &format) {
            (Operation::Literal(Value::Text(text)), HoleFormat::Plain) => push_text(parts, text),
            (Operation::Literal(Value::Int(number)), HoleFormat::Plain) => {
                push_text(parts, &number.to_string());
            }
            (Operation::Literal(Value::Decimal(number)), HoleFormat::Plain) => {
                push_text(parts, &number.to_string());
            }
            (Operation::Literal(Value::Int(number)), HoleFormat::Padded(digits)) => {
                push_text(parts, &format!("{number:0width$}", width = usize::from(*digits)));
            }
            (Operation::Literal(value), _) => {
                let what = value.to_string();
                return self.checker.unfit_hole(hole, &what);
            }
            // A `let` of text with holes.
            (Operation::Filled(inner), HoleFormat::Plain) => {
                for part in inner {
                    match part {
                        FilledPart::Text(text) => push_text(parts, text),
                        value => parts.push(value.clone()),
                    }
                }
            }
            _ => {
                if let Some(misfit) = misfit(&format, &typed.value_type, true) {
                    return self.misfitting(hole, &typed, misfit);
                }
                parts.push(FilledPart::Value { value: typed.planned.clone(), format });
            }
        }
        Some(typed)
    }

    /// Checks that a hole's value is never null.
    fn filling(&mut self, hole: &Hole, typed: Typed) -> Option<Typed> {
        if !typed.optional {
            return Some(typed);
        }
        let column = typed.place.as_deref().and_then(|place| self.columns?.columns.get(place));
        let origin = column.and_then(Column::why_optional);
        self.checker.report(OptionalHole {
            column: hole.name.text.to_string(),
            type_name: typed.value_type.named(true),
            // A step before tells nothing about a param.
            unknown: column.iter().map(|_| hole.name.text.to_string()).collect(),
            step: HoleStep::Let,
            span: hole.span,
            origin,
        });
        None
    }

    fn misfitting<T>(&mut self, hole: &Hole, typed: &Typed, misfit: Misfit<'_>) -> Option<T> {
        let (reason, help) = misfit.in_words(&hole.name.text, HoleStep::Let);
        let span = hole.format.as_ref().map_or(hole.span, |format| format.span);
        let column = self.declared(typed);
        self.checker.report(MalformedHole { reason, span, column, help, instead: None });
        None
    }
}

/// Returns the expression that a hole's path means: a header, a name, or a field of one.
fn path(name: &Name) -> Expression {
    let mut start = name.span.start;
    let mut found: Option<Expression> = None;
    for part in name.text.split('.') {
        let span = Span { start, end: start + part.len() as u32, ..name.span };
        start = span.end + 1;
        found = Some(match found {
            None => {
                let kind = match part.strip_prefix('@') {
                    Some(header) => ExpressionKind::Header(header.into()),
                    None => ExpressionKind::Name(part.into()),
                };
                Expression { span, kind }
            }
            Some(inner) => {
                let whole = Span { start: name.span.start, ..span };
                let kind = ExpressionKind::Member(Box::new(inner), Name { text: part.into(), span });
                Expression { span: whole, kind }
            }
        });
    }
    found.unwrap_or(Expression { span: name.span, kind: ExpressionKind::Broken })
}

fn push_text(parts: &mut Vec<FilledPart>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(FilledPart::Text(last)) => last.push_str(text),
        _ => parts.push(FilledPart::Text(text.to_owned())),
    }
}
