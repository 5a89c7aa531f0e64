use weir_grammar::Span;

use super::Description;

/// An `else` for a failure that can't happen.
#[derive(Debug, Clone, PartialEq)]
pub struct CannotFail {
    /// The `else` with everything that belongs to it.
    pub span: Span,
    /// The expression or step that can't fail, in words.
    pub what: String,
}

impl CannotFail {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("{} can't fail", self.what), self.span, "this never happens")
            .help("`else` is about failure; `??` gives a value in the place of null")
            .fix("leave the `else` out", self.span, "")
    }
}
