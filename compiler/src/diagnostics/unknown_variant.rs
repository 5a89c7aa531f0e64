use weir_grammar::Span;

use super::{Description, listed, with_article};

/// A variant that the enum doesn't have.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownVariant {
    /// The variant.
    pub name: String,
    /// The enum.
    pub enumeration: String,
    /// A variant with a similar name.
    pub near: Option<String>,
    /// The variants of the enum.
    pub known: Vec<String>,
    /// The place of the variant.
    pub span: Span,
}

impl UnknownVariant {
    pub(super) fn describe(&self) -> Description {
        let message = format!("{} has no variant `{}`", self.enumeration, self.name);
        let known = listed(self.known.iter().map(String::as_str), "or");
        Description::new(message, self.span, "unknown variant")
            .suggest(self.span, self.near.as_deref())
            .help(format!("{} is {known}", with_article(&self.enumeration)))
    }
}
