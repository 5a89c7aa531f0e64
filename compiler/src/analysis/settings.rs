//! The values of settings and their origins.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// The name. A nested setting has a name such as `roll.age`, or `brokers[0].port` in a list.
    pub name: String,
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

impl Setting {
    /// Returns whether the setting is part of another setting's value.
    pub(crate) fn is_nested(&self) -> bool {
        self.name.contains(['.', '['])
    }

    /// Returns the place of the value, if the program gives it.
    pub(crate) fn written(&self) -> Option<Span> {
        match self.origin {
            Origin::Written(span) => Some(span),
            _ => None,
        }
    }
}

/// The values of settings by name. Nested settings are part of the outer value.
pub(crate) trait Values {
    /// Returns the value of a setting; `None` if there is no such setting or its value has an error.
    fn value(&self, name: &str) -> Option<&Value>;
}

impl Values for BTreeMap<String, Value> {
    fn value(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

impl Values for Settings {
    fn value(&self, name: &str) -> Option<&Value> {
        self.get(name)?.value.as_ref()
    }
}

/// The settings of a block that is being checked, in any order.
pub(crate) struct Unsorted<'s>(pub(crate) &'s [Arc<Setting>]);

impl<'s> Unsorted<'s> {
    /// Returns the setting of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&'s Setting> {
        self.0.iter().find(|setting| setting.name == name).map(|setting| &**setting)
    }

    /// Returns the known values in the form of the plan.
    pub(crate) fn planned(&self) -> BTreeMap<String, Value> {
        let outer = self.0.iter().filter(|setting| !setting.is_nested());
        outer.filter_map(|setting| Some((setting.name.clone(), setting.value.clone()?))).collect()
    }
}

impl Values for Unsorted<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        self.get(name)?.value.as_ref()
    }
}

/// The settings of a component, a parser or the agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Every setting, sorted by name. Components share the settings that have the same default.
    all: Vec<Arc<Setting>>,
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
    /// Returns the setting of this name.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.index(name).map(|index| &*self.all[index])
    }

    /// Iterates over all settings, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> + Clone {
        self.all.iter().map(|setting| &**setting)
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.all.binary_search_by(|setting| (*setting.name).cmp(name)).ok()
    }

    /// Replaces the setting of the same name.
    pub(crate) fn replace(&mut self, setting: Setting) {
        if let Some(index) = self.index(&setting.name) {
            self.all[index] = Arc::new(setting);
        }
    }

    /// Returns the values in the form of the plan, if the settings have no errors.
    pub(crate) fn planned(&self) -> Option<BTreeMap<String, Value>> {
        self.whole.then(|| Unsorted(&self.all).planned())
    }

    /// Iterates over the settings with derived values, each with the settings that decide its value.
    pub(crate) fn derived(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|setting| Some((setting.name.as_str(), setting.derived_from.as_deref()?)))
    }

    /// Marks the values as settings of a component that the compiler added.
    pub(crate) fn implicit(mut self) -> Settings {
        self.all.iter_mut().for_each(|setting| Arc::make_mut(setting).origin = Origin::Implicit);
        self
    }
}

/// The settings, holes, headers and exclusive values that a check of values collects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The settings, with names relative to the value.
    pub(crate) settings: Vec<Arc<Setting>>,
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
        for setting in &mut self.settings[before..] {
            let setting = Arc::make_mut(setting);
            setting.name = named(&setting.name);
            setting.derived_from.iter_mut().for_each(|from| *from = named(from));
        }
    }

    /// Returns whether only settings were found.
    pub(crate) fn has_settings_only(&self) -> bool {
        self.holes.is_empty() && self.headers.is_empty() && self.exclusive.is_empty()
    }

    /// Returns the settings of a complete block.
    pub(crate) fn settings(self, whole: bool) -> Settings {
        let Found { settings: mut all, holes, headers, exclusive } = self;
        all.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        Settings { all, whole, holes, headers, exclusive }
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
