//! The result of checking a program: an owned value that knows everything the compiler knows.

pub(crate) mod events;
pub(crate) mod expressions;
pub(crate) mod graph;
pub(crate) mod notes;
pub(crate) mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::{FileId, Span};
use weir_plan::Function;

use crate::analysis::notes::Notes;
use crate::diagnostics::{Diagnostic, Severity};
use crate::files::modules::Module;
use crate::files::sources::Files;
use crate::names::definitions::Definitions;

pub use crate::analysis::events::Events;
pub use crate::analysis::expressions::{ExpressionType, Use, UseId};
pub use crate::analysis::graph::{
    Arrival, Case, Component, Declared, Destination, Edge, Flow, Graph, Leg, Promised, Step,
};
pub use crate::analysis::settings::{Origin, Setting, Settings};
pub use crate::names::definitions::{Definition, DefinitionKind};
pub use crate::names::scopes::ComponentIndex;
pub use crate::types::columns::{Column, Columns};
pub use crate::types::{FieldFormat, FieldType, SchemaType, Type};

/// What the compiler knows of a program, right or wrong. Unknown parts are marked as unknown, and for each of them
/// something has been reported.
///
/// Positions are bytes in the text of a file. A name is identified by the place where it is declared. Text that is
/// checked wherever it is used (the steps of an interceptor, the rules of a quality) is known by its place *and* its
/// [use](UseId).
#[derive(Debug, Default)]
pub struct Analysis {
    /// The program's name: its file's name without `.flow`.
    pub program: String,
    /// The files that places lie in: the library's, the program's, and one for each value from outside.
    pub files: Files,
    /// Everything that is wrong, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The files of the program as trees, the entry first.
    pub(crate) modules: Vec<Module>,
    /// The components, flows and the ways of the events.
    pub graph: Graph,
    /// The settings of `agent { … }`; none without.
    pub agent: Option<Settings>,
    /// The params by the places of their names.
    pub params: BTreeMap<Span, Setting>,
    /// The functions of the program as the plan has them; none where one is wrong.
    pub(crate) functions: Vec<Option<Function>>,
    pub(crate) notes: Notes,
    /// The definitions of the library.
    pub(crate) library: Arc<Definitions>,
}

impl Analysis {
    /// Whether there are errors.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error)
    }

    /// The syntax tree of a file of the program.
    pub fn tree(&self, file: FileId) -> Option<&weir_grammar::tree::File> {
        self.modules.iter().find(|module| module.file == file).map(|module| &module.tree)
    }

    /// The definitions of the program, in the order of the text.
    pub fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.notes.definitions.iter()
    }

    /// The definition of the program or the library whose name has this place.
    pub fn definition(&self, name: Span) -> Option<&Definition> {
        self.notes.definitions.get(name).or_else(|| self.library.get(name))
    }

    /// The definitions of the name at a position: of a name that is used there, or that is declared there. Several if
    /// the name is one of an interceptor whose uses give it different meanings.
    pub fn definitions_at(&self, file: FileId, position: u32) -> Vec<&Definition> {
        let used = self.notes.uses.at(file, position).filter_map(|(_, of)| self.definition(of));
        let mut found: Vec<&Definition> = used.collect();
        let declared = self.notes.definitions.iter().chain(self.library.iter());
        let is_here = |span: Span| span.file == file && span.start <= position && position <= span.end;
        found.extend(declared.filter(|definition| is_here(definition.span)));
        found
    }

    /// The definition of a schema, or of an enum or a record of the library. The other types have none.
    pub fn type_definition(&self, value_type: &Type) -> Option<&Definition> {
        match value_type {
            Type::List(item) | Type::Map(item) => self.type_definition(item),
            Type::Named(name) => self.library.named(DefinitionKind::Type, name).next(),
            Type::Schema(schema) => {
                let mut schemas = self.notes.definitions.named(DefinitionKind::Schema, &schema.name);
                let first = schema.fields.first().map(|field| field.span);
                schemas.find(|found| first.is_none_or(|first| found.whole.contains(first)))
            }
            _ => None,
        }
    }

    /// The places that use a definition, in the order of the text, without the place of the definition itself.
    pub fn references(&self, definition: &Definition) -> impl Iterator<Item = Span> {
        let own = definition.span;
        self.notes.uses.of(own).filter(move |at| *at != own)
    }

    /// Every place that uses a name, with the place of the definition, in the order of the text.
    pub fn all_uses(&self) -> impl Iterator<Item = (Span, Span)> {
        self.notes.uses.iter()
    }

    /// A use of an interceptor or a quality; none for [`UseId::NONE`].
    pub fn use_of(&self, used: UseId) -> Option<Use> {
        self.notes.use_list.get(used)
    }

    /// All uses of interceptors and qualities.
    pub fn uses(&self) -> impl Iterator<Item = (UseId, Use)> {
        self.notes.use_list.iter()
    }

    /// The smallest expression around a position.
    pub fn expression_at(&self, file: FileId, position: u32) -> Option<Span> {
        self.notes.types.around(file, position)
    }

    /// The uses at which an expression was checked: [`UseId::NONE`] alone for most.
    pub fn uses_of(&self, expression: Span) -> impl Iterator<Item = UseId> {
        self.notes.types.uses(expression)
    }

    /// The types of an expression at one use: empty if the type is unknown, several for the value of a let that is used
    /// in several forms. None if no expression has this place.
    pub fn types(&self, expression: Span, used: UseId) -> Option<&[ExpressionType]> {
        self.notes.types.of(expression, used)
    }

    /// The types of all expressions, in the order of the text.
    pub fn all_types(&self) -> impl Iterator<Item = (Span, UseId, &[ExpressionType])> {
        self.notes.types.iter()
    }

    /// The smallest step, or name of a component in a flow, around a position.
    pub fn place_at(&self, file: FileId, position: u32) -> Option<Span> {
        self.notes.events.around(file, position)
    }

    /// The events at a step, or at the name of a component in a flow.
    pub fn events(&self, place: Span, used: UseId) -> Option<&Events> {
        self.notes.events.get(place, used)
    }

    /// The events at all places, in the order of the text.
    pub fn all_events(&self) -> impl Iterator<Item = (Span, UseId, &Events)> {
        self.notes.events.iter()
    }

    /// The component of a name, as the graph has it.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.graph.components.iter().find(|component| &*component.declared.name == name)
    }

    /// The settings of a parser at one use, by the place of the parser's name.
    pub fn parser_settings(&self, parser: Span, used: UseId) -> Option<&Settings> {
        self.notes.parsers.get(&(parser, used))
    }
}
