use weir_grammar::Span;

use super::Description;

/// A regular expression that can't be compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedRegex {
    /// What is wrong with it.
    pub reason: String,
    /// The part that is wrong.
    pub span: Span,
}

impl MalformedRegex {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("this regular expression is wrong: {}", self.reason), self.span, "here")
            .help("write it as raw text, r\"…\", in the syntax of the `regex` crate: no look-around, no back-references")
    }
}
