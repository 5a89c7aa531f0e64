use weir_grammar::Span;

use super::Description;

/// A hole whose format doesn't fit.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedHole {
    /// What is wrong with the format.
    pub reason: String,
    /// The part that is wrong.
    pub span: Span,
    /// The type that the hole has, and where that is said.
    pub column: Option<(String, Span)>,
    /// What would be right.
    pub help: String,
}

impl MalformedHole {
    pub(super) fn describe(&self) -> Description {
        let description = Description::new(self.reason.as_str(), self.span, "this can't be written");
        let description = match &self.column {
            Some((text, span)) => description.label(*span, text.as_str()),
            None => description,
        };
        description.help(self.help.as_str())
    }
}
