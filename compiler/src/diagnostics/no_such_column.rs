use weir_grammar::Span;

use super::{Description, listed};

/// A header or field that the events don't have at the place of its use.
#[derive(Debug, Clone, PartialEq)]
pub struct NoSuchColumn {
    /// The column, with the `@` of a header.
    pub name: String,
    /// The place of the use.
    pub span: Span,
    /// A column with a similar name.
    pub near: Option<String>,
    /// The existing columns.
    pub columns: Vec<String>,
    /// The components that the events come from.
    pub origins: Vec<(String, Span)>,
}

impl NoSuchColumn {
    pub(super) fn describe(&self) -> Description {
        let message = format!("no event has `{}` here", self.name);
        let mut description = Description::new(message, self.span, "no such header or field");
        for (name, span) in &self.origins {
            description = description.label(*span, format!("events of `{name}` don't have it"));
        }
        description = description.suggest(self.span, self.near.as_deref());
        match self.columns.is_empty() {
            true => description.help("the events have neither headers nor fields here"),
            false => description
                .help(format!("there are {}", listed(self.columns.iter().map(String::as_str), "and"))),
        }
    }
}
