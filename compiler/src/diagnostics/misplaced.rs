use weir_grammar::Span;

use super::Description;

/// A component where one of its kind can't stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Misplaced {
    /// The component, or what stands there, as it is written.
    pub name: String,
    /// What it is.
    pub role: &'static str,
    /// Where such a thing stands.
    pub rule: String,
    /// Where it stands.
    pub span: Span,
    /// Where it is declared.
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
