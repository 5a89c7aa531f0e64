//! The names of settings that a block does not have yet.

use weir_grammar::Span;
use weir_grammar::tree::{Block, ItemKind, Node, Role};

use crate::completion::candidate::{Candidate, CandidateKind};
use crate::completion::context::At;
use crate::completion::context::MARK;
use crate::signatures::{Group, Library, Named};
use crate::types::Type;
use crate::values::expectations::EXPECT;

impl Library {
    /// Returns the group whose first setting has this span.
    pub(crate) fn group_of(&self, first: Span) -> Option<&Group> {
        let is_it = |group: &&Group| group.settings.first().is_some_and(|setting| setting.name.span == first);
        self.groups().into_iter().find(is_it)
    }

    /// Returns the groups of all components, parsers and types.
    pub(super) fn groups(&self) -> Vec<&Group> {
        let components = self.components.values().map(|component| &component.group);
        let parsers = self.parsers.values().map(|parser| &parser.group);
        let types = self.types.values().flat_map(|named| match named {
            Named::Record(group) => vec![group],
            Named::Enum(variants) => variants.iter().filter_map(|variant| variant.group.as_ref()).collect(),
        });
        components.chain(parsers).chain(types).collect()
    }
}

impl At<'_> {
    /// Returns the settings that a block may have, without those that it has; required ones first.
    pub(super) fn settings(&self, block: &Block) -> Vec<Candidate> {
        let given = |name: &str| block.entries.iter().any(|entry| &*entry.name.text == name && name != MARK);
        if let Some(group) =
            self.analysis.notes.blocks.get(&block.span).and_then(|first| self.library.group_of(*first))
        {
            let mut found = self.of_group(group, &given);
            if self.is_of(Role::Sink, block) && !given("quality") {
                found.push(Candidate::new("quality", CandidateKind::Setting { required: false }));
            }
            if self.is_of(Role::Source, block) && !given(EXPECT) {
                found.push(Candidate::new(EXPECT, CandidateKind::Setting { required: false }));
            }
            return found;
        }
        // The records of a test are events.
        let schemas = self.nodes().iter().any(|node| matches!(node, Node::Act(_)));
        if schemas { self.event_fields(&given) } else { Vec::new() }
    }

    fn of_group(&self, group: &Group, given: &dyn Fn(&str) -> bool) -> Vec<Candidate> {
        let mut left: Vec<_> = group.settings.iter().filter(|setting| !given(&setting.name.text)).collect();
        left.sort_by_key(|setting| setting.default.is_some() || setting.optional);
        let left = left.into_iter().map(|setting| {
            let required = setting.default.is_none() && !setting.optional;
            let type_name = setting.value_type.named(setting.optional);
            let detail = match &setting.default {
                Some(default) => format!("{type_name} = {}", self.analysis.files.text(default.span)),
                None => type_name,
            };
            let candidate =
                Candidate::new(&*setting.name.text, CandidateKind::Setting { required }).detail(detail);
            self.library.with_foreign_names(match self.library.definitions.get(setting.name.span) {
                Some(definition) => candidate.documented(&definition.documentation),
                None => candidate,
            })
        });
        left.collect()
    }

    fn is_of(&self, role: Role, block: &Block) -> bool {
        let items = self.tree.items.iter();
        let mut components = items.filter_map(|item| match &item.kind {
            ItemKind::Component(component) => Some(component),
            _ => None,
        });
        components.any(|component| component.role == role && component.settings.span == block.span)
    }

    /// Returns the fields of all events that the program has.
    fn event_fields(&self, given: &dyn Fn(&str) -> bool) -> Vec<Candidate> {
        let mut seen: Vec<(String, Type)> = Vec::new();
        let components = self.analysis.graph.components.iter().rev();
        for columns in components.filter_map(|component| component.events.as_ref()) {
            for (name, column) in &columns.columns {
                if !given(name) && !seen.iter().any(|(known, _)| **known == **name) {
                    seen.push((name.to_string(), column.value_type.clone()));
                }
            }
        }
        seen.sort_by_key(|(name, _)| name.starts_with('@'));
        let found = seen.into_iter().map(|(name, value_type)| {
            Candidate::new(name, CandidateKind::Setting { required: false }).detail(value_type.to_string())
        });
        found.collect()
    }
}
