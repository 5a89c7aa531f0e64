//! Checks settings against their signatures: unknown and missing settings, ranges and requirements.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Block, Entry, Expression, Name};
use weir_plan::Value;

use crate::analysis::settings::{Exclusive, Found, Origin, Setting, Settings, Unsorted, Values};
use crate::checker::{Checker, Expectation, Owner};
use crate::diagnostics::{DuplicateEntry, MissingSetting, OutOfRange, UnknownSetting};
use crate::signatures::{Group, SettingSignature};
use crate::values::defaults::Deriving;
use crate::values::ranges::{is_within, range_in_words};
use crate::values::requirements::is_met;

/// The entries of a block by their settings. Blocks have few entries.
#[derive(Default)]
struct Given<'b>(Vec<(&'b str, &'b Entry)>);

impl<'b> Given<'b> {
    /// Returns the last entry of a setting.
    fn get(&self, setting: &str) -> Option<&'b Entry> {
        self.0.iter().rev().find(|(name, _)| *name == setting).map(|(_, entry)| *entry)
    }
}

/// Returns the values of the `exclusive` settings that the block sets.
fn exclusive(group: &Group, values: &dyn Values, given: &Given<'_>) -> Vec<Exclusive> {
    let mut found = Vec::new();
    for SettingSignature { name, value_type, exclusive, .. } in &group.settings {
        let (Some(exclusive), Some(entry)) = (exclusive, given.get(&name.text)) else { continue };
        let Some(value) = values.value(&name.text) else { continue };
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
    let name = name.text.to_string();
    Setting { name, value, origin, value_type, optional, declared, derived_from: None }
}

impl Checker<'_> {
    /// Checks a block of settings against a group. Returns the settings, with defaults for the missing values.
    pub(crate) fn group(&mut self, group: &Group, block: &Block, owner: &Owner) -> Settings {
        let mut found = Found::default();
        let whole = self.group_values(group, block, owner, &mut found);
        found.settings(whole)
    }

    /// Checks a nested block of settings against a group; returns `None` if the block has errors.
    pub(crate) fn group_with(
        &mut self,
        group: &Group,
        block: &Block,
        owner: &Owner,
        found: &mut Found,
    ) -> Option<BTreeMap<String, Value>> {
        let before = found.settings.len();
        let whole = self.group_values(group, block, owner, found);
        whole.then(|| Unsorted(&found.settings[before..]).planned())
    }

    /// Adds the settings of a group. Returns whether they have no errors.
    fn group_values(&mut self, group: &Group, block: &Block, owner: &Owner, found: &mut Found) -> bool {
        if let Some(first) = group.settings.first() {
            self.notes.blocks.insert(block.span, first.name.span);
        }
        let mut given = Given::default();
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
            let first = given.get(setting);
            given.0.push((setting, entry));
            if let Some(first) = first {
                let name = entry.name.text.to_string();
                self.report(DuplicateEntry { name, first: first.name.span, second: entry.name.span });
            }
        }
        let complete = self.complete(group, block, owner, &given, &unknown);
        let whole = complete && unknown.is_empty() && !block.broken;
        self.values_of(group, &given, owner, whole, found)
    }

    /// Adds the settings of a group, given its entries by their settings. Returns whether the settings have no errors.
    fn values_of(
        &mut self,
        group: &Group,
        given: &Given<'_>,
        owner: &Owner,
        mut whole: bool,
        found: &mut Found,
    ) -> bool {
        let begin = found.settings.len();
        let is_derived =
            |setting: &SettingSignature| setting.is_computed() && given.get(&setting.name.text).is_none();
        for setting in group.settings.iter().filter(|setting| !is_derived(setting)) {
            whole &= match given.get(&setting.name.text) {
                Some(entry) => {
                    self.notes.uses.note(entry.name.span, setting.name.span);
                    let before = found.settings.len();
                    let value = self.setting(setting, &entry.value, found);
                    found.name_from(before, &setting.name.text);
                    let is_known = value.is_some();
                    found.settings.push(Arc::new(known(setting, value, Origin::Written(entry.value.span))));
                    is_known
                }
                None => self.default_value(setting, found),
            };
        }
        let own = Unsorted(&found.settings[begin..]);
        let known = |name: &str| own.get(name).and_then(|setting| setting.known(name));
        let deriving = Deriving { group, own: &known, neighbours: &|_, _| None };
        let derived = group.settings.iter().filter(|setting| is_derived(setting));
        let derived: Vec<Arc<Setting>> = derived.map(|setting| Arc::new(deriving.setting(setting))).collect();
        for setting in &derived {
            whole &= self.in_range(group, setting);
        }
        found.settings.extend(derived);
        let own = Unsorted(&found.settings[begin..]);
        found.exclusive.extend(exclusive(group, &own, given));
        self.requirements(group, &own, &|name| own.get(name), Some(owner)) && whole
    }

    /// Adds the default of a setting without a value in the block. Returns false if the setting needs a value.
    fn default_value(&mut self, setting: &SettingSignature, found: &mut Found) -> bool {
        if let Some(checked) = self.defaults.get(&setting.name.span) {
            found.settings.extend(checked.iter().cloned());
            return true;
        }
        let mut own = Found::default();
        let (value, origin) = match &setting.default {
            Some(default) => {
                let value = self.value_with(default, &Expectation::of(setting), &mut own);
                (value, Origin::Default(default.span))
            }
            None if setting.optional => (Some(Value::Null), Origin::Absent),
            None => (None, Origin::Missing),
        };
        own.name_from(0, &setting.name.text);
        let is_known = value.is_some();
        own.settings.push(Arc::new(known(setting, value, origin)));
        found.settings.extend(own.settings.iter().cloned());
        if is_known && own.has_settings_only() {
            self.defaults.insert(setting.name.span, own.settings);
        } else {
            found.holes.extend(own.holes);
            found.headers.extend(own.headers);
            found.exclusive.extend(own.exclusive);
        }
        is_known
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
        given: &Given<'_>,
        unknown: &[&Name],
    ) -> bool {
        let needed = group.settings.iter().filter(|setting| setting.default.is_none() && !setting.optional);
        let missing: Vec<&SettingSignature> =
            needed.filter(|setting| given.get(&setting.name.text).is_none()).collect();
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
