use weir_grammar::Span;

use super::Description;

/// A required environment variable that is not set.
#[derive(Debug, Clone, PartialEq)]
pub struct NotSet {
    /// The variable.
    pub variable: String,
    /// The place that reads the variable.
    pub span: Span,
}

impl NotSet {
    pub(super) fn describe(&self) -> Description {
        let message = format!("the environment variable {} is not set", self.variable);
        Description::new(message, self.span, "needed here")
            .help(format!("set it, or give a default: `env(\"{}\") ?? \"…\"`", self.variable))
    }
}
