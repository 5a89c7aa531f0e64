//! Checks the events of tests, and turns them into values.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::tree::{Block, Entry, Expression, ExpressionKind, TextPart};
use weir_plan::{BODY, Value};

use super::ProgramTests;
use super::typed::Fields;
use crate::analysis::program_tests::{EventContent, TestEvent};
use crate::diagnostics::{HoleNotAllowed, WrongType};
use crate::expressions::no_such_column;
use crate::types::columns::{Column, Columns};

impl ProgramTests<'_, '_> {
    /// Checks a list of events with these columns; without columns, nothing is known of them.
    pub(super) fn events(
        &mut self,
        events: &Expression,
        columns: Option<&Arc<Columns>>,
    ) -> Option<Vec<TestEvent>> {
        let ExpressionKind::List(events) = &events.kind else { return None };
        let events: Vec<_> = events.iter().map(|event| self.event(event, columns)).collect();
        events.into_iter().collect()
    }

    /// Checks lines that a source makes events of: texts.
    pub(super) fn lines(&mut self, lines: &Expression) -> Option<Vec<TestEvent>> {
        let ExpressionKind::List(items) = &lines.kind else { return None };
        for line in
            items.iter().filter(|line| !matches!(line.kind, ExpressionKind::Text(_) | ExpressionKind::Broken))
        {
            let found = crate::values::literals::found(line);
            self.checker.report(WrongType::new("line in quotes".to_owned(), found, line.span));
        }
        let are_texts = items.iter().all(|line| matches!(line.kind, ExpressionKind::Text(_)));
        if are_texts { self.events(lines, None) } else { None }
    }

    pub(super) fn event(&mut self, event: &Expression, columns: Option<&Arc<Columns>>) -> Option<TestEvent> {
        let content = match &event.kind {
            ExpressionKind::Text(text) => {
                if let Some(TextPart::Hole(hole)) =
                    text.parts.iter().find(|part| matches!(part, TextPart::Hole(_)))
                {
                    let expected = "event of a test".to_owned();
                    self.checker.report(HoleNotAllowed { span: hole.span, expected });
                    return None;
                }
                let parts = text.parts.iter().map(|part| match part {
                    TextPart::Literal(literal) => literal.to_string(),
                    TextPart::Hole(_) => String::new(),
                });
                EventContent::Body(parts.collect())
            }
            // The body is a document. Its fields are not checked, because the program decides how to parse the body.
            ExpressionKind::Variant(name, block) if &*name.text == "json" => {
                EventContent::Json(self.document_of(block)?)
            }
            ExpressionKind::Record(block) => EventContent::Columns(self.fields(block, columns)?),
            ExpressionKind::Broken => return None,
            _ => {
                let expected = "event: text, `{ … }` or `json { … }`".to_owned();
                let (found, span) = (crate::values::literals::found(event), event.span);
                self.checker.report(WrongType::new(expected, found, span));
                return None;
            }
        };
        Some(TestEvent { span: event.span, content })
    }

    fn fields(&mut self, block: &Block, columns: Option<&Arc<Columns>>) -> Option<BTreeMap<String, Value>> {
        let columns = columns.cloned()?;
        let mut fields = BTreeMap::new();
        let mut whole = !block.broken;
        for Entry { name, value } in &block.entries {
            let Some(column) = columns.columns.get(&*name.text) else {
                if columns.lacks(&name.text) {
                    self.checker.report(no_such_column(name.text.to_string(), name.span, &columns));
                }
                whole = false;
                continue;
            };
            column.named.iter().for_each(|named| self.checker.notes.uses.note(name.span, *named));
            let value = match &value.kind {
                // As for a whole event, the body is a document whose fields are not checked.
                ExpressionKind::Variant(variant, block)
                    if &*variant.text == "json" && &*name.text == BODY =>
                {
                    self.document_of(block)
                }
                _ => self.value_of(value, column),
            };
            match value {
                Some(value) => drop(fields.insert(name.text.to_string(), value)),
                None => whole = false,
            }
        }
        whole.then_some(fields)
    }

    /// Checks the value of a column in a test.
    pub(super) fn value_of(&mut self, value: &Expression, column: &Column) -> Option<Value> {
        self.typed(value, &column.value_type, column.optional, Fields::Any)
    }

    /// Computes a value whose type nothing requires: records and lists of constants.
    pub(super) fn document(&mut self, value: &Expression) -> Option<Value> {
        match &value.kind {
            ExpressionKind::Record(block) => self.document_of(block),
            ExpressionKind::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.document(item)).collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(Value::List)
            }
            ExpressionKind::Paren(inner) => self.document(inner),
            ExpressionKind::Null => Some(Value::Null),
            _ => self.checker.fold(value).map(|constant| constant.value),
        }
    }

    pub(super) fn document_of(&mut self, block: &Block) -> Option<Value> {
        let entries: Vec<_> = block
            .entries
            .iter()
            .map(|entry| Some((entry.name.text.to_string(), self.document(&entry.value)?)))
            .collect();
        let entries = entries.into_iter().collect::<Option<BTreeMap<_, _>>>()?;
        (!block.broken).then_some(Value::Record(entries))
    }
}
