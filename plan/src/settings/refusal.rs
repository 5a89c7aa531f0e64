//! Why settings are refused.

use std::fmt::{self, Display};

use serde::de;
use thiserror::Error;

use crate::Value;

/// Why settings can't be read into a component's own type.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// They do not have the shape that the component reads.
    ///
    /// The checker rules this out for a plan that was compiled against the same library, so it
    /// means that the plan and the agent come from different versions.
    #[error("settings do not fit this version of the component: {0}")]
    Misfit(String),
    /// The language has them, but the component would not do what they say.
    #[error("{}", sentences(.0))]
    NotCarriedOut(Vec<NotCarriedOut>),
}

/// A setting, and what was asked with it that the component does not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCarriedOut {
    /// The setting with its value as a program writes it: `format: parquet`, `roll: { idle: 30s }`.
    pub asked: String,
    /// What could stand there instead: `format: text`, `format: json`. Without any the setting has to be
    /// left out.
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

/// What a reader meets, before it is known where.
#[derive(Debug)]
pub(super) enum Problem {
    /// The component's type has no variant of this name, but these.
    UnknownVariant { expected: &'static [&'static str] },
    /// Known with its place.
    NotCarriedOut(NotCarriedOut),
    /// Another shape was expected.
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

/// The place of a value within the settings: the way back to their root.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Root,
    /// A setting of what is at the place.
    Setting(&'a Place<'a>, &'a str),
    /// The settings of the variant of this name that is at the place.
    Variant(&'a Place<'a>, &'a str),
    /// One of the values of the list at the place.
    Item(&'a Place<'a>),
}

impl Place<'_> {
    /// The setting at this place as a program writes it, with this text as its value.
    pub(super) fn written(self, text: &str) -> String {
        match self {
            Place::Root => text.to_owned(),
            Place::Setting(Place::Root, name) => format!("{name}: {text}"),
            Place::Setting(group, name) => group.written(&format!("{{ {name}: {text} }}")),
            Place::Variant(place, name) => place.written(&format!("{name} {text}")),
            Place::Item(place) => place.written(&format!("[{text}]")),
        }
    }

    /// The refusal of what stands here.
    pub(super) fn refuse(self, value: &Value, expected: &[&str]) -> NotCarriedOut {
        let instead = expected.iter().map(|name| self.written(name)).collect();
        NotCarriedOut { asked: self.written(&brief(value)), instead }
    }

    /// The problem with what it is about.
    pub(super) fn locate(self, problem: Problem) -> Problem {
        match problem {
            Problem::Misfit(what) if !matches!(self, Place::Root) && !what.starts_with('`') => {
                Problem::Misfit(format!("`{}`: {what}", self.written("…")))
            }
            problem => problem,
        }
    }
}

/// A value in a few words: what it holds stands in the program.
fn brief(value: &Value) -> String {
    match value {
        Value::Variant { name, .. } => name.clone(),
        Value::Record(_) => "{ … }".to_owned(),
        Value::List(_) => "[…]".to_owned(),
        Value::Template(_) | Value::Secret(_) => "…".to_owned(),
        value => value.to_string(),
    }
}
