use weir_grammar::Span;

use super::Description;

/// A comparison with the result of a comparison: `a < b < c`.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainedQuestion {
    /// The second operator.
    pub span: Span,
}

impl ChainedQuestion {
    pub(super) fn describe(&self) -> Description {
        Description::new("questions do not chain", self.span, "what stands before this is an answer already")
            .help("ask both with `and`, as in `a < b and b < c`, or ask for a range: `b in 1..=9`")
    }
}
