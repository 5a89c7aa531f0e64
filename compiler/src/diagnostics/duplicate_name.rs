use weir_grammar::Span;

use super::Description;

/// Two things of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct DuplicateName {
    /// The name.
    pub name: String,
    /// Where it is declared first.
    pub first: Span,
    /// Where it is declared again.
    pub second: Span,
}

impl DuplicateName {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("the name `{}` is taken", self.name), self.second, "declared again")
            .label(self.first, "declared here first")
            .help("names are shared by params, lets, components and flows, so that each says which one is meant")
    }
}
