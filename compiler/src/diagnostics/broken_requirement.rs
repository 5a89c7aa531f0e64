use weir_grammar::Span;

use super::{Description, joined, listed};

/// Settings that contradict each other.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokenRequirement {
    /// The condition that the signature requires, as the signature states it.
    pub condition: String,
    /// The reason for the condition.
    pub reason: String,
    /// The place of the reason in the signature.
    pub reason_span: Span,
    /// The settings that the condition names.
    pub settings: Vec<RequiredSetting>,
    /// Whether one of the settings belongs to an implicit channel, which the program doesn't name.
    pub implicit: bool,
    /// The owner of the settings, in words, and its place: what is wrong if it gives none of the settings.
    pub owner: Option<(String, Span)>,
}

impl BrokenRequirement {
    pub(super) fn describe(&self) -> Description {
        let shown: Vec<String> = self.settings.iter().map(RequiredSetting::shown).collect();
        let settings = &self.settings;
        let owner = self.owner.as_ref().filter(|_| settings.iter().all(|setting| setting.default));
        if let Some((owner, span)) = owner {
            let names = listed(settings.iter().map(|setting| setting.name.as_str()), "or");
            let message = format!("{owner} needs {names}: {}", self.reason);
            let mut description = Description::new(message, *span, format!("{names} is missing"));
            for setting in settings {
                description = description.label(setting.span, setting.label());
            }
            let required = format!("its library requires `{}`", self.condition);
            return description.label(self.reason_span, required).help(format!("set {names}"));
        }
        let message = match shown.as_slice() {
            // The reason alone says what is wrong with a single setting.
            [only] => format!("{only}: {}", self.reason),
            _ => format!("`{}` does not hold: {}", self.condition, joined(&shown, "and")),
        };
        let mut settings: Vec<&RequiredSetting> = self.settings.iter().collect();
        settings.sort_by_key(|setting| setting.default);
        let mut description = Description { message, ..Description::default() };
        for setting in settings {
            description = description.label(setting.span, setting.label());
        }
        description.label(self.reason_span, self.reason.as_str()).help(self.instead())
    }

    fn instead(&self) -> String {
        let defaults = self.settings.iter().filter(|setting| setting.default);
        let defaults: Vec<String> = defaults.map(|setting| format!("`{}`", setting.name)).collect();
        match defaults.is_empty() {
            false if self.implicit => {
                format!(
                    "change them so that `{}`, or lead the way through a channel of your own",
                    self.condition
                )
            }
            true => format!("change them so that `{}`", self.condition),
            false => format!("set {} as well, so that `{}`", joined(&defaults, "and"), self.condition),
        }
    }
}

/// A setting that a requirement names.
#[derive(Debug, Clone, PartialEq)]
pub struct RequiredSetting {
    /// The name of the setting.
    pub name: String,
    /// The value of the setting, as the program or the library writes it.
    pub value: String,
    /// The place of the value.
    pub span: Span,
    /// Whether the value is the default, because the program gives no value.
    pub default: bool,
    /// The settings that decide the value, if it is computed from them.
    pub derived_from: Option<String>,
}

impl RequiredSetting {
    pub(crate) fn shown(&self) -> String {
        format!("`{}` is {}", self.name, self.value)
    }

    pub(super) fn label(&self) -> String {
        match &self.derived_from {
            Some(from) => format!("{}, derived from `{from}`", self.shown()),
            None if self.default => self.shown() + " by default",
            None => self.shown(),
        }
    }
}
