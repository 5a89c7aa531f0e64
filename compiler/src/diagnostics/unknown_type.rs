use weir_grammar::Span;

use super::Description;

/// A type that doesn't exist.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownType {
    /// The type.
    pub name: String,
    /// A type with a similar name.
    pub near: Option<String>,
    /// The place of the type.
    pub span: Span,
}

impl UnknownType {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("there is no type `{}`", self.name), self.span, "unknown")
            .suggest(self.span, self.near.as_deref())
            .help("types are `Bool`, `Int`, `Float`, `Text`, `Time`, `Duration`, `Size`, `Address`, `Url`, `[Text]` …")
    }
}
