use weir_grammar::Span;

use super::{Description, listed};

/// A component that the library doesn't have.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownKind {
    /// The kind.
    pub kind: String,
    /// What it should be.
    pub role: &'static str,
    /// A kind of a near name.
    pub near: Option<String>,
    /// What the library has of this name instead.
    pub other_role: Option<&'static str>,
    /// The kinds that there are.
    pub known: Vec<String>,
    /// Where it stands.
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
