use weir_grammar::Span;

use super::Description;

/// A call with arguments that the function does not have.
#[derive(Debug, Clone, PartialEq)]
pub struct WrongArguments {
    /// What is called.
    pub name: String,
    /// What is wrong.
    pub reason: String,
    /// Where.
    pub span: Span,
    /// How it is called.
    pub usage: String,
    /// Where it is declared.
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
