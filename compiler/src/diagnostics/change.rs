//! Changes of the text that correct a mistake.

use weir_grammar::Span;

/// A change of the text that can be applied automatically.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The effect of the change, as in "write `capacity`".
    pub title: String,
    /// The edits, each at a separate place. A fix is only correct with all of its edits.
    pub edits: Vec<Edit>,
    /// Whether the changed text certainly means what the author meant. A similar name, for example, is only a guess.
    pub certain: bool,
}

/// One edit of a fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The span that is replaced; an empty span marks an insertion.
    pub span: Span,
    /// The text that replaces the span.
    pub replacement: String,
}

impl Fix {
    /// Returns a guess with one edit.
    pub(crate) fn guess(title: impl Into<String>, span: Span, replacement: impl Into<String>) -> Fix {
        let edits = vec![Edit { span, replacement: replacement.into() }];
        Fix { title: title.into(), edits, certain: false }
    }
}
