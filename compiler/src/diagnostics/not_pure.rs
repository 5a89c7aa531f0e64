use weir_grammar::Span;

use super::Description;

/// A function of the program whose result may differ from call to call.
#[derive(Debug, Clone, PartialEq)]
pub struct NotPure {
    /// The called function whose result differs.
    pub name: String,
    /// The place of the call.
    pub span: Span,
}

impl NotPure {
    pub(super) fn describe(&self) -> Description {
        let message = format!("a `fn` is pure, and `{}` has another result each time", self.name);
        Description::new(message, self.span, "not the same for the same event")
            .help("give its value to the function as an argument")
    }
}
