//! Checks what a sink is expected to write: the parts that its templates make of an event, and the text of the event.

use std::collections::BTreeMap;

use weir_grammar::tree::{Entry, Expression, ExpressionKind, Name};
use weir_plan::BODY;

use super::ProgramTests;
use super::typed::Fields;
use crate::analysis::program_tests::{EventContent, TestEvent};
use crate::diagnostics::{DuplicateEntry, Misplaced, UnknownName, WrongType, listed};
use crate::names::scopes::ComponentIndex;
use crate::spelling::nearest;
use crate::types::Type;

impl ProgramTests<'_, '_> {
    /// Checks the events that a sink is expected to write.
    pub(super) fn writes(&mut self, sink: ComponentIndex, events: &Expression) -> Option<Vec<TestEvent>> {
        let ExpressionKind::List(events) = &events.kind else { return None };
        let parts = self.parts(sink);
        let events: Vec<_> = events.iter().map(|event| self.written(event, &parts)).collect();
        events.into_iter().collect()
    }

    /// Returns the parts of what a sink writes, with their types: each setting that is a template or a list of headers, and
    /// the body.
    fn parts(&self, sink: ComponentIndex) -> BTreeMap<String, (Type, bool)> {
        let signature = self.components.get(sink).and_then(|component| component.signature.as_ref());
        let settings = signature.into_iter().flat_map(|signature| &signature.group.settings);
        let parts = settings.filter_map(|setting| {
            let value_type = match &setting.value_type {
                Type::Template => Type::Text,
                Type::List(item) if **item == Type::Header => Type::Map(Box::new(Type::Text)),
                _ => return None,
            };
            Some((setting.name.text.to_string(), (value_type, setting.optional)))
        });
        parts.chain([(BODY.to_owned(), (Type::Text, true))]).collect()
    }

    /// Reports a part that no template of the sink makes: with a similar one, or else with all of them.
    fn report_unknown_part(&mut self, part: &Name, parts: &BTreeMap<String, (Type, bool)>) {
        let (name, span) = (part.text.to_string(), part.span);
        if let Some(near) = nearest(&name, parts.keys().map(String::as_str)).map(str::to_owned) {
            let (near, wanted) = (Some(near), "written part");
            self.checker.report(UnknownName { name, wanted, near, quote: false, span });
            return;
        }
        let known = listed(parts.keys().map(String::as_str), "and");
        let (name, role) = (format!("`{name}`"), "no part of what the sink writes");
        let rule = format!("the sink writes {known}");
        self.checker.report(Misplaced { name, role, rule, span, declared: None });
    }

    fn written(&mut self, event: &Expression, parts: &BTreeMap<String, (Type, bool)>) -> Option<TestEvent> {
        let ExpressionKind::Record(block) = &event.kind else {
            return match &event.kind {
                ExpressionKind::Text(_) | ExpressionKind::Variant(..) => self.event(event, None),
                ExpressionKind::Broken => None,
                _ => {
                    let expected = "written event: text, `json { … }`, or `{ … }` with its parts".to_owned();
                    let found = crate::values::literals::found(event);
                    self.checker.report(WrongType::new(expected, found, event.span));
                    None
                }
            };
        };
        let mut columns = BTreeMap::new();
        let mut whole = !block.broken;
        for (index, Entry { name, value }) in block.entries.iter().enumerate() {
            let Some((value_type, optional)) = parts.get(&*name.text) else {
                self.report_unknown_part(name, parts);
                whole = false;
                continue;
            };
            let first = block.entries[..index].iter().find(|entry| entry.name.text == name.text);
            if let Some(first) = first {
                let (name, first, second) = (name.text.to_string(), first.name.span, name.span);
                self.checker.report(DuplicateEntry { name, first, second });
            }
            let value = match (&value.kind, &*name.text) {
                (ExpressionKind::Variant(variant, block), BODY) if &*variant.text == "json" => {
                    self.document_of(block)
                }
                _ => self.typed(value, value_type, *optional, Fields::Any),
            };
            match value {
                Some(value) => drop(columns.insert(name.text.to_string(), value)),
                None => whole = false,
            }
        }
        let content = EventContent::Columns(columns);
        whole.then_some(TestEvent { span: event.span, content })
    }
}
