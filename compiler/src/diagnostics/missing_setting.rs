use weir_grammar::Span;

use super::{Description, listed, with_article};

/// Settings that must be given and aren't.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingSetting {
    /// Whose settings they are, in words.
    pub owner: String,
    /// Name, type and signature of each.
    pub missing: Vec<(String, String, Span)>,
    /// Where the owner stands.
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
