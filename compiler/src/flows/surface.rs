//! What surrounds a component by its settings: addresses, files and state that it names, and what it exposes.

use std::borrow::Cow;
use std::net::IpAddr;

use weir_grammar::tree::{Because, ExposesClause, Expression, TouchedClause, Touches};
use weir_plan::Value;

use crate::analysis::graph::Component;
use crate::analysis::settings::{Setting, Values};
use crate::signatures::{Group, Library, Named, Surface, Variant};
use crate::types::Type;
use crate::values::requirements::{applies, collect_names, is_met};

/// A value of a setting by which the agent reaches or touches something: an address, a path.
pub(crate) struct Touched<'h> {
    /// What the value names: one of the kinds of the library's clauses, such as `port`.
    pub(crate) kind: &'h str,
    /// The name of the setting; of a nested one with the names around it: `security.ca`.
    pub(crate) setting: String,
    pub(crate) value: &'h Value,
}

/// A clause of the signature that holds for the settings.
pub(crate) struct Exposed<'h> {
    pub(crate) what: &'h str,
    pub(crate) because: &'h Because,
    /// The settings that decide: the one that chose the variant with the clause, or those of the clause's condition.
    pub(crate) decided_by: Vec<&'h Setting>,
    /// Whether the clause is one of a variant.
    pub(crate) of_variant: bool,
    /// The setting of the clause's group that is true or false, and whose other value ends the exposure.
    pub(crate) switch: Option<Switch>,
}

/// A setting of type `Bool`, and a value of it.
pub(crate) struct Switch {
    pub(crate) name: String,
    pub(crate) value: bool,
}

impl Switch {
    /// Returns the first switch whose other value makes the condition false.
    fn against(condition: &Expression, values: &dyn Values) -> Option<Switch> {
        let mut names = Vec::new();
        collect_names(condition, &mut names);
        names.into_iter().find_map(|name| {
            let Some(Value::Bool(now)) = values.value(&name) else { return None };
            let switched = Switched { values, name: &name, value: Value::Bool(!now) };
            (!is_met(condition, &switched)).then(|| Switch { value: !now, name: name.clone() })
        })
    }
}

/// The values of a group, but for one.
struct Switched<'v> {
    values: &'v dyn Values,
    name: &'v str,
    value: Value,
}

impl Values for Switched<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        if name == self.name { Some(&self.value) } else { self.values.value(name) }
    }
}

/// Calls `found` for each setting of a group and of the groups within, with its values and its full name.
fn each<'h>(
    group: &'h Group,
    values: &'h dyn Values,
    prefix: &str,
    library: &'h Library,
    found: &mut dyn FnMut(&'h Touches, &'h dyn Values, String, &'h Value),
) {
    for setting in &group.settings {
        let Some(value) = values.value(&setting.name.text) else { continue };
        let name = format!("{prefix}{}", setting.name.text);
        for touches in &setting.touches {
            found(touches, values, name.clone(), value);
        }
        within(&setting.value_type, value, &name, library, found);
    }
}

/// Goes on with the settings within a value: of a variant, of a record, or of the items of a list.
fn within<'h>(
    value_type: &'h Type,
    value: &'h Value,
    name: &str,
    library: &'h Library,
    found: &mut dyn FnMut(&'h Touches, &'h dyn Values, String, &'h Value),
) {
    match (value_type, value) {
        (Type::List(item), Value::List(values)) => {
            for (index, value) in values.iter().enumerate() {
                within(item, value, &format!("{name}[{index}]"), library, found);
            }
        }
        (Type::Named(named), Value::Variant { name: chosen, settings }) => {
            let Some(group) = variant(library, named, chosen).and_then(|chosen| chosen.group.as_ref()) else {
                return;
            };
            each(group, settings, &format!("{name}."), library, found);
        }
        (Type::Named(named), Value::Record(settings)) => {
            if let Some(Named::Record(group)) = library.types.get(named) {
                each(group, settings, &format!("{name}."), library, found);
            }
        }
        _ => {}
    }
}

/// Returns a variant of an enum of the library.
pub(crate) fn variant<'h>(library: &'h Library, named: &str, chosen: &str) -> Option<&'h Variant> {
    let Named::Enum(variants) = library.types.get(named)? else { return None };
    variants.iter().find(|variant| &*variant.name.text == chosen)
}

/// Returns the values of a group by which something is reached or touched.
pub(crate) fn touched_in<'h>(
    group: &'h Group,
    values: &'h dyn Values,
    library: &'h Library,
) -> Vec<Touched<'h>> {
    let mut all = Vec::new();
    each(group, values, "", library, &mut |touches, values, setting, value| {
        if applies(touches.condition.as_ref(), values) && *value != Value::Null {
            all.push(Touched { kind: &touches.kind.text, setting, value });
        }
    });
    all
}

impl Component {
    /// Returns the values of settings by which the component reaches or touches something.
    pub(crate) fn touched<'h>(&'h self, library: &'h Library) -> Vec<Touched<'h>> {
        self.side().map_or(Vec::new(), |side| touched_in(side.group, &self.settings, library))
    }

    /// Returns what the component touches whatever its settings name.
    pub(crate) fn always_touched<'h>(&'h self, library: &'h Library) -> Vec<&'h TouchedClause> {
        let mut all = Vec::new();
        self.each_surface(library, &mut |surface, values, _| {
            let clauses = surface.touched.iter();
            all.extend(clauses.filter(|clause| applies(clause.condition.as_ref(), values)));
        });
        all
    }

    /// Returns what the component exposes.
    pub(crate) fn exposed<'h>(&'h self, library: &'h Library) -> Vec<Exposed<'h>> {
        let mut all = Vec::new();
        self.each_surface(library, &mut |surface, values, chosen_by| {
            let clauses = surface.exposes.iter().filter(|clause| applies(clause.condition.as_ref(), values));
            all.extend(clauses.map(|clause| {
                let ExposesClause { what, condition, because } = clause;
                let decided_by = match (chosen_by, condition) {
                    (Some(setting), _) => vec![setting],
                    (None, Some(condition)) => self.named(condition),
                    (None, None) => Vec::new(),
                };
                let switch = condition.as_ref().and_then(|condition| Switch::against(condition, values));
                Exposed { what: &what.text, because, decided_by, of_variant: chosen_by.is_some(), switch }
            }));
        });
        all
    }

    /// Returns the outermost settings that a condition of the signature names.
    fn named(&self, condition: &Expression) -> Vec<&Setting> {
        let mut names = Vec::new();
        collect_names(condition, &mut names);
        let outermost = |name: &String| name.split('.').next().map(str::to_owned);
        let mut names: Vec<String> = names.iter().filter_map(outermost).collect();
        names.dedup();
        names.iter().filter_map(|name| self.settings.get(name)).collect()
    }

    /// Calls `found` for the clauses of the signature and for those of each chosen variant, nested ones too, with the setting
    /// that chose it.
    fn each_surface<'h>(
        &'h self,
        library: &'h Library,
        found: &mut dyn FnMut(&'h Surface, &'h dyn Values, Option<&'h Setting>),
    ) {
        let (Some(signature), true) = (&self.signature, self.settings.whole) else { return };
        found(&signature.surface, &self.settings, None);
        for setting in self.settings.iter() {
            let (Type::Named(named), Some(Value::Variant { name, settings })) =
                (&setting.value_type, &setting.value)
            else {
                continue;
            };
            if let Some(variant) = variant(library, named, name) {
                found(&variant.surface, settings, Some(setting));
            }
        }
    }
}

impl Library {
    /// Returns the variants of a setting's enum; none if its type is no enum.
    pub(crate) fn variants(&self, value_type: &Type) -> &[Variant] {
        match value_type {
            Type::Named(named) => match self.types.get(named) {
                Some(Named::Enum(variants)) => variants,
                _ => &[],
            },
            _ => &[],
        }
    }
}

impl Variant {
    /// Whether the variant has a clause by which it exposes this, such as `link`, whatever its settings are.
    pub(crate) fn may_expose(&self, what: &str) -> bool {
        self.surface.exposes.iter().any(|clause| *clause.what.text == *what)
    }
}

/// Returns the texts of a value: of a text, or of each text in a list. A template's text ends at its first hole.
pub(crate) fn texts(value: &Value) -> Vec<Cow<'_, str>> {
    match value {
        Value::Text(text) => vec![Cow::Borrowed(text)],
        Value::Template(template) => {
            let texts = template.parts.iter().map_while(|part| match part {
                weir_plan::TemplatePart::Text(text) => Some(text.as_str()),
                weir_plan::TemplatePart::Hole(_) => None,
            });
            vec![Cow::Owned(texts.collect())]
        }
        Value::List(items) => items.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Splits an address or a URL into its host, without brackets, and its port.
pub(crate) fn host_and_port(address: &str) -> (&str, Option<u16>) {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').and_then(|port| port.parse().ok())),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (authority, None),
        },
    };
    let of_scheme = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    (host, port.or(of_scheme))
}

/// Returns whether a host, or the host of an address or a URL, is this machine alone.
pub(crate) fn is_loopback(address: &str) -> bool {
    let host =
        address.parse::<IpAddr>().map_or_else(|_| host_and_port(address).0, |_| address).to_ascii_lowercase();
    let is_name = host == "localhost" || host.ends_with(".localhost");
    is_name || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}
