use weir_grammar::Span;

use super::Description;

/// A chain that does not end at a channel or a sink.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadEnd {
    /// The last stage.
    pub span: Span,
    /// The kind of the last stage, in words.
    pub what: String,
    /// The keyword of a fork without branches: `copy`, `match`, `balance` or `failover`.
    pub fork: Option<&'static str>,
}

impl DeadEnd {
    pub(super) fn describe(&self) -> Description {
        let message = match self.fork {
            Some(word) => format!("this `{word}` has no branches, so the events go nowhere"),
            None => format!("this chain ends at {}, so the events go nowhere", self.what),
        };
        Description::new(message, self.span, "nothing follows")
            .help("a chain ends at a channel or a sink: add `-> some_sink`, or `-> drop` to drop the events")
    }
}
