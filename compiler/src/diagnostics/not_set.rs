use weir_grammar::Span;

use super::Description;

/// An environment variable that is needed and not set.
#[derive(Debug, Clone, PartialEq)]
pub struct NotSet {
    /// The variable.
    pub variable: String,
    /// Where it is read.
    pub span: Span,
}

impl NotSet {
    pub(super) fn describe(&self) -> Description {
        let message = format!("the environment variable {} is not set", self.variable);
        Description::new(message, self.span, "needed here")
            .help(format!("set it, or give a default: `env(\"{}\") ?? \"…\"`", self.variable))
    }
}
