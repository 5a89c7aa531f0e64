use weir_grammar::Span;

use super::{Description, with_article};

/// A number that its type does not have exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct InexactNumber {
    /// The text of the number.
    pub number: String,
    /// The type.
    pub type_name: String,
    /// The nearest number of the type.
    pub nearest: String,
    /// The place of the number.
    pub span: Span,
    /// The declaration that requires the type, in words, and its place.
    pub declared: Option<(String, Span)>,
}

impl InexactNumber {
    pub(super) fn describe(&self) -> Description {
        let type_name = with_article(&self.type_name);
        let message = format!("no {} is exactly `{}`", self.type_name, self.number);
        let mut description = Description::new(message, self.span, format!("does not fit {type_name}"));
        if let Some((text, span)) = &self.declared {
            description = description.label(*span, text.as_str());
        }
        description.help(format!("the nearest that fits is `{}`", self.nearest))
    }
}
