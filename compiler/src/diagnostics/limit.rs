use weir_grammar::Span;

use super::Description;

/// A text beyond the limits of the language.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// What there is too much of.
    pub what: String,
    /// How much there may be.
    pub limit: usize,
    /// Where the limit is passed.
    pub span: Span,
}

impl Limit {
    pub(super) fn describe(&self) -> Description {
        let message = format!("there are more than {} {}", self.limit, self.what);
        Description::new(message, self.span, "the limit is passed here").help("split it into smaller parts")
    }
}
