//! A candidate of a completion: a text that may be written at a place.

use std::sync::Arc;

use weir_grammar::tree::Role;

/// A name or a word that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The text to write.
    pub name: String,
    /// The kind of thing that the name denotes.
    pub kind: CandidateKind,
    /// The type, the signature or the like, in the syntax of the language; empty without one.
    pub detail: String,
    /// The doc comment; empty without one.
    pub documentation: Arc<str>,
    /// The names that other tools have for it.
    pub known_as: Vec<String>,
    /// The settings or arguments that the name requires: required settings of a kind, parameters of a function. `None` if the name
    /// stands alone.
    pub parts: Option<Vec<Part>>,
}

/// A setting or a parameter that has to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name.
    pub name: String,
    /// The type in the syntax of the language.
    pub type_name: String,
}

/// The kinds of candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKind {
    /// A keyword.
    Keyword,
    /// A unit behind a number.
    Unit,
    /// A component of the program.
    Component(Role),
    /// A component of the library.
    Kind(Role),
    /// A setting, which needs a value.
    Setting {
        /// Whether it has no default.
        required: bool,
    },
    /// A variant of an enum.
    Variant,
    /// A field of the events.
    Field,
    /// A header of the events.
    Header,
    /// A function.
    Function,
    /// An interceptor.
    Interceptor,
    /// A parser.
    Parser,
    /// A schema.
    Schema,
    /// A quality.
    Quality,
    /// A type.
    Type,
    /// A param.
    Param,
    /// A let of a file.
    Let,
    /// A let of a step or a function.
    Local,
    /// A parameter.
    Parameter,
    /// The name of an import.
    Import,
}

impl Candidate {
    pub(super) fn new(name: impl Into<String>, kind: CandidateKind) -> Candidate {
        Candidate {
            name: name.into(),
            kind,
            detail: String::new(),
            documentation: "".into(),
            known_as: Vec::new(),
            parts: None,
        }
    }

    pub(super) fn detail(self, detail: impl Into<String>) -> Candidate {
        Candidate { detail: detail.into(), ..self }
    }

    pub(super) fn documented(self, documentation: &Arc<str>) -> Candidate {
        Candidate { documentation: documentation.clone(), ..self }
    }

    pub(super) fn parts(self, parts: impl IntoIterator<Item = Part>) -> Candidate {
        Candidate { parts: Some(parts.into_iter().collect()), ..self }
    }
}
