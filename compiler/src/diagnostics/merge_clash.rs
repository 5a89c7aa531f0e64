use weir_grammar::Span;

use super::{Description, with_article};

/// Merged events in which one column has two types.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeClash {
    /// The column.
    pub column: String,
    /// The component at which the events are merged, in words.
    pub place: String,
    /// The place at which the second events arrive.
    pub span: Span,
    /// The column's type, the component and the place for the first events.
    pub first: (String, String, Span),
    /// The column's type, the component and the place for the second events.
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
