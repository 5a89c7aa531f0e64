//! Values that a user replaces: an example of each type.

use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind};

use crate::completion::names::required;
use crate::signatures::{Group, Library, Named, SettingSignature};
use crate::types::Type;

impl Library {
    /// Returns a value for the setting whose name has this span in the library, in the syntax of the language.
    pub fn sample(&self, setting: Span) -> Option<String> {
        let definition = self.definitions.get(setting)?;
        let groups = self.groups();
        let mut settings = groups.into_iter().flat_map(|group| &group.settings);
        let signature = settings.find(|setting| setting.name.span == definition.span)?;
        self.sample_in_range(signature)
    }

    /// Returns settings that rules of a signature require beside those that it requires anyway, with the spans of their names:
    /// of `topics is not empty or pattern is not null`, the first one. `missing` has settings of the signature by their spans,
    /// and `given` the names of settings that have a value.
    pub fn required_by_rules(&self, missing: &[Span], given: &[&str]) -> Vec<(String, Span)> {
        let groups = self.groups();
        let is_own =
            |group: &&Group| group.settings.iter().any(|setting| missing.first() == Some(&setting.name.span));
        let Some(group) = groups.into_iter().find(is_own) else { return Vec::new() };
        let mut found: Vec<(String, Span)> = Vec::new();
        for rule in &group.requires {
            let ExpressionKind::Or(cases) = &rule.condition.kind else { continue };
            let Some(names) = cases.iter().map(present).collect::<Option<Vec<&str>>>() else { continue };
            let settings: Vec<&SettingSignature> =
                names.iter().filter_map(|name| group.setting(name)).collect();
            let is_met = settings.iter().any(|setting| {
                let name = &*setting.name.text;
                given.contains(&name)
                    || missing.contains(&setting.name.span)
                    || found.iter().any(|(known, _)| known == name)
            });
            if let Some(first) = settings.first().filter(|_| !is_met) {
                found.push((first.name.text.to_string(), first.name.span));
            }
        }
        found
    }

    fn sample_in_range(&self, setting: &SettingSignature) -> Option<String> {
        let least = setting.range.as_ref().map(|range| &range.least);
        match least {
            Some(least) => {
                self.files.get(least.span.file).map(|file| least.span.slice(&file.text).to_owned())
            }
            None => self.sample_of(&setting.value_type),
        }
    }

    /// Returns a value of a type, in the syntax of the language; `None` for a type whose values only the user knows.
    pub fn sample_of(&self, value_type: &Type) -> Option<String> {
        Some(match value_type {
            Type::Bool => "true".to_owned(),
            Type::Int | Type::Float | Type::Decimal(..) | Type::Group => "1".to_owned(),
            Type::Text | Type::Bytes | Type::Template => "\"name\"".to_owned(),
            Type::Time => "\"2026-01-01T00:00:00Z\"".to_owned(),
            Type::Duration => "1min".to_owned(),
            Type::Size => "1MiB".to_owned(),
            Type::EventRate => "1_000/s".to_owned(),
            Type::ByteRate => "1MiB/s".to_owned(),
            Type::Percent => "1%".to_owned(),
            Type::Address => "\"localhost:9000\"".to_owned(),
            Type::Url => "\"hdfs://localhost\"".to_owned(),
            Type::Glob => "\"*.log\"".to_owned(),
            Type::Zone => "\"UTC\"".to_owned(),
            Type::Regex => "r\".*\"".to_owned(),
            Type::Grok => "r\"%{WORD:word}\"".to_owned(),
            Type::TimePattern | Type::InstantPattern => "\"%Y-%m-%d %H:%M:%S\"".to_owned(),
            Type::Network => "\"10.0.0.0/8\"".to_owned(),
            Type::Pointer => "\"/name\"".to_owned(),
            Type::Ip => "\"127.0.0.1\"".to_owned(),
            Type::Secret => "secret env(\"SECRET\")".to_owned(),
            Type::Header => "@timestamp".to_owned(),
            Type::List(item) => format!("[{}]", self.sample_of(item)?),
            Type::Map(_) => "{}".to_owned(),
            Type::Named(name) => self.sample_of_named(name)?,
            Type::Json | Type::Schema(_) | Type::Variable(..) => return None,
        })
    }

    /// Returns the first variant that needs no settings, or a record with its required settings.
    fn sample_of_named(&self, name: &str) -> Option<String> {
        match self.types.get(name)? {
            Named::Enum(variants) => {
                let plain = |group: Option<&crate::signatures::Group>| {
                    group.is_none_or(|group| required(group).is_empty())
                };
                let first = variants.iter().find(|variant| plain(variant.group.as_ref()))?;
                Some(first.name.text.to_string())
            }
            Named::Record(group) => {
                let needed =
                    group.settings.iter().filter(|setting| setting.default.is_none() && !setting.optional);
                let entries = needed.map(|setting| {
                    Some(format!("{}: {}", setting.name.text, self.sample_in_range(setting)?))
                });
                let entries: Vec<String> = entries.collect::<Option<_>>()?;
                Some(if entries.is_empty() {
                    "{}".to_owned()
                } else {
                    format!("{{ {} }}", entries.join(", "))
                })
            }
        }
    }
}

/// Returns the setting of which a condition says that it has a value: `topics is not empty`.
fn present(condition: &Expression) -> Option<&str> {
    match &condition.kind {
        ExpressionKind::Is(test) if test.negated => match &test.operand.kind {
            ExpressionKind::Name(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}
