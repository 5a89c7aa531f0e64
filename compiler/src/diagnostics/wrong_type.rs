use weir_grammar::Span;

use super::{Description, with_article};

/// A value of another type than the one that is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct WrongType {
    /// The type that is expected.
    pub expected: String,
    /// What was found, in words.
    pub found: String,
    /// The value.
    pub span: Span,
    /// What asks for the type, and where.
    pub declared: Option<(String, Span)>,
    /// For a name, what it is, and where that is said.
    pub value: Option<(String, Span)>,
    /// What would be right, if that is sure.
    pub replacement: Option<String>,
}

impl WrongType {
    pub(super) fn describe(&self) -> Description {
        let message = format!("expected {}, found {}", with_article(&self.expected), self.found);
        let mut description =
            Description::new(message, self.span, format!("expected {}", with_article(&self.expected)));
        if let Some((text, span)) = &self.value {
            description = description.label(*span, text.as_str());
        }
        if let Some((text, span)) = &self.declared {
            description = description.label(*span, text.as_str());
        }
        match &self.replacement {
            Some(replacement) => description.help(format!("write `{replacement}`")).fix(
                format!("write `{replacement}`"),
                self.span,
                replacement.as_str(),
            ),
            None => description,
        }
    }
}
