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
    /// What has the name besides the items of the program.
    pub of: NameOf,
}

/// Among what a name should be the only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOf {
    /// The items of a program, the parameters of one of them, its lets.
    Items,
    /// The fields and headers of the events at a place.
    Events,
}

impl DuplicateName {
    pub(super) fn describe(&self) -> Description {
        if self.of == NameOf::Events {
            return Description::new(
                format!("events have `{}` already", self.name),
                self.second,
                "this would replace it",
            )
            .label(self.first, "they have it from here")
            .help("take another name, or `unset` the one that is there before");
        }
        Description::new(format!("the name `{}` is taken", self.name), self.second, "declared again")
            .label(self.first, "declared here first")
            .help("names are shared by params, lets, components and flows, so that each says which one is meant")
    }
}
