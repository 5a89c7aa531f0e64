use weir_grammar::Span;

use super::Description;

/// A constant that is defined by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct CyclicLet {
    /// The constant.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Where its own value needs it.
    pub used: Span,
}

impl CyclicLet {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("`{}` is defined by itself", self.name), self.span, "this constant")
            .label(self.used, "needs its own value here")
            .help("give one of the constants on the way a value of its own")
    }
}
