use weir_grammar::Span;

use super::Description;

/// A chain that ends where events can't stay.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadEnd {
    /// The last stage.
    pub span: Span,
    /// What the last stage is, in words.
    pub what: String,
    /// The word of a fork without branches: `copy`, `match`, `balance` or `failover`.
    pub fork: Option<&'static str>,
}

impl DeadEnd {
    pub(super) fn describe(&self) -> Description {
        let message = match self.fork {
            Some(word) => format!("this `{word}` has no branches, so the events go nowhere"),
            None => format!("this chain ends at {}, so the events go nowhere", self.what),
        };
        Description::new(message, self.span, "nothing follows")
            .help("a chain ends at a channel or a sink: add `-> some_sink`")
    }
}
