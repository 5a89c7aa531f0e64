//! The values of settings, and where each value comes from.

use std::collections::BTreeMap;

use weir_grammar::Span;
use weir_plan::{HoleFormat, Value};

use crate::types::Type;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The program gives the value here. For a param the place may lie in a value from outside.
    Written(Span),
    /// The signature gives the value here.
    Default(Span),
    /// Neither the program nor the signature gives a value, and the setting is optional: it is null.
    Absent,
    /// The compiler has added the component, as the channel of a path that names none.
    Derived,
    /// The setting has no value although it must have one, which has been reported.
    Missing,
}

/// One setting with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The value; none if it is unknown because of something that has been reported.
    pub value: Option<Value>,
    /// Where the value comes from.
    pub origin: Origin,
    /// The type that the signature declares.
    pub value_type: Type,
    /// Whether the value may be null.
    pub optional: bool,
    /// The place of the setting's name in the signature.
    pub declared: Span,
}

/// The settings of a component, a parser or the agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Every setting by name. A setting within another one has the name `roll.age`, one in a list `brokers[0].port`.
    pub all: BTreeMap<String, Setting>,
    /// The known values by name, as the plan has them: settings within others are part of their values.
    pub(crate) values: BTreeMap<String, Value>,
    /// Whether nothing about the settings has been reported.
    pub whole: bool,
    /// The holes that events fill.
    pub(crate) holes: Vec<OpenHole>,
    /// The headers that the settings name.
    pub(crate) headers: Vec<(String, Span)>,
    /// The values that no other component may have.
    pub(crate) exclusive: Vec<Exclusive>,
}

impl Settings {
    /// The values, if all of them are known and right.
    pub(crate) fn whole_values(&self) -> Option<&BTreeMap<String, Value>> {
        self.whole.then_some(&self.values)
    }

    /// Where the program gives the value of a setting, if it does.
    pub(crate) fn written(&self, name: &str) -> Option<Span> {
        match self.all.get(name)?.origin {
            Origin::Written(span) => Some(span),
            _ => None,
        }
    }

    /// Marks the values as those of a component that the compiler has added.
    pub(crate) fn derived(mut self) -> Settings {
        self.all.values_mut().for_each(|setting| setting.origin = Origin::Derived);
        self
    }
}

/// What a check of values has found, besides the values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The settings, by their names within the value.
    pub(crate) settings: Vec<(String, Setting)>,
    pub(crate) holes: Vec<OpenHole>,
    pub(crate) headers: Vec<(String, Span)>,
    pub(crate) exclusive: Vec<Exclusive>,
}

impl Found {
    /// Puts a name in front of the names of the settings that were found since there were this many.
    pub(crate) fn name_from(&mut self, before: usize, outer: &str) {
        for (name, _) in &mut self.settings[before..] {
            let point = if name.starts_with('[') { "" } else { "." };
            *name = format!("{outer}{point}{name}");
        }
    }

    /// The settings, with their values as the plan has them.
    pub(crate) fn settings(self, values: BTreeMap<String, Value>, whole: bool) -> Settings {
        let Found { settings, holes, headers, exclusive } = self;
        Settings { all: settings.into_iter().collect(), values, whole, holes, headers, exclusive }
    }
}

/// A hole that events fill; it is checked when their columns are known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenHole {
    pub(crate) column: String,
    pub(crate) span: Span,
    pub(crate) name_span: Span,
    pub(crate) format: HoleFormat,
    pub(crate) format_span: Option<Span>,
}

/// A value that only one component may have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exclusive {
    pub(crate) setting: String,
    pub(crate) value_type: Type,
    pub(crate) value: Value,
    /// Whether the component shares the value with no other one that is held apart, and with all others.
    pub(crate) apart: bool,
    pub(crate) span: Span,
}
