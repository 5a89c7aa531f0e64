use weir_grammar::Span;

use super::Description;

/// A word about a failure that can't be.
#[derive(Debug, Clone, PartialEq)]
pub struct CannotFail {
    /// From the `else` to its end.
    pub span: Span,
    /// What can't fail, in words.
    pub what: String,
}

impl CannotFail {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("{} can't fail", self.what), self.span, "this never happens")
            .help("`else` is about failure; `??` gives a value in the place of null")
            .fix("leave the `else` out", self.span, "")
    }
}
