use weir_grammar::Span;

use super::Description;

/// A part of the program that this version checks and does not carry out.
#[derive(Debug, Clone, PartialEq)]
pub struct NotCarriedOut {
    /// The part, in words.
    pub what: String,
    /// The place of the part.
    pub span: Span,
}

impl NotCarriedOut {
    pub(super) fn describe(&self) -> Description {
        let message = format!("this version can't carry out {}", self.what);
        Description::new(message, self.span, "this is checked, and `weir run` refuses it")
            .help("docs/language.md#checked-and-not-yet-carried-out lists what this version carries out")
    }
}
