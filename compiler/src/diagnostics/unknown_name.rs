use weir_grammar::Span;

use super::Description;

/// An unknown name.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// The kind of item that the name should have, in words.
    pub wanted: &'static str,
    /// A similar name.
    pub near: Option<String>,
    /// Whether text was expected, so that the quotes may be missing.
    pub quote: bool,
    /// The place of the name.
    pub span: Span,
}

impl UnknownName {
    pub(super) fn describe(&self) -> Description {
        let message = format!("there is no {} `{}`", self.wanted, self.name);
        let description =
            Description::new(message, self.span, "unknown").suggest(self.span, self.near.as_deref());
        if self.near.is_some() {
            return description;
        }
        match (self.quote, self.wanted) {
            // In a condition, the name may as well be that of a field.
            (true, "field, param or let") => {
                description.help(format!("text stands in quotes: \"{}\"", self.name))
            }
            (true, _) => description.help(format!("text stands in quotes: \"{}\"", self.name)).guess(
                "put it in quotes",
                self.span,
                format!("\"{}\"", self.name),
            ),
            (false, "source, channel or sink") => {
                description.help(format!("declare it: `channel {} = memory {{}}`, for example", self.name))
            }
            (false, _) => description,
        }
    }
}
