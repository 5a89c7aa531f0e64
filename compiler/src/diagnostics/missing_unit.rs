use weir_grammar::Span;

use super::{Description, listed, with_article};

/// A bare number where a unit is needed.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingUnit {
    /// The type that is expected.
    pub expected: String,
    /// The number.
    pub number: String,
    /// The number with units.
    pub offers: Vec<String>,
    /// The number.
    pub span: Span,
    /// What asks for the type, and where.
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
                description.fix(format!("write `{only}`"), self.span, only.as_str())
            }
            _ => description,
        }
    }
}
