//! The result of checking a program: an owned value with everything that the compiler found.

pub(crate) mod events;
pub(crate) mod expressions;
pub(crate) mod graph;
pub(crate) mod notes;
pub(crate) mod places;
pub mod program_tests;
pub(crate) mod proofs;
pub(crate) mod resources;
pub(crate) mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::tree::Name;
use weir_grammar::{FileId, Span};
use weir_plan::Function;

use crate::analysis::notes::Notes;
use crate::diagnostics::{CannotConnect, Diagnostic, Severity};
use crate::files::modules::Module;
use crate::files::sources::Files;
use crate::names::definitions::Definitions;
use crate::spelling::role_in_words;

pub use crate::analysis::events::Events;
pub use crate::analysis::expressions::{ExpressionType, Use, UseId};
pub use crate::analysis::graph::{
    Arrival, Case, Component, Declared, Destination, Edge, Expected, Flow, Graph, Leg, Promised, Step,
};
pub use crate::analysis::proofs::{
    Effect, FlowProof, Hop, HopKind, KeptOrder, PathProof, Proofs, Reason, Rule,
};
pub use crate::analysis::resources::{
    Amounts, Bridged, ComponentResources, Part, Rates, Resource, Resources, WrittenFiles,
};
pub use crate::analysis::settings::{Origin, Setting, Settings};
pub use crate::names::definitions::{Definition, DefinitionKind};
pub use crate::names::scopes::ComponentIndex;
pub use crate::types::columns::{Column, Columns};
pub use crate::types::{FieldFormat, FieldType, SchemaType, Type};

/// The result of checking a program, with or without errors. Parts that could not be resolved are marked as unknown,
/// and each has a diagnostic.
///
/// Positions are byte offsets in the text of a file. A name is identified by the span of its declaration. The steps of
/// an interceptor and the rules of a quality are checked for each use, so they are identified by their span *and* their
/// [use](UseId).
#[derive(Debug, Default)]
pub struct Analysis {
    /// The program's name: the name of its file without `.flow`.
    pub program: String,
    /// The files that spans refer to: the library's files, the program's files, and one for each value given on the
    /// command line or in an environment variable.
    pub files: Files,
    /// The errors and warnings, sorted by span.
    pub diagnostics: Vec<Diagnostic>,
    /// The syntax trees of the program's files, the entry file first.
    pub(crate) modules: Vec<Module>,
    /// The components, flows and edges.
    pub graph: Graph,
    /// The settings of the `agent { … }` block; `None` without such a block.
    pub agent: Option<Settings>,
    /// The params by the spans of their names.
    pub params: BTreeMap<Span, Setting>,
    /// The derivation of how events are delivered.
    pub proofs: Proofs,
    /// The functions of the program in the form of the plan; `None` for a function with errors.
    pub(crate) functions: Vec<Option<Function>>,
    /// The tests without errors, in the order of the text.
    pub tests: Vec<program_tests::ProgramTest>,
    pub(crate) notes: Notes,
    /// The definitions of the library.
    pub(crate) library: Arc<Definitions>,
}

impl Analysis {
    /// Returns whether the program has errors.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error)
    }

    /// Returns the syntax tree of a file of the program.
    pub fn tree(&self, file: FileId) -> Option<&weir_grammar::tree::File> {
        self.modules.iter().find(|module| module.file == file).map(|module| &module.tree)
    }

    /// Iterates over the names of the program's files, the entry first.
    pub fn program_files(&self) -> impl Iterator<Item = &str> {
        let files = self.modules.iter().filter_map(|module| self.files.get(module.file));
        files.map(|file| file.name.as_str())
    }

    /// Returns the file of the program that has this name.
    pub fn file_named(&self, name: &str) -> Option<FileId> {
        let of_program = self.modules.iter().map(|module| module.file);
        of_program.into_iter().find(|file| self.files.get(*file).is_some_and(|found| found.name == name))
    }

    /// Iterates over the definitions of the program, in source order.
    pub fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.notes.definitions.iter()
    }

    /// Returns the names that can be used in a file: its own, those of imports without a name, and the names of imports.
    /// With the name of an import, the names of that file.
    pub fn visible_names(&self, file: FileId, import: Option<&str>) -> Vec<&Definition> {
        let Some(module) = self.modules.iter().find(|module| module.file == file) else { return Vec::new() };
        let named = |alias: Option<&Name>| alias.map(|alias| &*alias.text) == import;
        let files = module.imports.iter().filter(|imported| named(imported.alias.as_ref()));
        let files: Vec<FileId> = files.map(|imported| imported.file).collect();
        let of_files = self.notes.definitions.iter().filter(|definition| {
            let kind = definition.kind;
            let own = definition.span.file == file && import.is_none() && kind.is_of_file();
            let other = kind != DefinitionKind::Flow && kind != DefinitionKind::Import && kind.is_of_file();
            own || files.contains(&definition.span.file) && other
        });
        of_files.collect()
    }

    /// Iterates over the definitions of one file, of the program or the library, in source order.
    pub fn definitions_of(&self, file: FileId) -> impl Iterator<Item = &Definition> {
        let all = self.notes.definitions.iter().chain(self.library.iter());
        all.filter(move |definition| definition.span.file == file)
    }

    /// Iterates over the definitions of the library.
    pub fn library_definitions(&self) -> impl Iterator<Item = &Definition> {
        self.library.iter()
    }

    /// Returns the name of the file that an import names, if the file was found.
    pub fn imported_file(&self, importer: FileId, path: Span) -> Option<&str> {
        let module = self.modules.iter().find(|module| module.file == importer)?;
        let import = module.imports.iter().find(|import| import.span == path)?;
        self.files.get(import.file).map(|file| file.name.as_str())
    }

    /// Returns the type that a setting or a param requires of the value with this span.
    pub fn expected_type(&self, value: Span) -> Option<&Type> {
        self.notes.expected.get(&value).map(|(expected, _)| expected)
    }

    /// Returns the value of a constant expression that is computed from others, in the syntax of the language.
    pub fn computed(&self, value: Span) -> Option<&str> {
        self.notes.computed.get(&value).map(String::as_str)
    }

    /// Returns the types of the smallest expression at a position; those of a column's definition if there is none.
    pub fn types_at(&self, file: FileId, position: u32) -> Vec<Type> {
        let Some(expression) = self.expression_at(file, position) else { return Vec::new() };
        let found = self.uses_of(expression).filter_map(|used| self.types(expression, used)).flatten();
        let mut types: Vec<Type> = Vec::new();
        for found in found {
            if !types.contains(&found.value_type) {
                types.push(found.value_type.clone());
            }
        }
        types
    }

    /// Returns the parameters of a function or an interceptor, in their order.
    pub fn all_parameters_of(&self, definition: &Definition) -> Vec<&Definition> {
        let inside = |parameter: &&Definition| {
            parameter.kind == DefinitionKind::Parameter && definition.whole.contains(parameter.span)
        };
        self.definitions_of(definition.span.file).filter(inside).collect()
    }

    /// Returns the parameters of a function or an interceptor that have no default: the names and the types, as written.
    pub fn parameters_of(&self, definition: &Definition) -> Vec<(String, String)> {
        let parameters = self.all_parameters_of(definition).into_iter().filter(|parameter| {
            let text = self.files.get(parameter.whole.file).map_or("", |file| &file.text);
            let after = text.get(parameter.whole.end as usize..).unwrap_or_default();
            !after.trim_start().starts_with('=')
        });
        let parameters = parameters.map(|parameter| {
            let whole = self.files.text(parameter.whole);
            let type_name = whole.split_once(':').map_or("", |(_, type_name)| type_name.trim());
            (parameter.name.to_string(), type_name.to_owned())
        });
        parameters.collect()
    }

    /// Returns the definition, of the program or the library, whose name has this span.
    pub fn definition(&self, name: Span) -> Option<&Definition> {
        self.notes.definitions.get(name).or_else(|| self.library.get(name))
    }

    /// Returns the definitions of the name that is used or declared at a position. A name in an interceptor has several
    /// definitions if the uses of the interceptor give it different meanings.
    pub fn definitions_at(&self, file: FileId, position: u32) -> Vec<&Definition> {
        let used = self.notes.uses.at(file, position).filter_map(|(_, of)| self.definition(of));
        let mut found: Vec<&Definition> = used.collect();
        let declared = self.notes.definitions.iter().chain(self.library.iter());
        let is_here = |span: Span| span.file == file && span.start <= position && position <= span.end;
        found.extend(declared.filter(|definition| is_here(definition.span)));
        found
    }

    /// Returns the definition of a schema, or of an enum or a record of the library. Other types have no definition.
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

    /// Iterates over the spans that use a definition, in source order, without the span of the definition.
    pub fn references(&self, definition: &Definition) -> impl Iterator<Item = Span> {
        let own = definition.span;
        self.notes.uses.of(own).filter(move |at| *at != own)
    }

    /// Iterates over every use of a name with the span of the definition, in source order.
    pub fn all_uses(&self) -> impl Iterator<Item = (Span, Span)> {
        self.notes.uses.iter()
    }

    /// Returns the use of an interceptor or a quality with this ID; `None` for [`UseId::NONE`].
    pub fn use_of(&self, used: UseId) -> Option<Use> {
        self.notes.use_list.get(used)
    }

    /// Iterates over all uses of interceptors and qualities.
    pub fn uses(&self) -> impl Iterator<Item = (UseId, Use)> {
        self.notes.use_list.iter()
    }

    /// Returns the smallest expression that contains a position.
    pub fn expression_at(&self, file: FileId, position: u32) -> Option<Span> {
        self.notes.types.around(file, position)
    }

    /// Iterates over the uses for which an expression was checked: for most expressions only [`UseId::NONE`].
    pub fn uses_of(&self, expression: Span) -> impl Iterator<Item = UseId> {
        self.notes.types.uses(expression)
    }

    /// Returns the types of an expression at one use: an empty slice if the type is unknown, and several types for the
    /// value of a `let` whose uses expect different types. `None` if no expression has this span.
    pub fn types(&self, expression: Span, used: UseId) -> Option<&[ExpressionType]> {
        self.notes.types.get(expression, used).map(Vec::as_slice)
    }

    /// Iterates over the types of all expressions, in source order.
    pub fn all_types(&self) -> impl Iterator<Item = (Span, UseId, &[ExpressionType])> {
        self.notes.types.iter().map(|(span, used, types)| (span, used, types.as_slice()))
    }

    /// Returns the smallest step, or name of a component in a flow, that contains a position.
    pub fn place_at(&self, file: FileId, position: u32) -> Option<Span> {
        self.notes.events.around(file, position)
    }

    /// Returns the columns of the events at a step, or at the name of a component in a flow.
    pub fn events(&self, place: Span, used: UseId) -> Option<&Events> {
        self.notes.events.get(place, used)
    }

    /// Iterates over the columns of the events at all places, in source order.
    pub fn all_events(&self) -> impl Iterator<Item = (Span, UseId, &Events)> {
        self.notes.events.iter()
    }

    /// Returns the component of the graph that has this name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.graph.components.iter().find(|component| &*component.declared.name == name)
    }

    /// Returns the diagnostic of a component that can't use a system outside of the program. The setting is the one that names
    /// the system.
    pub fn cannot_connect(
        &self,
        component: &str,
        setting: Option<&str>,
        reason: String,
    ) -> Option<Diagnostic> {
        let found = self.component(component)?;
        let named = setting.and_then(|name| found.settings.get(name));
        let span = match named.map(|setting| setting.origin) {
            Some(Origin::Written(span) | Origin::Derived { decided_by: span, .. }) => span,
            _ => found.declared.span,
        };
        let component = format!("{} `{component}`", role_in_words(found.declared.role));
        let setting = named.map(|setting| setting.name.clone());
        Some(CannotConnect { component, reason, span, setting }.into())
    }

    /// Returns the settings of a parser at one use, by the span of the parser's name.
    pub fn parser_settings(&self, parser: Span, used: UseId) -> Option<&Settings> {
        self.notes.parsers.get(&(parser, used))
    }
}
