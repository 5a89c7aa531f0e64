use weir_grammar::Span;

use super::Description;

/// A promise that this version can't keep.
#[derive(Debug, Clone, PartialEq)]
pub struct PromiseNotKeptYet {
    /// The promise.
    pub promise: String,
    /// Where it is made.
    pub span: Span,
}

impl PromiseNotKeptYet {
    pub(super) fn describe(&self) -> Description {
        let message = format!("this version can't keep the promise `{}` yet", self.promise);
        Description::new(message, self.span, "would not be kept").help(
            "`at_least_once` is kept: no event is lost, after a failure some are repeated; in no fixed order",
        )
    }
}
