//! Errors of reading settings.

use std::fmt::{self, Display};

use serde::de;
use thiserror::Error;

use crate::Value;

/// Why settings can't be read into a component's own type.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The settings do not have the shape of the component's type.
    ///
    /// The checker prevents this for a plan that was compiled with the same library, so the
    /// plan and the agent have different versions.
    #[error("settings do not fit this version of the component: {0}")]
    Misfit(String),
    /// The settings are valid, but the component does not implement them.
    #[error("{}", sentences(.0))]
    NotCarriedOut(Vec<NotCarriedOut>),
}

/// A setting whose value the component does not implement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCarriedOut {
    /// The setting with its value as a program writes it: `format: parquet`, `roll: { idle: 30s }`.
    pub asked: String,
    /// Implemented alternatives: `format: text`, `format: json`. If empty, the setting has to be
    /// omitted.
    pub instead: Vec<String>,
}

impl Display for NotCarriedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not carried out by this version of Weir; ", self.asked)?;
        match self.instead.split_last() {
            None => write!(f, "leave it out"),
            Some((last, [])) => write!(f, "write `{last}`"),
            Some((last, others)) => write!(f, "write `{}` or `{last}`", others.join("`, `")),
        }
    }
}

fn sentences(refusals: &[NotCarriedOut]) -> String {
    let texts: Vec<String> = refusals.iter().map(NotCarriedOut::to_string).collect();
    texts.join("; ")
}

/// A problem of a reader, first without its place.
#[derive(Debug)]
pub(super) enum Problem {
    /// An unknown variant, with the variants of the component's type.
    UnknownVariant { expected: &'static [&'static str] },
    /// A refused value with its place.
    NotCarriedOut(NotCarriedOut),
    /// A value of another shape than expected.
    Misfit(String),
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::UnknownVariant { expected } => write!(f, "none of {}", expected.join(", ")),
            Problem::NotCarriedOut(refusal) => refusal.fmt(f),
            Problem::Misfit(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: Display>(what: T) -> Problem {
        Problem::Misfit(what.to_string())
    }

    fn unknown_variant(_variant: &str, expected: &'static [&'static str]) -> Problem {
        Problem::UnknownVariant { expected }
    }
}

/// The place of a value within the settings, as a list of nested places up to the root.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Root,
    /// A setting in the group at the place.
    Setting(&'a Place<'a>, &'a str),
    /// The settings of the variant with this name at the place.
    Variant(&'a Place<'a>, &'a str),
    /// A value of the list at the place.
    Item(&'a Place<'a>),
}

impl Place<'_> {
    /// Returns the setting at this place in the syntax of a program, with this text as its value.
    pub(super) fn written(self, text: &str) -> String {
        match self {
            Place::Root => text.to_owned(),
            Place::Setting(Place::Root, name) => format!("{name}: {text}"),
            Place::Setting(group, name) => group.written(&format!("{{ {name}: {text} }}")),
            Place::Variant(place, name) => place.written(&format!("{name} {text}")),
            Place::Item(place) => place.written(&format!("[{text}]")),
        }
    }

    /// Returns the refusal of the value at this place.
    pub(super) fn refuse(self, value: &Value, expected: &[&str]) -> NotCarriedOut {
        let instead = expected.iter().map(|name| self.written(name)).collect();
        NotCarriedOut { asked: self.written(&brief(value)), instead }
    }

    /// Adds this place to a problem.
    pub(super) fn locate(self, problem: Problem) -> Problem {
        match problem {
            Problem::Misfit(what) if !matches!(self, Place::Root) && !what.starts_with('`') => {
                Problem::Misfit(format!("`{}`: {what}", self.written("…")))
            }
            problem => problem,
        }
    }
}

/// Returns a short form of a value; the program has the complete value.
fn brief(value: &Value) -> String {
    match value {
        Value::Variant { name, .. } => name.clone(),
        Value::Record(_) => "{ … }".to_owned(),
        Value::List(_) => "[…]".to_owned(),
        Value::Template(_) | Value::Secret(_) => "…".to_owned(),
        value => value.to_string(),
    }
}
