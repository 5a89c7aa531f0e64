use weir_grammar::Span;

use super::Description;

/// A test, or an expectation of it, that can't fail.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectsNothing {
    /// The name of the test or the expectation, in words.
    pub what: &'static str,
    /// Why it can't, in words.
    pub reason: &'static str,
    /// The change with which the test can fail, in words.
    pub help: &'static str,
    /// The place of the title or of the expectation.
    pub span: Span,
}

impl ExpectsNothing {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("{} can't fail", self.what), self.span, self.reason).help(self.help)
    }
}
