//! Checks settings against their signatures: unknown and missing settings, ranges and requirements.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use weir_grammar::Span;
use weir_grammar::tree::{Block, Entry, Expression, ExpressionKind, Name, Range};
use weir_plan::Value;

use crate::analysis::settings::{Exclusive, Found, Origin, Setting, Settings};
use crate::checker::{Checker, Expectation, Owner};
use crate::diagnostics::{DuplicateEntry, MissingSetting, OutOfRange, UnknownSetting};
use crate::files::sources::Files;
use crate::signatures::{Group, SettingSignature};
use crate::spelling::nearest;
use crate::values::literals::number_value;
use crate::values::operators::compare;
use crate::values::requirements::is_met;

/// Returns the values of the `exclusive` settings that the block sets.
fn exclusive(
    group: &Group,
    values: &BTreeMap<String, Value>,
    given: &HashMap<&str, &Entry>,
) -> Vec<Exclusive> {
    let mut found = Vec::new();
    for SettingSignature { name, value_type, exclusive, .. } in &group.settings {
        let (Some(exclusive), Some(entry)) = (exclusive, given.get(&*name.text)) else { continue };
        let Some(value) = values.get(&*name.text) else { continue };
        let apart = exclusive.unless.as_ref().is_some_and(|condition| is_met(condition, values));
        let (setting, span) = (name.text.to_string(), entry.value.span);
        found.push(Exclusive { setting, value_type: value_type.clone(), value: value.clone(), apart, span });
    }
    found
}

/// Returns a setting with its value and the value's origin.
fn known(signature: &SettingSignature, value: Option<Value>, origin: Origin) -> Setting {
    let SettingSignature { name, value_type, optional, .. } = signature;
    Setting { value, origin, value_type: value_type.clone(), optional: *optional, declared: name.span }
}

/// Returns whether a value is in a range.
pub(crate) fn is_within(range: &Range, value: &Value) -> bool {
    let bound = |bound: &Expression| match &bound.kind {
        ExpressionKind::Number(number) => Some(number_value(*number)),
        _ => None,
    };
    let too_small = bound(&range.least).and_then(|least| compare(value, &least)) == Some(Ordering::Less);
    let greatest = range.greatest.as_ref().and_then(bound).and_then(|greatest| compare(value, &greatest));
    let too_large = match greatest {
        Some(Ordering::Greater) => true,
        Some(Ordering::Equal) => !range.inclusive,
        _ => false,
    };
    !too_small && !too_large
}

/// Formats a range for messages, with its bounds as the library writes them.
pub(crate) fn range_in_words(range: &Range, files: &Files) -> String {
    let text = |bound: &Expression| files.text(bound.span);
    match (&range.greatest, range.inclusive) {
        (None, _) => format!("at least {}", text(&range.least)),
        (Some(greatest), true) => format!("from {} to {}", text(&range.least), text(greatest)),
        (Some(greatest), false) => format!("at least {} and below {}", text(&range.least), text(greatest)),
    }
}

impl Checker<'_> {
    /// Checks a block of settings against a group. Returns the settings, with defaults for the missing values.
    pub(crate) fn group(&mut self, group: &Group, block: &Block, owner: &Owner) -> Settings {
        let mut found = Found::default();
        let (values, whole) = self.group_values(group, block, owner, &mut found);
        found.settings(values, whole)
    }

    /// Checks a nested block of settings against a group; returns `None` if the block has errors.
    pub(crate) fn group_with(
        &mut self,
        group: &Group,
        block: &Block,
        owner: &Owner,
        found: &mut Found,
    ) -> Option<BTreeMap<String, Value>> {
        let (values, whole) = self.group_values(group, block, owner, found);
        whole.then_some(values)
    }

    /// Returns the known values, and whether the settings have no errors.
    fn group_values(
        &mut self,
        group: &Group,
        block: &Block,
        owner: &Owner,
        found: &mut Found,
    ) -> (BTreeMap<String, Value>, bool) {
        let mut given: HashMap<&str, &Entry> = HashMap::with_capacity(block.entries.len());
        let mut unknown: Vec<&Name> = Vec::new();
        for entry in &block.entries {
            let known = group.settings.iter().any(|setting| setting.name.text == entry.name.text);
            let setting = if known {
                &*entry.name.text
            } else {
                self.meant(group, block, &entry.name, owner, &mut unknown)
            };
            if setting.is_empty() {
                continue;
            }
            if let Some(first) = given.insert(setting, entry) {
                let name = entry.name.text.to_string();
                self.report(DuplicateEntry { name, first: first.name.span, second: entry.name.span });
            }
        }
        let complete = self.complete(group, block, owner, &given, &unknown);
        let mut values = BTreeMap::new();
        let mut whole = complete && unknown.is_empty() && !block.broken;
        for setting in &group.settings {
            let name = &*setting.name.text;
            let before = found.settings.len();
            let (value, origin) = match (given.get(name), &setting.default) {
                (Some(entry), _) => {
                    self.notes.uses.note(entry.name.span, setting.name.span);
                    (self.setting(setting, &entry.value, found), Origin::Written(entry.value.span))
                }
                (None, Some(default)) => {
                    let value = self.value_with(default, &Expectation::of(setting), found);
                    (value, Origin::Default(default.span))
                }
                (None, None) if setting.optional => (Some(Value::Null), Origin::Absent),
                (None, None) => (None, Origin::Missing),
            };
            found.name_from(before, name);
            found.settings.push((name.to_owned(), known(setting, value.clone(), origin)));
            match value {
                Some(value) => drop(values.insert(name.to_owned(), value)),
                None => whole = false,
            }
        }
        found.exclusive.extend(exclusive(group, &values, &given));
        let given = given.iter().map(|(name, entry)| (*name, entry.value.span)).collect();
        whole &= self.requirements(group, &values, &given);
        (values, whole)
    }

    /// Returns the name of the setting that an unknown name most likely means, and reports the unknown name. If no
    /// setting has a similar name, adds the name to `unknown` and returns an empty text.
    fn meant<'g>(
        &mut self,
        group: &'g Group,
        block: &'g Block,
        name: &'g Name,
        owner: &Owner,
        unknown: &mut Vec<&'g Name>,
    ) -> &'g str {
        let absent = group.settings.iter().map(|setting| &*setting.name.text);
        let absent = absent.filter(|known| !block.entries.iter().any(|entry| *entry.name.text == **known));
        match nearest(&name.text, absent) {
            Some(near) => {
                self.report(UnknownSetting {
                    name: name.text.to_string(),
                    owner: owner.words.clone(),
                    near: Some(near.to_owned()),
                    known: group.settings.iter().map(|setting| setting.name.text.to_string()).collect(),
                    missing: Vec::new(),
                    span: name.span,
                });
                near
            }
            None => {
                unknown.push(name);
                ""
            }
        }
    }

    /// Reports unknown and missing settings. If a block has both, an unknown setting is likely a missing one under
    /// another name, so they are reported as one error. Returns whether no setting is missing.
    fn complete(
        &mut self,
        group: &Group,
        block: &Block,
        owner: &Owner,
        given: &HashMap<&str, &Entry>,
        unknown: &[&Name],
    ) -> bool {
        let needed = group.settings.iter().filter(|setting| setting.default.is_none() && !setting.optional);
        let missing: Vec<&SettingSignature> =
            needed.filter(|setting| !given.contains_key(&*setting.name.text)).collect();
        for (index, name) in unknown.iter().enumerate() {
            let missing = if index == 0 { missing.as_slice() } else { &[] };
            self.report(UnknownSetting {
                name: name.text.to_string(),
                owner: owner.words.clone(),
                near: None,
                known: group.settings.iter().map(|setting| setting.name.text.to_string()).collect(),
                missing: missing.iter().map(|setting| setting.name.text.to_string()).collect(),
                span: name.span,
            });
        }
        if unknown.is_empty() && !missing.is_empty() && !block.broken {
            let missing = missing.iter().map(|setting| {
                (setting.name.text.to_string(), setting.value_type.to_string(), setting.name.span)
            });
            self.report(MissingSetting {
                owner: owner.words.clone(),
                missing: missing.collect(),
                span: owner.span,
            });
            return false;
        }
        missing.is_empty()
    }

    /// Checks the value of one setting: its type and its range.
    pub(crate) fn setting(
        &mut self,
        setting: &SettingSignature,
        given: &Expression,
        found: &mut Found,
    ) -> Option<Value> {
        let value = self.value_with(given, &Expectation::of(setting), found)?;
        self.range(setting, &value, given.span).then_some(value)
    }

    /// Checks that a value is in its setting's range.
    pub(crate) fn range(&mut self, setting: &SettingSignature, value: &Value, span: Span) -> bool {
        let Some(range) = &setting.range else { return true };
        if !is_within(range, value) {
            let name = setting.name.text.to_string();
            let range_text = range_in_words(range, self.files);
            let declared = range.span;
            self.report(OutOfRange { name, value: value.to_string(), range: range_text, span, declared });
            return false;
        }
        true
    }
}
