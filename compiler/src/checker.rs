//! The checker: what checks of every kind need to know and to note.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use weir_grammar::Span;
use weir_plan::{HoleFormat, Value};

use crate::diagnostics::Diagnostic;
use crate::files::sources::Files;
use crate::names::scopes::Scopes;
use crate::signatures::{FunctionSignature, Library, SettingSignature};
use crate::types::{SchemaType, Type};

/// The type that a value must have in its place, and the setting that a diagnostic points at if it has another one.
pub(crate) struct Expectation<'e> {
    pub(crate) value_type: &'e Type,
    pub(crate) optional: bool,
    pub(crate) setting: Option<&'e SettingSignature>,
}

impl<'e> Expectation<'e> {
    pub(crate) fn of(setting: &'e SettingSignature) -> Expectation<'e> {
        Expectation { value_type: &setting.value_type, optional: setting.optional, setting: Some(setting) }
    }

    /// A type that no setting declares.
    pub(crate) fn plain(value_type: &'e Type) -> Expectation<'e> {
        Expectation { value_type, optional: false, setting: None }
    }

    pub(crate) fn item(&self, value_type: &'e Type) -> Expectation<'e> {
        Expectation { value_type, optional: false, setting: self.setting }
    }

    pub(crate) fn name(&self) -> String {
        self.value_type.named(self.optional)
    }

    /// The setting that declares the type in words, and the place of its declaration.
    pub(crate) fn declared(&self) -> Option<(String, Span)> {
        self.setting.map(|setting| {
            let type_name = setting.value_type.named(setting.optional);
            (format!("`{}` is {type_name}", setting.name.text), setting.name.span)
        })
    }
}

/// Whose settings are checked, in words, and where it stands.
pub(crate) struct Owner {
    pub(crate) words: String,
    pub(crate) span: Span,
}

/// Checks values.
pub(crate) struct Checker<'c> {
    pub(crate) library: &'c Library,
    pub(crate) files: &'c Files,
    pub(crate) scopes: &'c Scopes<'c>,
    /// The params by the places of their names; none where something about one has been reported.
    pub(crate) params: HashMap<Span, Option<ParamValue>>,
    /// The program's functions by the places of their names.
    pub(crate) functions: HashMap<Span, Arc<FunctionSignature>>,
    /// The schemas that were looked at, by the places of their names; none if they are broken.
    pub(crate) schemas: HashMap<Span, Option<Arc<SchemaType>>>,
    /// The environment's variables, where they may be read.
    pub(crate) environment: Option<&'c BTreeMap<String, String>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The holes since they were last taken out.
    pub(crate) holes: Vec<OpenHole>,
    /// The headers that settings name, since they were last taken out.
    pub(crate) headers: Vec<(String, Span)>,
    /// The values that only one component may have, since they were last taken out.
    pub(crate) exclusive: Vec<Exclusive>,
    /// The declarations that were used.
    pub(crate) used: HashSet<Span>,
    /// The lets of steps, by their places.
    pub(crate) locals: BTreeMap<Span, String>,
}

/// A param and its value; the value is none if something about it has been reported.
#[derive(Debug, Clone)]
pub(crate) struct ParamValue {
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
    pub(crate) value: Option<Value>,
    /// Where its type stands.
    pub(crate) declared: Span,
}

/// A hole that events fill; it is checked when their columns are known.
#[derive(Debug, Clone)]
pub(crate) struct OpenHole {
    pub(crate) column: String,
    pub(crate) span: Span,
    pub(crate) name_span: Span,
    pub(crate) format: HoleFormat,
    pub(crate) format_span: Option<Span>,
}

/// A value that only one component may have.
#[derive(Debug, Clone)]
pub(crate) struct Exclusive {
    pub(crate) setting: String,
    pub(crate) value_type: Type,
    pub(crate) value: Value,
    /// Whether it is held apart: those that are share it with none of them, and with all others.
    pub(crate) apart: bool,
    pub(crate) span: Span,
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
            environment: None,
            diagnostics: Vec::new(),
            holes: Vec::new(),
            headers: Vec::new(),
            exclusive: Vec::new(),
            used: HashSet::new(),
            locals: BTreeMap::new(),
        }
    }

    pub(crate) fn report(&mut self, diagnostic: impl Into<Diagnostic>) {
        self.diagnostics.push(diagnostic.into());
    }
}
