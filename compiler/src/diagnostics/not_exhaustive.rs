use weir_grammar::Span;

use super::Description;

/// A `match` that does not cover all cases.
#[derive(Debug, Clone, PartialEq)]
pub struct NotExhaustive {
    /// The uncovered cases, in words.
    pub missing: String,
    /// The word `match`.
    pub span: Span,
    /// Whether the `match` distributes events; otherwise it computes a value.
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
