use weir_grammar::Span;

use super::Description;

/// A name that nothing has.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// What it should name, in words.
    pub wanted: &'static str,
    /// A name that is near.
    pub near: Option<String>,
    /// Whether text was expected, so that quotes may have been forgotten.
    pub quote: bool,
    /// Where it stands.
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
            // In a condition a field is as likely to have been meant.
            (true, "field, param or let") => {
                description.help(format!("text stands in quotes: \"{}\"", self.name))
            }
            (true, _) => description.help(format!("text stands in quotes: \"{}\"", self.name)).fix(
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
