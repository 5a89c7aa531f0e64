use weir_grammar::Span;

use super::Description;

/// A call whose arguments don't match the parameters of the function.
#[derive(Debug, Clone, PartialEq)]
pub struct WrongArguments {
    /// The called function.
    pub name: String,
    /// The fault, in words.
    pub reason: String,
    /// The place of the fault.
    pub span: Span,
    /// The correct form of the call.
    pub usage: String,
    /// The place of the function's declaration.
    pub declared: Option<Span>,
}

impl WrongArguments {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` {}", self.name, self.reason);
        let mut description = Description::new(message, self.span, "this call");
        if let Some(declared) = self.declared {
            description = description.label(declared, "declared here");
        }
        description.help(format!("it is called as `{}`", self.usage))
    }
}
