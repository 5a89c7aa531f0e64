use weir_grammar::Span;

use super::{Description, listed, with_article};

/// A number without its required unit.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingUnit {
    /// The expected type.
    pub expected: String,
    /// The text of the number.
    pub number: String,
    /// The number with each possible unit.
    pub offers: Vec<String>,
    /// The place of the number.
    pub span: Span,
    /// The declaration that requires the type, in words, and its place.
    pub declared: Option<(String, Span)>,
}

impl MissingUnit {
    pub(super) fn describe(&self) -> Description {
        let message = format!("{} needs a unit: `{}` of what?", with_article(&self.expected), self.number);
        let mut description = Description::new(message, self.span, "a bare number");
        if let Some((text, span)) = &self.declared {
            description = description.label(*span, text.as_str());
        }
        let offers = listed(self.offers.iter().map(String::as_str), "or");
        description = description.help(format!("write {offers}"));
        match self.offers.as_slice() {
            [only] if self.expected != "Percent" => {
                description.guess(format!("write `{only}`"), self.span, only.as_str())
            }
            _ => description,
        }
    }
}
