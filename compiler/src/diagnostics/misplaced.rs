use weir_grammar::Span;

use super::Description;

/// A name at a place where its kind is not allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Misplaced {
    /// The misplaced component or other item, in words.
    pub name: String,
    /// The kind of the item, in words.
    pub role: &'static str,
    /// The rule that the item breaks, in words.
    pub rule: String,
    /// The place of the name.
    pub span: Span,
    /// The place of the declaration.
    pub declared: Option<Span>,
}

impl Misplaced {
    pub(super) fn describe(&self) -> Description {
        let message = format!("{} can't stand here: {}", self.name, self.rule);
        let description = Description::new(message, self.span, format!("this is {}", self.role));
        let description = match self.declared {
            Some(declared) => description.label(declared, "declared here"),
            None => description,
        };
        match self.role {
            _ if self.rule.starts_with("a test ") => description,
            "a source" | "a channel" | "a sink" | "not a component" => description.help(
                "a chain runs `source -> steps -> channel -> steps -> sink`; it may begin or end at a channel",
            ),
            _ => description,
        }
    }
}
