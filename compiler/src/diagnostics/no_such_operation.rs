use weir_grammar::Span;

use super::{Description, with_article};

/// An operator between things that it does not take.
#[derive(Debug, Clone, PartialEq)]
pub struct NoSuchOperation {
    /// The operator.
    pub operator: String,
    /// Text, type and place of what stands on its left.
    pub left: Option<(String, String, Span)>,
    /// Text, type and place of what stands on its right.
    pub right: (String, String, Span),
    /// What would be right.
    pub help: String,
}

impl NoSuchOperation {
    pub(super) fn describe(&self) -> Description {
        let message = match &self.left {
            Some(left) => format!(
                "`{}` does not take {} and {}",
                self.operator,
                with_article(&left.1),
                with_article(&self.right.1)
            ),
            None => format!("`{}` does not take {}", self.operator, with_article(&self.right.1)),
        };
        let mut description = Description::new(message, self.right.2, with_article(&self.right.1));
        if let Some(left) = &self.left {
            description = description.label(left.2, with_article(&left.1));
        }
        if self.help.is_empty() { description } else { description.help(self.help.as_str()) }
    }
}
