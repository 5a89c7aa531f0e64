//! Checks settings against their signatures: unknown and missing settings, ranges and requirements.

use std::collections::{BTreeMap, HashMap};

use weir_grammar::Span;
use weir_grammar::tree::{Block, Entry, Expression, Name};
use weir_plan::Value;

use crate::analysis::settings::{Exclusive, Found, Origin, Setting, Settings};
use crate::checker::{Checker, Expectation, Owner};
use crate::diagnostics::{DuplicateEntry, MissingSetting, OutOfRange, UnknownSetting};
use crate::signatures::{Group, SettingSignature};
use crate::values::defaults::Deriving;
use crate::values::ranges::{is_within, range_in_words};
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
    let (value_type, optional, declared) = (value_type.clone(), *optional, name.span);
    Setting { value, origin, value_type, optional, declared, derived_from: None }
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
        let whole = complete && unknown.is_empty() && !block.broken;
        self.values_of(group, &given, whole, found)
    }

    /// Returns the known values of a group, given its entries by their settings, and whether the settings have no errors.
    fn values_of(
        &mut self,
        group: &Group,
        given: &HashMap<&str, &Entry>,
        mut whole: bool,
        found: &mut Found,
    ) -> (BTreeMap<String, Value>, bool) {
        let begin = found.settings.len();
        let mut values = BTreeMap::new();
        let mut own = BTreeMap::new();
        let is_derived =
            |setting: &SettingSignature| setting.is_computed() && !given.contains_key(&*setting.name.text);
        for setting in group.settings.iter().filter(|setting| !is_derived(setting)) {
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
            whole &= value.is_some();
            values.extend(value.clone().map(|value| (name.to_owned(), value)));
            let setting = known(setting, value, origin);
            own.extend(setting.known(name).map(|known| (name.to_owned(), known)));
            found.settings.push((name.to_owned(), setting));
        }
        let deriving = Deriving { group, own, neighbours: &|_, _| None };
        for signature in group.settings.iter().filter(|setting| is_derived(setting)) {
            let (name, setting) = (signature.name.text.to_string(), deriving.setting(signature));
            whole &= self.in_range(signature, &setting);
            values.extend(setting.value.clone().map(|value| (name.clone(), value)));
            found.settings.push((name, setting));
        }
        found.exclusive.extend(exclusive(group, &values, given));
        let own = &found.settings[begin..];
        let setting = |name: &str| own.iter().find(|(own, _)| own == name).map(|(_, setting)| setting);
        whole &= self.requirements(group, &values, &setting);
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
        match self.library.nearest(&name.text, absent) {
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
