use weir_grammar::Span;

use super::{Description, listed};

/// A setting that its owner doesn't have.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownSetting {
    /// The setting.
    pub name: String,
    /// The owner of the settings, in words.
    pub owner: String,
    /// A setting with a similar name.
    pub near: Option<String>,
    /// The settings of the owner.
    pub known: Vec<String>,
    /// The required settings that are missing.
    pub missing: Vec<String>,
    /// The place of the setting.
    pub span: Span,
}

impl UnknownSetting {
    pub(super) fn describe(&self) -> Description {
        let message = format!("{} has no setting `{}`", self.owner, self.name);
        let description =
            Description::new(message, self.span, "unknown setting").suggest(self.span, self.near.as_deref());
        let description = match self.missing.is_empty() {
            true => description,
            false => {
                let missing = listed(self.missing.iter().map(String::as_str), "and");
                description.help(format!("{missing} must be given and is not here"))
            }
        };
        match self.known.is_empty() {
            true => description.help(format!("{} has no settings", self.owner)),
            false => description
                .help(format!("its settings: {}", listed(self.known.iter().map(String::as_str), "and"))),
        }
    }
}
