use weir_grammar::Span;

use super::Description;

/// A hole whose format doesn't suit its value.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedHole {
    /// The fault of the format, in words.
    pub reason: String,
    /// The faulty part of the hole.
    pub span: Span,
    /// The type of the hole in words, and the place of its declaration.
    pub column: Option<(String, Span)>,
    /// The suggested correction.
    pub help: String,
    /// The text that belongs at the place of the faulty part, if it is known.
    pub instead: Option<String>,
}

impl MalformedHole {
    pub(super) fn describe(&self) -> Description {
        let description = Description::new(self.reason.as_str(), self.span, "this can't be written");
        let description = match &self.column {
            Some((text, span)) => description.label(*span, text.as_str()),
            None => description,
        };
        let description = description.help(self.help.as_str());
        match &self.instead {
            Some(instead) => description.fix(format!("write `{instead}`"), self.span, instead.as_str()),
            None => description,
        }
    }
}
