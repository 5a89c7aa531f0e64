use weir_grammar::Span;

use super::Description;

/// A declaration that depends on itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Cyclic {
    /// The kind of the declaration: `let`, `schema`, `fn` or `interceptor`.
    pub what: &'static str,
    /// The declared name.
    pub name: String,
    /// The place of the declaration.
    pub span: Span,
    /// The place at which the declaration needs itself.
    pub used: Span,
}

impl Cyclic {
    pub(super) fn describe(&self) -> Description {
        let message = format!("the {} `{}` is made of itself", self.what, self.name);
        let help = match self.what {
            "let" => "give one of the constants on the way a value of its own",
            "schema" => "an event ends somewhere: leave one of the fields on the way out",
            _ => "nothing here calls itself: it must be known before the first event that there is an end",
        };
        Description::new(message, self.span, format!("this {}", self.what))
            .label(self.used, "needs itself here")
            .help(help)
    }
}
