use weir_grammar::Span;

use super::Description;

/// Text without its closing quote.
#[derive(Debug, Clone, PartialEq)]
pub struct UnclosedText {
    /// The text, from its quote to the end of the line.
    pub span: Span,
}

impl UnclosedText {
    pub(super) fn describe(&self) -> Description {
        Description::new("this text has no closing `\"`", self.span, "begins here and never ends")
            .help("text ends on its line; a line end in it is written `\\n`")
    }
}
