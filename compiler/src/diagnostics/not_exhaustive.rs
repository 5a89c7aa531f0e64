use weir_grammar::Span;

use super::Description;

/// A `match` that leaves something out.
#[derive(Debug, Clone, PartialEq)]
pub struct NotExhaustive {
    /// What is left out, in words.
    pub missing: String,
    /// The word `match`.
    pub span: Span,
    /// Whether it is a match of events, not of values.
    pub events: bool,
}

impl NotExhaustive {
    pub(super) fn describe(&self) -> Description {
        let message = format!("this `match` leaves {} out", self.missing);
        let rest = if self.events { "_ -> somewhere" } else { "_ => …" };
        Description::new(message, self.span, "not everything fits an arm")
            .help(format!("end it with `{rest}`"))
    }
}
