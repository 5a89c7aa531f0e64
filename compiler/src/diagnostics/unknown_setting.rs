use weir_grammar::Span;

use super::{Description, listed};

/// A setting that its owner doesn't have.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownSetting {
    /// The setting.
    pub name: String,
    /// Whose settings these are, in words.
    pub owner: String,
    /// A setting of a near name.
    pub near: Option<String>,
    /// The settings that there are.
    pub known: Vec<String>,
    /// The settings that must be given and aren't.
    pub missing: Vec<String>,
    /// Where it stands.
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
