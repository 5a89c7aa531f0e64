use weir_grammar::Span;

use super::Description;

/// Something follows a `copy`, whose branches have gone their own ways.
#[derive(Debug, Clone, PartialEq)]
pub struct AfterCopy {
    /// What follows.
    pub span: Span,
    /// The copy.
    pub copy: Span,
}

impl AfterCopy {
    pub(super) fn describe(&self) -> Description {
        Description::new(
            "nothing can follow `copy { … }`",
            self.span,
            "which of the branches would this follow?",
        )
        .label(self.copy, "the events have gone into these branches")
        .help("write the rest of the way into a branch: `copy { a -> x, b -> y }`")
    }
}
