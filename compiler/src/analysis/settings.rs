//! The values of settings and their origins.

use std::collections::BTreeMap;

use weir_grammar::Span;
use weir_plan::{HoleFormat, Value};

use crate::types::Type;

/// The origin of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The program gives the value, at this span. The span of a param may be in a value that was given from outside.
    Written(Span),
    /// The signature gives a default, at this span.
    Default(Span),
    /// The setting is null: it is optional, and neither the program nor the signature gives a value.
    Absent,
    /// The signature computes the default from other settings, and one of them decides the value.
    Derived {
        /// The span of the default in the signature.
        default: Span,
        /// The span of the value that decides.
        decided_by: Span,
    },
    /// The compiler added the component: the channel of a path that names no channel.
    Implicit,
    /// The required setting has no value, which has been reported.
    Missing,
}

/// One setting with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The value; `None` if the value has an error, which has been reported.
    pub value: Option<Value>,
    /// The origin of the value.
    pub origin: Origin,
    /// The type that the signature declares.
    pub value_type: Type,
    /// Whether the value may be null.
    pub optional: bool,
    /// The span of the setting's name in the signature.
    pub declared: Span,
    /// The settings that decide the value, if its origin is [`Origin::Derived`]: `capacity`, or
    /// `buffer.transaction_capacity` of a neighbouring component.
    pub derived_from: Option<String>,
}

/// The settings of a component, a parser or the agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Every setting by name. A nested setting has a name such as `roll.age`, or `brokers[0].port` in a list.
    pub all: BTreeMap<String, Setting>,
    /// The known values by name, in the form of the plan: nested settings are part of the outer value.
    pub(crate) values: BTreeMap<String, Value>,
    /// Whether the settings have no errors.
    pub whole: bool,
    /// The template holes that are filled with values of events.
    pub(crate) holes: Vec<OpenHole>,
    /// The headers that the settings name, with their spans.
    pub(crate) headers: Vec<(String, Span)>,
    /// The values of `exclusive` settings.
    pub(crate) exclusive: Vec<Exclusive>,
}

impl Settings {
    /// Returns the values if the settings have no errors.
    pub(crate) fn whole_values(&self) -> Option<&BTreeMap<String, Value>> {
        self.whole.then_some(&self.values)
    }

    /// Iterates over the settings with derived values, each with the settings that decide its value.
    pub(crate) fn derived(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().filter_map(|(name, setting)| Some((name.as_str(), setting.derived_from.as_deref()?)))
    }

    /// Marks the values as settings of a component that the compiler added.
    pub(crate) fn implicit(mut self) -> Settings {
        self.all.values_mut().for_each(|setting| setting.origin = Origin::Implicit);
        self
    }
}

/// The settings, holes, headers and exclusive values that a check of values collects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The settings, by their names relative to the value.
    pub(crate) settings: Vec<(String, Setting)>,
    pub(crate) holes: Vec<OpenHole>,
    pub(crate) headers: Vec<(String, Span)>,
    pub(crate) exclusive: Vec<Exclusive>,
}

impl Found {
    /// Prefixes the names of the settings from index `before` on with the name of the outer setting.
    pub(crate) fn name_from(&mut self, before: usize, outer: &str) {
        let named = |name: &str| {
            let point = if name.starts_with('[') { "" } else { "." };
            format!("{outer}{point}{name}")
        };
        for (name, setting) in &mut self.settings[before..] {
            *name = named(name);
            setting.derived_from.iter_mut().for_each(|from| *from = named(from));
        }
    }

    /// Returns the settings, with their values in the form of the plan.
    pub(crate) fn settings(self, values: BTreeMap<String, Value>, whole: bool) -> Settings {
        let Found { settings, holes, headers, exclusive } = self;
        Settings { all: settings.into_iter().collect(), values, whole, holes, headers, exclusive }
    }
}

/// A template hole that is filled with a value of the event. It is checked when the columns of the events are known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenHole {
    pub(crate) column: String,
    pub(crate) span: Span,
    pub(crate) name_span: Span,
    pub(crate) format: HoleFormat,
    pub(crate) format_span: Option<Span>,
}

/// The value of an `exclusive` setting, which two components must not share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exclusive {
    pub(crate) setting: String,
    pub(crate) value_type: Type,
    pub(crate) value: Value,
    /// Whether the condition of the signature's `exclusive unless` is true for the component. Two components clash over
    /// a value only if the condition has the same result for both.
    pub(crate) apart: bool,
    pub(crate) span: Span,
}
