//! Names of the program and the library.

use weir_grammar::tree::{Expression, ExpressionKind, Item, ItemKind, Name, Node, Role};

use crate::analysis::graph::Component;
use crate::completion::candidate::{Candidate, CandidateKind, Part};
use crate::completion::context::At;
use crate::flows::promises::PROMISES;
use crate::names::definitions::{Definition, DefinitionKind};
use crate::signatures::{FunctionSignature, Group, Library};
use crate::types::{BUILT_IN, Type};
use crate::values::literals::number_type;

/// The types of events' fields, the frequent ones first.
const FREQUENT_TYPES: [&str; 12] =
    ["Text", "Int", "Time", "Duration", "Float", "Bool", "Bytes", "Ip", "Json", "Size", "Address", "Url"];

impl At<'_> {
    /// Returns the names of the file, or of the imported file with this name.
    fn visible(&self, qualifier: Option<&Name>) -> Vec<&Definition> {
        self.analysis.visible_names(self.file, qualifier.map(|name| &*name.text))
    }

    /// Returns candidates for the names of some kinds, the unused ones first.
    pub(super) fn named(
        &self,
        qualifier: Option<&Name>,
        kind_of: impl Fn(DefinitionKind) -> Option<CandidateKind>,
    ) -> Vec<Candidate> {
        let visible = self.visible(qualifier).into_iter().filter(|definition| !self.is_made_here(definition));
        let found = visible.filter_map(|definition| {
            Some((
                self.analysis.references(definition).next().is_some(),
                definition,
                kind_of(definition.kind)?,
            ))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(is_used, ..)| *is_used);
        found.into_iter().map(|(_, definition, kind)| self.candidate(definition, kind)).collect()
    }

    /// Returns whether the mark is in the item that makes a definition: nothing is made of itself.
    fn is_made_here(&self, definition: &Definition) -> bool {
        let is_made = !matches!(definition.kind, DefinitionKind::Component(_) | DefinitionKind::Import);
        let mut items = self.tree.items.iter();
        is_made
            && items.any(|item| {
                let here = item.span.start <= self.position && self.position <= item.span.end;
                here && item.kind.name().is_some_and(|name| name.span == definition.span)
            })
    }

    pub(super) fn candidate(&self, definition: &Definition, kind: CandidateKind) -> Candidate {
        let whole = self.analysis.files.text(definition.whole);
        let line = whole.lines().next().unwrap_or_default().trim_end_matches([' ', '{']);
        let candidate =
            Candidate::new(&*definition.name, kind).detail(line).documented(&definition.documentation);
        match kind {
            CandidateKind::Function | CandidateKind::Interceptor => {
                let parts = self.analysis.parameters_of(definition);
                candidate.parts(parts.into_iter().map(|(name, type_name)| Part { name, type_name }))
            }
            _ => candidate,
        }
    }

    /// Returns the names of imports, unless there is a qualifier already.
    fn imports(&self, qualifier: Option<&Name>) -> Vec<Candidate> {
        match qualifier {
            Some(_) => Vec::new(),
            None => {
                self.named(None, |kind| (kind == DefinitionKind::Import).then_some(CandidateKind::Import))
            }
        }
    }

    /// Returns the kinds of components of a role; those that the program has already come first.
    pub(super) fn kinds(&self, role: Role) -> Vec<Candidate> {
        let mut kinds = self.library.kinds(role);
        let count = |name: &str| {
            let has =
                |component: &&Component| component.declared.role == role && component.kind() == Some(name);
            self.analysis.graph.components.iter().filter(has).count()
        };
        kinds.sort_by_cached_key(|kind| std::cmp::Reverse(count(&kind.name)));
        kinds
    }

    /// Returns what may be a stage of a chain.
    pub(super) fn stages(&self, qualifier: Option<&Name>, first: bool) -> Vec<Candidate> {
        let roles: &[Role] =
            if first { &[Role::Source, Role::Channel] } else { &[Role::Channel, Role::Sink] };
        let mut found = self.named(qualifier, |kind| match kind {
            DefinitionKind::Component(role) if roles.contains(&role) => Some(CandidateKind::Component(role)),
            _ => None,
        });
        if first && qualifier.is_none() {
            found.push(Candidate::new("rejects", CandidateKind::Keyword));
        }
        if !first {
            found.extend(self.interceptors(qualifier));
        }
        found.extend(self.imports(qualifier));
        found
    }

    /// Returns the interceptors of the program and the library.
    pub(super) fn interceptors(&self, qualifier: Option<&Name>) -> Vec<Candidate> {
        let mut found = self.named(qualifier, |kind| {
            (kind == DefinitionKind::Interceptor).then_some(CandidateKind::Interceptor)
        });
        if qualifier.is_none() {
            let mut library: Vec<_> = self.library.interceptors.values().collect();
            library.sort_by(|one, other| one.name.text.cmp(&other.name.text));
            let library = library.into_iter().filter_map(|item| {
                let definition = self.library.definitions.get(item.name.span)?;
                Some(self.library.with_foreign_names(self.candidate(definition, CandidateKind::Interceptor)))
            });
            found.extend(library);
            found.extend(self.imports(qualifier));
        }
        found
    }

    pub(super) fn parsers(&self) -> Vec<Candidate> {
        let mut parsers: Vec<_> = self.library.parsers.values().collect();
        parsers.sort_by(|one, other| one.name.text.cmp(&other.name.text));
        let parsers = parsers.into_iter().map(|parser| {
            let candidate =
                Candidate::new(&*parser.name.text, CandidateKind::Parser).parts(required(&parser.group));
            self.library.with_foreign_names(match self.library.definitions.get(parser.name.span) {
                Some(definition) => candidate.documented(&definition.documentation),
                None => candidate,
            })
        });
        parsers.collect()
    }

    pub(super) fn schemas(&self, qualifier: Option<&Name>) -> Vec<Candidate> {
        let schemas =
            self.named(qualifier, |kind| (kind == DefinitionKind::Schema).then_some(CandidateKind::Schema));
        schemas.into_iter().chain(self.imports(qualifier)).collect()
    }

    pub(super) fn qualities(&self, qualifier: Option<&Name>) -> Vec<Candidate> {
        let qualities =
            self.named(qualifier, |kind| (kind == DefinitionKind::Quality).then_some(CandidateKind::Quality));
        qualities.into_iter().chain(self.imports(qualifier)).collect()
    }

    /// Returns the types that may stand in an item.
    pub(super) fn types(&self, qualifier: Option<&Name>, item: &Item) -> Vec<Candidate> {
        let mut found = Vec::new();
        let of_events = matches!(item.kind, ItemKind::Schema(_) | ItemKind::Function(_));
        if qualifier.is_none() {
            let mut built_in: Vec<&(&str, Type)> = BUILT_IN.iter().collect();
            // Groups are numbers or names in patterns, which only signatures of the library have.
            built_in.retain(|(_, value_type)| {
                *value_type != Type::Group && !(of_events && value_type.is_setting_only())
            });
            let likely = self.likely_types();
            built_in.sort_by_key(|(name, value_type)| {
                let frequent = FREQUENT_TYPES.iter().position(|frequent| frequent == name).unwrap_or(99);
                (!likely.contains(value_type), frequent)
            });
            found.extend(built_in.iter().map(|(name, _)| Candidate::new(*name, CandidateKind::Type)));
        }
        let position = found.len().min(5);
        found.splice(position..position, self.schemas(qualifier));
        if qualifier.is_none() {
            let after = found.len().min(8);
            let part = |name: &str| Part { name: name.to_owned(), type_name: String::new() };
            let decimal = Candidate::new("Decimal", CandidateKind::Type)
                .detail("Decimal(digits, scale)")
                .parts(["digits", "scale"].map(part));
            let map = Candidate::new("Map", CandidateKind::Type).detail("Map<Text>").parts([part("Text")]);
            let sized = [decimal, map];
            found.splice(after..after, sized);
        }
        if matches!(item.kind, ItemKind::Param(_)) {
            let mut named: Vec<&str> = self.library.types.keys().map(|name| &**name).collect();
            named.sort_unstable();
            found.extend(named.into_iter().map(|name| Candidate::new(name, CandidateKind::Type)));
        }
        found
    }

    /// Returns the types that fit what follows the type: a default, a range, a unit or a format.
    fn likely_types(&self) -> Vec<Type> {
        let default = |default: &Expression| match &default.kind {
            ExpressionKind::Number(number) => vec![number_type(*number)],
            ExpressionKind::Bool(_) => vec![Type::Bool],
            ExpressionKind::Text(_) => vec![Type::Text],
            _ => Vec::new(),
        };
        let nodes = self.nodes();
        let found = nodes.iter().rev().find_map(|node| match node {
            Node::Field(field) => Some(match (&field.unit, &field.pattern, &field.range) {
                (Some(_), ..) => vec![Type::Duration],
                (_, Some(_), _) => vec![Type::Time],
                (.., Some(_)) => vec![Type::Int],
                _ => Vec::new(),
            }),
            Node::Setting(setting) => setting.default.as_ref().map(default),
            Node::Parameter(parameter) => parameter.default.as_ref().map(default),
            _ => None,
        });
        found.unwrap_or_default()
    }

    pub(super) fn promises(&self) -> Vec<Candidate> {
        let words = ["at_least_once", "exactly_once", "ordered", "best_effort", "at_most_once", "totally"];
        let words = words.into_iter().filter(|word| PROMISES.contains(word) || *word == "totally");
        words.map(|word| Candidate::new(word, CandidateKind::Keyword)).collect()
    }

    pub(super) fn test_components(&self, reads: bool) -> Vec<Candidate> {
        let mut found = self.named(None, |kind| match kind {
            DefinitionKind::Component(role) => Some(CandidateKind::Component(role)),
            _ => None,
        });
        let wanted = if reads { Role::Sink } else { Role::Source };
        found.sort_by_key(|candidate| candidate.kind != CandidateKind::Component(wanted));
        if reads {
            found.push(Candidate::new("rejects", CandidateKind::Keyword));
        }
        found
    }

    pub(super) fn secrets(&self) -> Vec<Candidate> {
        ["env", "file"].map(|name| Candidate::new(name, CandidateKind::Function)).to_vec()
    }

    /// Returns a candidate for a function of the library.
    pub(super) fn function(&self, signature: &FunctionSignature) -> Candidate {
        let parts = signature.parameters.iter().filter(|parameter| parameter.default.is_none());
        let parts = parts
            .map(|parameter| Part { name: parameter.name.to_string(), type_name: parameter.type_names() });
        let candidate =
            Candidate::new(&*signature.name, CandidateKind::Function).detail(signature.usage()).parts(parts);
        self.library.with_foreign_names(match self.library.definitions.get(signature.declared) {
            Some(definition) => candidate.documented(&definition.documentation),
            None => candidate,
        })
    }
}

impl Library {
    /// Returns the kinds of components of a role, sorted by name.
    pub fn kinds(&self, role: Role) -> Vec<Candidate> {
        let signatures = self.components.iter().filter(|((of, _), _)| *of == role);
        let mut signatures: Vec<_> = signatures.map(|(_, signature)| signature).collect();
        signatures.sort_by(|one, other| one.name.text.cmp(&other.name.text));
        let kinds = signatures.into_iter().map(|signature| {
            let candidate = Candidate::new(&*signature.name.text, CandidateKind::Kind(role))
                .detail(signature.class.name())
                .parts(required(&signature.group));
            self.with_foreign_names(match self.definitions.get(signature.name.span) {
                Some(definition) => candidate.documented(&definition.documentation),
                None => candidate,
            })
        });
        kinds.collect()
    }

    /// Returns the delivery class of a kind.
    pub fn class(&self, role: Role, kind: &str) -> Option<&'static str> {
        self.signature(role, kind).map(|signature| signature.class.name())
    }

    /// Adds the names that other tools have for a name of the library.
    pub(super) fn with_foreign_names(&self, candidate: Candidate) -> Candidate {
        let foreign = self.known_as.iter();
        let foreign = foreign.filter(|(_, names)| names.iter().any(|name| **name == *candidate.name));
        let mut known_as: Vec<String> = foreign.map(|(foreign, _)| foreign.clone()).collect();
        known_as.sort_unstable();
        Candidate { known_as, ..candidate }
    }
}

/// Returns the settings of a group that have to be given.
pub(super) fn required(group: &Group) -> Vec<Part> {
    let needed = group.settings.iter().filter(|setting| setting.default.is_none() && !setting.optional);
    let parts = needed.map(|setting| Part {
        name: setting.name.text.to_string(),
        type_name: setting.value_type.to_string(),
    });
    parts.collect()
}
