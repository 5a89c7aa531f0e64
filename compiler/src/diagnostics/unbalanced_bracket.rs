use weir_grammar::Span;

use super::Description;

/// A bracket without its counterpart.
#[derive(Debug, Clone, PartialEq)]
pub struct UnbalancedBracket {
    /// The bracket.
    pub bracket: char,
    /// The place of the bracket.
    pub span: Span,
    /// For a closing bracket, the innermost open bracket and its place.
    pub opener: Option<(char, Span)>,
    /// Whether the bracket is a closing bracket.
    pub closing: bool,
}

impl UnbalancedBracket {
    pub(super) fn describe(&self) -> Description {
        if !self.closing {
            let message = format!("this `{}` is never closed", self.bracket);
            return Description::new(message, self.span, "opened here").help("close it before the next item");
        }
        match self.opener {
            Some((opener, span)) => Description::new(
                format!("`{}` does not close `{opener}`", self.bracket),
                self.span,
                "does not fit",
            )
            .label(span, "what is open")
            .help(format!("close with `{}` first", closer_of(opener))),
            None => Description::new(
                format!("`{}` closes nothing", self.bracket),
                self.span,
                "nothing is open here",
            )
            .help("leave it out"),
        }
    }
}

fn closer_of(opener: char) -> char {
    match opener {
        '{' => '}',
        '(' => ')',
        _ => ']',
    }
}
