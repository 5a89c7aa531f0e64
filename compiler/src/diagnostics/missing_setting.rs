use weir_grammar::Span;

use super::{Description, listed, with_article};

/// Required settings that are missing.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingSetting {
    /// The owner of the settings, in words.
    pub owner: String,
    /// The name and type of each missing setting, and the place of its declaration.
    pub missing: Vec<(String, String, Span)>,
    /// The place of the owner.
    pub span: Span,
}

impl MissingSetting {
    pub(super) fn describe(&self) -> Description {
        let names = listed(self.missing.iter().map(|(name, ..)| name.as_str()), "and");
        let message = format!("{} needs {names}", self.owner);
        let plural = if self.missing.len() == 1 { "is" } else { "are" };
        let mut description = Description::new(message, self.span, format!("{names} {plural} missing"));
        for (name, type_name, declared) in &self.missing {
            description = description.label(*declared, format!("`{name}` has no default"));
            description = description.help(format!("add `{name}: …`, {}", with_article(type_name)));
        }
        description
    }
}
