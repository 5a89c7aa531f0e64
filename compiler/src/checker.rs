//! The checker: the state that all checks share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weir_grammar::Span;
use weir_plan::Value;

use crate::analysis::expressions::{ExpressionType, Use, UseId};
use crate::analysis::notes::Notes;
use crate::analysis::settings::{Origin, Setting};
use crate::diagnostics::Diagnostic;
use crate::files::sources::Files;
use crate::names::scopes::Scopes;
use crate::names::visit::Mention;
use crate::signatures::{FunctionSignature, Library, SettingSignature};
use crate::types::ranges::IntRange;
use crate::types::{SchemaType, Type};

/// The required type of a value, and the setting that requires the type, for diagnostics.
pub(crate) struct Expectation<'e> {
    pub(crate) value_type: &'e Type,
    pub(crate) optional: bool,
    pub(crate) setting: Option<&'e SettingSignature>,
    /// Whether a duration may be below zero: in events and params, but not in settings.
    pub(crate) negatives: bool,
}

impl<'e> Expectation<'e> {
    pub(crate) fn of(setting: &'e SettingSignature) -> Expectation<'e> {
        let SettingSignature { value_type, optional, negatives, .. } = setting;
        Expectation { value_type, optional: *optional, setting: Some(setting), negatives: *negatives }
    }

    /// Returns the expectation of a type that no setting requires.
    pub(crate) fn plain(value_type: &'e Type) -> Expectation<'e> {
        Expectation { value_type, optional: false, setting: None, negatives: false }
    }

    pub(crate) fn item(&self, value_type: &'e Type) -> Expectation<'e> {
        Expectation { value_type, optional: false, ..*self }
    }

    pub(crate) fn name(&self) -> String {
        self.value_type.named(self.optional)
    }

    /// Returns the setting that requires the type, in words, and the place of its declaration.
    pub(crate) fn declared(&self) -> Option<(String, Span)> {
        self.setting.map(|setting| {
            let type_name = setting.value_type.named(setting.optional);
            (format!("`{}` is {type_name}", setting.name.text), setting.name.span)
        })
    }
}

/// The owner of the checked settings, in words, and its place.
pub(crate) struct Owner {
    pub(crate) words: String,
    pub(crate) span: Span,
}

/// The inputs, results and diagnostics of the checks.
pub(crate) struct Checker<'c> {
    pub(crate) library: &'c Library,
    pub(crate) files: &'c Files,
    pub(crate) scopes: &'c Scopes<'c>,
    /// The params by the places of their names; `None` for a param with a reported fault.
    pub(crate) params: HashMap<Span, Option<ParamValue>>,
    /// The program's functions by the places of their names.
    pub(crate) functions: HashMap<Span, Arc<FunctionSignature>>,
    /// The checked schemas by the places of their names; `None` for a faulty schema.
    pub(crate) schemas: HashMap<Span, Option<Arc<SchemaType>>>,
    /// The checked defaults of settings, with their nested settings, by the places of the settings' names. All
    /// components with a default share its value.
    pub(crate) defaults: HashMap<Span, Vec<Arc<Setting>>>,
    /// The environment variables, if the checked text may read them.
    pub(crate) environment: Option<&'c BTreeMap<String, String>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The findings for the analysis.
    pub(crate) notes: Notes,
    /// The use of an interceptor or a quality for which the current text is checked.
    pub(crate) current_use: UseId,
}

/// A param and its value; the value is `None` if a fault of it has been reported.
#[derive(Debug, Clone)]
pub(crate) struct ParamValue {
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
    pub(crate) value: Option<Value>,
    pub(crate) origin: Origin,
    /// The declared range of an `Int`.
    pub(crate) range: Option<IntRange>,
    /// The place of the type.
    pub(crate) declared: Span,
}

impl<'c> Checker<'c> {
    pub(crate) fn new(library: &'c Library, files: &'c Files, scopes: &'c Scopes<'c>) -> Checker<'c> {
        Checker {
            library,
            files,
            scopes,
            params: HashMap::new(),
            functions: HashMap::new(),
            schemas: HashMap::new(),
            defaults: HashMap::new(),
            environment: None,
            diagnostics: Vec::new(),
            notes: Notes::default(),
            current_use: UseId::NONE,
        }
    }

    /// Notes the use of a definition by a mention, and the use of an import by its qualifier.
    pub(crate) fn uses(&mut self, mention: Mention<'_>, definition: Span) {
        self.notes.uses.note(mention.name_span, definition);
        if let Some(qualifier) = mention.qualifier
            && let Some(import) = self.scopes.get(mention.span.file, qualifier)
        {
            let end = mention.span.start + qualifier.len() as u32;
            self.notes.uses.note(Span { end, ..mention.span }, import.declared);
        }
    }

    /// Begins a use of an interceptor or a quality by a step. Returns the use to which the step belongs.
    pub(crate) fn enter_use(&mut self, of: Span, at: Span) -> UseId {
        let within = self.current_use;
        self.current_use = self.notes.use_list.add(Use { of, at, within });
        within
    }

    /// Notes the type of an expression for the current use; `None` for an unknown type, unless a type is noted already.
    pub(crate) fn note_type(&mut self, span: Span, found: Option<ExpressionType>) {
        let types = self.notes.types.at(span, self.current_use);
        types.extend(found.filter(|found| !types.contains(found)));
    }

    /// Notes that the literals of an expression take another type than they have by themselves.
    pub(crate) fn note_converted(&mut self, span: Span, from: &Type, to: &Type) {
        let types = self.notes.types.at(span, self.current_use);
        let is_known = types.iter().any(|found| found.value_type == *to);
        types.retain(|found| !is_known || found.value_type != *from);
        types
            .iter_mut()
            .filter(|found| found.value_type == *from)
            .for_each(|found| found.value_type = to.clone());
    }

    pub(crate) fn report(&mut self, diagnostic: impl Into<Diagnostic>) {
        self.diagnostics.push(diagnostic.into());
    }
}
