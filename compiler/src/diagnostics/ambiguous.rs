use weir_grammar::Span;

use super::Description;

/// A name that two imported files declare.
#[derive(Debug, Clone, PartialEq)]
pub struct Ambiguous {
    /// The name.
    pub name: String,
    /// The second import.
    pub span: Span,
    /// The place of the first declaration.
    pub first: Span,
    /// The place of the second declaration.
    pub second: Span,
}

impl Ambiguous {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("two imported files have a `{}`", self.name), self.span, "imported here")
            .label(self.first, "this one")
            .label(self.second, "and this one")
            .help("import one of the files under a name: `import \"shared.flow\" as shared` gives `shared.name`")
    }
}
