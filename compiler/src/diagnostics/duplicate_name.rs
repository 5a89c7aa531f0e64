use weir_grammar::Span;

use super::Description;

/// Two declarations of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct DuplicateName {
    /// The name.
    pub name: String,
    /// The place of the first declaration.
    pub first: Span,
    /// The place of the second declaration.
    pub second: Span,
    /// The set of names in which the name must be unique.
    pub of: NameOf,
}

/// The set of names in which a name must be unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOf {
    /// The items of a program, the parameters of an item, or the lets of an item.
    Items,
    /// The fields and headers of the events at one place.
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
