//! Checks plans that were not compiled in this process. Settings are checked against the signatures of the library, as
//! the settings of a program are, and expressions against the signatures of the library's functions.

mod expressions;

use std::collections::BTreeMap;
use std::fmt::Display;

use weir_grammar::tree::Role;
use weir_plan::{Action, Component, Leg, Plan, PlanError, Route, TemplatePart, Value};

use crate::signatures::{AGENT_RECORD, Group, Library, Named, SettingSignature};
use crate::types::Type;
use crate::types::ranges::IntRange;
use crate::values::ranges::{is_within, range_in_words};
use crate::values::regexes::syntax_error;
use crate::values::requirements::broken_requirements;
use crate::values::texts;

/// The maximum number of faults that are reported for a plan.
const FAULTS_MAX: usize = 20;

impl Library {
    /// Reads a plan from its JSON text, and checks it against the library's signatures. An agent can be built from the
    /// result as from a compiled plan.
    ///
    /// # Errors
    /// Returns the errors of [`Plan::from_json`], and [`PlanError::Faults`] if the plan has [faults](Library::faults).
    pub fn plan_from_json(&self, text: &str) -> Result<Plan, PlanError> {
        let plan = Plan::from_json(text)?;
        match self.faults(&plan) {
            faults if faults.is_empty() => Ok(plan),
            faults => Err(PlanError::Faults(faults)),
        }
    }

    /// Returns the faults of a plan: settings that are unknown or missing, have the wrong type or form, are out of
    /// range or contradict each other; calls with missing or wrong arguments; and steps that can fail without a
    /// handler. Each fault names its component or step, and its place in the plan's JSON text. A plan that was compiled
    /// against this library has no faults.
    pub fn faults(&self, plan: &Plan) -> Vec<String> {
        let mut held = Held { library: self, found: Vec::new(), ranges: Ranges::default() };
        let parts = [
            (Role::Source, "source", "sources", &plan.sources),
            (Role::Channel, "channel", "channels", &plan.channels),
            (Role::Sink, "sink", "sinks", &plan.sinks),
        ];
        for (role, word, list, components) in parts {
            for (index, Component { name, kind, settings, .. }) in components.iter().enumerate() {
                // Unknown kinds are reported when the agent is built.
                let Some(signature) = self.signature(role, kind) else { continue };
                let place = Place::new(format!("{word} {name}"), format!("{list}[{index}].settings"));
                let owner = format!("the {word} {kind}");
                held.group(&place, &owner, &signature.group, &settings.values);
            }
        }
        if let Some(Named::Record(group)) = self.types.get(AGENT_RECORD) {
            held.group(&Place::new("the agent", "agent"), "the agent", group, &plan.agent.values);
        }
        plan.functions.iter().enumerate().for_each(|(index, function)| held.function(index, function));
        for (index, flow) in plan.flows.iter().enumerate() {
            for (path_index, path) in flow.paths.iter().enumerate() {
                let place = format!("flows[{index}].paths[{path_index}].segment");
                held.ranges = Ranges::default();
                held.leg(&flow.name, &place, &path.leg);
            }
        }
        held.found
    }
}

/// A place in a plan: its description, its path in the JSON text, and the name of the setting.
struct Place {
    what: String,
    path: String,
    name: String,
}

impl Place {
    fn new(what: impl Into<String>, path: impl Into<String>) -> Place {
        Place { what: what.into(), path: path.into(), name: String::new() }
    }

    /// Returns the same place with another name.
    fn named(&self, name: &str) -> Place {
        Place { what: self.what.clone(), path: self.path.clone(), name: name.to_owned() }
    }

    /// Returns the place of a nested setting.
    fn part(&self, name: &str) -> Place {
        Place { what: self.what.clone(), path: format!("{}.{name}", self.path), name: name.to_owned() }
    }
}

/// The state of a check of a plan against the library's signatures.
struct Held<'l> {
    library: &'l Library,
    found: Vec<String>,
    /// The known ranges of integers at the current step.
    ranges: Ranges,
}

/// The ranges of the columns and locals that are integers with a known range.
#[derive(Debug, Clone, Default)]
struct Ranges {
    columns: BTreeMap<String, IntRange>,
    locals: BTreeMap<u32, IntRange>,
}

impl Held<'_> {
    fn add(&mut self, Place { what, path, .. }: &Place, fault: impl Display) {
        if self.found.len() < FAULTS_MAX {
            self.found.push(format!("{what} ({path}): {fault}"));
        }
    }

    /// Checks the expressions of a leg, and the settings of its parsers.
    fn leg(&mut self, flow: &str, path: &str, leg: &Leg) {
        for (index, step) in leg.steps.iter().enumerate() {
            let what = format!("flow {flow}, step `{}`", step.label);
            let place = Place::new(what, format!("{path}.steps[{index}]"));
            self.step(&place, step);
            if let Action::Parse { parser, settings, .. } = &step.action
                && let Some(signature) = self.library.parsers.get(parser.as_str())
            {
                let place = Place::new(place.what, format!("{}.action.parse.settings", place.path));
                self.group(&place, &format!("the parser {parser}"), &signature.group, &settings.values);
            }
        }
        let route = Place::new(format!("flow {flow}"), format!("{path}.to"));
        for condition in leg.to.conditions() {
            self.sure(&route, condition);
        }
        let part = |(index, leg)| (format!("[{index}]"), leg);
        let (kind, legs): (&str, Vec<(String, &Leg)>) = match &leg.to {
            Route::Channel(_) | Route::Sink(_) | Route::End => ("", Vec::new()),
            Route::Copy(branches) => {
                ("copy", branches.iter().map(|branch| &branch.leg).enumerate().map(part).collect())
            }
            Route::Match(cases) => {
                ("match", cases.iter().map(|case| &case.leg).enumerate().map(part).collect())
            }
            Route::Balance { legs, .. } => ("balance.segments", legs.iter().enumerate().map(part).collect()),
            Route::Failover(legs) => ("failover", legs.iter().enumerate().map(part).collect()),
        };
        let ranges = self.ranges.clone();
        for (index, leg) in legs {
            self.leg(flow, &format!("{path}.to.{kind}{index}"), leg);
            self.ranges.clone_from(&ranges);
        }
    }

    fn group(&mut self, place: &Place, owner: &str, group: &Group, values: &BTreeMap<String, Value>) {
        let before = self.found.len();
        for name in values.keys() {
            if !group.settings.iter().any(|setting| *setting.name.text == **name) {
                self.add(&place.part(name), format!("{owner} has no setting `{name}`"));
            }
        }
        for setting in &group.settings {
            let name = &*setting.name.text;
            match values.get(name) {
                Some(value) => self.setting(&place.part(name), setting, value),
                None if setting.optional => {}
                None => self.add(place, format!("the setting `{name}` is missing")),
            }
        }
        if self.found.len() == before {
            for requirement in broken_requirements(group, values) {
                let condition = self.library.files.text(requirement.condition.span);
                self.add(place, format!("`{condition}` does not hold: {}", requirement.because.text));
            }
        }
    }

    fn setting(&mut self, place: &Place, setting: &SettingSignature, value: &Value) {
        if *value == Value::Null && setting.optional {
            return;
        }
        let before = self.found.len();
        self.value(place, &setting.value_type, value);
        if let Some((form, text)) = setting.forms.iter().find_map(|form| Some((form, form.misfit(value)?))) {
            self.add(place, format!("`{}` is {text:?}: {}", place.name, form.because.text));
        }
        if self.found.len() == before
            && let Some(range) = &setting.range
            && !is_within(range, value)
        {
            let allowed = range_in_words(range, &self.library.files);
            self.add(place, format!("`{}` is {value}, and has to be {allowed}", place.name));
        }
    }

    /// Checks a value against a type, and adds its faults.
    fn value(&mut self, place: &Place, wanted: &Type, value: &Value) {
        match (wanted, value) {
            (Type::Bool, Value::Bool(_))
            | (Type::Int | Type::Group, Value::Int(_))
            | (Type::Duration, Value::Duration(_))
            | (Type::Size, Value::Size(_))
            | (Type::Secret, Value::Secret(_))
            | (Type::Header, Value::Text(_)) => {}
            (Type::Float | Type::Percent, Value::Float(number)) if number.is_finite() => {}
            (Type::EventRate, Value::EventRate(rate)) | (Type::ByteRate, Value::ByteRate(rate))
                if *rate >= 0.0 && rate.is_finite() => {}
            (Type::Template, Value::Template(template)) => {
                // The columns of a template are checked against the events where the template is used.
                for part in &template.parts {
                    if let TemplatePart::Text(text) = part {
                        self.text(place, wanted, text);
                    }
                }
            }
            (Type::Regex, Value::Regex(pattern)) => self.text(place, wanted, pattern),
            (wanted, Value::Text(text))
                if wanted.is_textual() && !matches!(wanted, Type::Template | Type::Regex) =>
            {
                self.text(place, wanted, text);
            }
            (Type::List(item), Value::List(values)) => {
                for value in values {
                    self.value(place, item, value);
                }
            }
            (Type::Map(item), Value::Record(values)) => {
                for (name, value) in values {
                    self.value(&place.part(name), item, value);
                }
            }
            (Type::Named(name), _) => self.named(place, name, value),
            _ => {
                let words = wanted.to_string();
                self.add(place, format!("`{}` is {value}, and has to be of the type {words}", place.name));
            }
        }
    }

    fn text(&mut self, place: &Place, wanted: &Type, text: &str) {
        let reason = match wanted {
            Type::Regex => syntax_error(text).map(|error| error.to_string()),
            _ => texts::check(wanted, text).err().map(|error| error.reason),
        };
        if let Some(reason) = reason {
            self.add(place, format!("`{}` is {text:?}: {reason}", place.name));
        }
    }

    fn named(&mut self, place: &Place, type_name: &str, value: &Value) {
        let library = self.library;
        match (library.types.get(type_name), value) {
            (Some(Named::Record(group)), Value::Record(values)) => {
                self.group(place, &format!("the record {type_name}"), group, values);
            }
            (Some(Named::Enum(variants)), Value::Variant { name, settings }) => {
                let Some(variant) = variants.iter().find(|variant| *variant.name.text == **name) else {
                    let known: Vec<&str> = variants.iter().map(|variant| &*variant.name.text).collect();
                    let known = known.join(", ");
                    self.add(place, format!("`{}` is {name}, and has to be one of {known}", place.name));
                    return;
                };
                let none = Group::default();
                let group = variant.group.as_ref().unwrap_or(&none);
                self.group(place, &format!("the variant {name}"), group, settings);
            }
            (None, _) => {}
            (Some(_), value) => {
                self.add(
                    place,
                    format!("`{}` is {value}, and has to be of the type {type_name}", place.name),
                );
            }
        }
    }
}
