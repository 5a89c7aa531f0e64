//! Definitions and the places of their uses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_grammar::tree::{Column, Field, Item, ItemKind, Name, Parameter, Role, Signature, Step, StepKind};
use weir_grammar::{FileId, Span, tree};

use crate::spelling::{is_snake_case, is_upper_case, to_snake_case, to_upper_case};

/// A name that a program or the library declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The kind of the named item.
    pub kind: DefinitionKind,
    /// The name, with the `@` of a header.
    pub name: Arc<str>,
    /// The place of the name. It is unique, so it identifies the definition.
    pub span: Span,
    /// The place of the complete item or entry.
    pub whole: Span,
    /// The doc comment without its comment marks; empty without a doc comment.
    pub documentation: Arc<str>,
}

/// The kind of a named item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefinitionKind {
    /// A param, whose value may come from outside of the program.
    Param,
    /// A constant.
    Let,
    /// A schema: the fields of events and their types.
    Schema,
    /// A field of a schema, or a column in a signature.
    Field,
    /// A column that a step adds to the events.
    Column,
    /// A component of the program.
    Component(Role),
    /// An interceptor: a named sequence of steps.
    Interceptor,
    /// A function.
    Function,
    /// A parameter of a function or an interceptor.
    Parameter,
    /// A local value of a step or a function.
    Local,
    /// A quality: a named set of rules.
    Quality,
    /// A flow.
    Flow,
    /// The name of an import.
    Import,
    /// A component of the library.
    Kind(Role),
    /// A parser of the library.
    Parser,
    /// An enum or a record of the library.
    Type,
    /// A variant of an enum.
    Variant,
    /// A setting of a signature.
    Setting,
    /// An item with a syntax error, whose name is known.
    Broken,
}

impl DefinitionKind {
    /// Returns whether a file declares the name, so that it is known in the whole file.
    pub fn is_of_file(self) -> bool {
        use DefinitionKind::{
            Broken, Component, Flow, Function, Import, Interceptor, Let, Param, Quality, Schema,
        };
        matches!(
            self,
            Broken | Component(_) | Flow | Function | Import | Interceptor | Let | Param | Quality | Schema
        )
    }
}

/// Returns a name in the style of its kind: `UpperCase` for schemas and types, `snake_case` for other items. `None` for a
/// name whose style is free.
pub fn styled_name(name: &str, kind: DefinitionKind) -> Option<String> {
    match kind {
        DefinitionKind::Schema | DefinitionKind::Type => {
            Some(if is_upper_case(name) { name.to_owned() } else { to_upper_case(name) })
        }
        kind if kind.is_of_file() => {
            Some(if is_snake_case(name) { name.to_owned() } else { to_snake_case(name) })
        }
        _ => None,
    }
}

/// All definitions, by the places of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Definitions {
    all: BTreeMap<Span, Definition>,
}

impl Definitions {
    /// Returns the definition whose name has this place.
    pub(crate) fn get(&self, span: Span) -> Option<&Definition> {
        self.all.get(&span)
    }

    /// Returns all definitions, in the order of the text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.all.values()
    }

    /// Returns the definitions of a kind with this name.
    pub(crate) fn named(&self, kind: DefinitionKind, name: &str) -> impl Iterator<Item = &Definition> {
        self.iter().filter(move |definition| definition.kind == kind && *definition.name == *name)
    }

    /// Adds the definition of a column that a step adds to the events.
    pub(crate) fn column(&mut self, name: &Name, step: Span) {
        self.add(DefinitionKind::Column, name, step, "");
    }

    fn add(&mut self, kind: DefinitionKind, name: &Name, whole: Span, documentation: &str) {
        let (text, documentation) = (name.text.as_ref().into(), documentation.into());
        let definition = Definition { kind, name: text, span: name.span, whole, documentation };
        self.all.entry(name.span).or_insert(definition);
    }

    /// Adds the definitions of an item: its own name and the names within the item.
    pub(crate) fn item(&mut self, item: &Item) {
        let kind = match &item.kind {
            ItemKind::Param(_) => DefinitionKind::Param,
            ItemKind::Let(_) => DefinitionKind::Let,
            ItemKind::Schema(schema) => {
                schema.fields.iter().for_each(|field| self.field(field));
                DefinitionKind::Schema
            }
            ItemKind::Component(component) => DefinitionKind::Component(component.role),
            ItemKind::Interceptor(interceptor) => {
                self.parameters(&interceptor.parameters);
                interceptor.steps.iter().for_each(|step| self.local(step));
                DefinitionKind::Interceptor
            }
            ItemKind::Function(function) => {
                self.parameters(&function.parameters);
                for item in &function.lets {
                    self.add(DefinitionKind::Local, &item.name, item.name.span.to(item.value.span), "");
                }
                DefinitionKind::Function
            }
            ItemKind::Quality(_) => DefinitionKind::Quality,
            ItemKind::Flow(flow) => {
                flow.chains.iter().for_each(|chain| self.chain(chain));
                DefinitionKind::Flow
            }
            ItemKind::Import(_) => DefinitionKind::Import,
            ItemKind::Extern(component) => {
                self.signature(&component.signature);
                DefinitionKind::Kind(component.role)
            }
            ItemKind::ExternParser(parser) => {
                self.signature(&parser.signature);
                DefinitionKind::Parser
            }
            ItemKind::ExternFunction(function) => {
                self.parameters(&function.parameters);
                DefinitionKind::Function
            }
            ItemKind::Enum(enumeration) => {
                for variant in &enumeration.variants {
                    let name = &variant.name;
                    self.add(DefinitionKind::Variant, name, name.span, &variant.documentation);
                    variant.signature.iter().for_each(|signature| self.signature(signature));
                }
                DefinitionKind::Type
            }
            ItemKind::Record(record) => {
                self.signature(&record.signature);
                DefinitionKind::Type
            }
            ItemKind::Broken(_) => DefinitionKind::Broken,
            ItemKind::Test(_) | ItemKind::Agent(_) => return,
        };
        if let Some(name) = item.kind.name() {
            self.add(kind, name, item.span, &item.documentation);
        }
    }

    fn field(&mut self, field: &Field) {
        let whole = field.name.span.to(field.type_name.span);
        self.add(DefinitionKind::Field, &field.name, whole, &field.documentation);
    }

    fn parameters(&mut self, parameters: &[Parameter]) {
        for parameter in parameters {
            let whole = parameter.types.last().map_or(parameter.name.span, |last| last.span);
            self.add(DefinitionKind::Parameter, &parameter.name, parameter.name.span.to(whole), "");
        }
    }

    fn signature(&mut self, signature: &Signature) {
        for setting in &signature.settings {
            let whole = setting.name.span.to(setting.type_name.span);
            self.add(DefinitionKind::Setting, &setting.name, whole, &setting.documentation);
        }
        let columns = signature.emits.iter().chain(&signature.needs).flatten();
        for Column { name, documentation, type_name } in columns {
            self.add(DefinitionKind::Field, name, name.span.to(type_name.span), documentation);
        }
    }

    fn local(&mut self, step: &Step) {
        if let StepKind::Let(name, _) = &step.kind {
            self.add(DefinitionKind::Local, name, step.span, "");
        }
    }

    fn chain(&mut self, chain: &tree::Chain) {
        for stage in &chain.stages {
            match stage {
                tree::Stage::Name(_) => {}
                tree::Stage::Step(step) => self.local(step),
                tree::Stage::Copy(copy) => copy.branches.iter().for_each(|branch| self.chain(&branch.chain)),
                tree::Stage::Choice(choice) => choice.cases.iter().for_each(|case| self.chain(&case.chain)),
                tree::Stage::Balance(balance) => balance.chains.iter().for_each(|chain| self.chain(chain)),
                tree::Stage::Failover(failover) => failover.chains.iter().for_each(|chain| self.chain(chain)),
            }
        }
    }
}

/// The uses of definitions. A name in an interceptor may have several definitions, because the events may have
/// different columns at each use of the interceptor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// The pairs of a use and its definition, sorted by the use.
    by_place: BTreeSet<(Span, Span)>,
    /// The pairs of a definition and its use, sorted by the definition.
    by_definition: BTreeSet<(Span, Span)>,
}

const NOWHERE: Span = Span { file: FileId(0), start: 0, end: 0 };
const EVERYWHERE: Span = Span { file: FileId(u32::MAX), start: u32::MAX, end: u32::MAX };

impl Uses {
    /// Adds a use of a definition.
    pub(crate) fn note(&mut self, at: Span, definition: Span) {
        self.by_place.insert((at, definition));
        self.by_definition.insert((definition, at));
    }

    /// Returns whether the definition has a use.
    pub(crate) fn is_used(&self, definition: Span) -> bool {
        self.of(definition).next().is_some()
    }

    /// Returns the uses of a definition, in the order of the text.
    pub(crate) fn of(&self, definition: Span) -> impl Iterator<Item = Span> {
        let pairs = self.by_definition.range((definition, NOWHERE)..=(definition, EVERYWHERE));
        pairs.map(|(_, at)| *at)
    }

    /// Returns all pairs of a use and its definition, in the order of the uses in the text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Span, Span)> {
        self.by_place.iter().copied()
    }

    /// Returns the uses at a position, each with its definition. A position at the end of a name belongs to the name.
    pub(crate) fn at(&self, file: FileId, position: u32) -> impl Iterator<Item = (Span, Span)> {
        let end = Span { file, start: position, end: u32::MAX };
        let start = Span { file, start: 0, end: 0 };
        let pairs = self.by_place.range((start, NOWHERE)..=(end, EVERYWHERE)).copied();
        pairs.filter(move |(at, _)| position <= at.end)
    }
}
