use weir_grammar::Span;

use super::Description;

/// A word after `delivers` that promises nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownPromise {
    /// The word.
    pub name: String,
    /// A promise of a near name.
    pub near: Option<String>,
    /// Where it stands.
    pub span: Span,
}

impl UnknownPromise {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("`{}` is no promise", self.name), self.span, "unknown")
            .suggest(self.span, self.near.as_deref())
            .help("a flow delivers `best_effort`, `at_most_once`, `at_least_once` or `exactly_once`")
            .help("and, if it keeps an order, `ordered`, `ordered by @key` or `ordered totally`")
    }
}
