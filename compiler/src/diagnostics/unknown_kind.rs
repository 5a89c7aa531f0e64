use weir_grammar::Span;

use super::{Description, listed};

/// A component of a kind that the library doesn't have.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownKind {
    /// The kind.
    pub kind: String,
    /// The role of the component.
    pub role: &'static str,
    /// A kind with a similar name.
    pub near: Option<String>,
    /// The role in which the library has a kind of this name.
    pub other_role: Option<&'static str>,
    /// The kinds that the library has for the role.
    pub known: Vec<String>,
    /// The place of the kind.
    pub span: Span,
}

impl UnknownKind {
    pub(super) fn describe(&self) -> Description {
        let message = format!("there is no {} of the kind `{}`", self.role, self.kind);
        let description = match self.other_role {
            Some(other) => Description::new(message, self.span, format!("this is a {other}")),
            None => Description::new(message, self.span, "not in the library"),
        };
        let known = listed(self.known.iter().map(String::as_str), "and");
        description
            .suggest(self.span, self.near.as_deref())
            .help(format!("the {}s of the library: {known}", self.role))
    }
}
