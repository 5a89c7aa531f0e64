use weir_grammar::Span;

use super::Description;

/// A regular expression that can't be compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedRegex {
    /// The fault, in words.
    pub reason: String,
    /// The faulty part of the expression.
    pub span: Span,
}

impl MalformedRegex {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("this regular expression is wrong: {}", self.reason), self.span, "here")
            .help("write it as raw text, r\"…\", in the syntax of the `regex` crate: no look-around, no back-references")
    }
}
