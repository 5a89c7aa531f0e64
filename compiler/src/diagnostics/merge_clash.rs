use weir_grammar::Span;

use super::{Description, with_article};

/// Events that meet with one column in two types.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeClash {
    /// The column.
    pub column: String,
    /// Where they meet, in words.
    pub place: String,
    /// Where the second ones come in.
    pub span: Span,
    /// Type, component and place of the first ones.
    pub first: (String, String, Span),
    /// Type, component and place of the second ones.
    pub second: (String, String, Span),
}

impl MergeClash {
    pub(super) fn describe(&self) -> Description {
        let message = format!(
            "`{}` is {} from `{}` but {} from `{}`: they can't meet in {}",
            self.column, self.first.0, self.first.1, self.second.0, self.second.1, self.place
        );
        Description::new(message, self.span, format!("events meet here whose `{}` differs", self.column))
            .label(self.first.2, format!("here it is {}", with_article(&self.first.0)))
            .label(self.second.2, format!("here it is {}", with_article(&self.second.0)))
            .help("give each kind of events a channel and a sink of its own")
    }
}
