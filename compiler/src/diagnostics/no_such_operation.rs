use weir_grammar::Span;

use super::{Description, with_article};

/// An operator with operands of unsupported types.
#[derive(Debug, Clone, PartialEq)]
pub struct NoSuchOperation {
    /// The operator.
    pub operator: String,
    /// The text, type and place of the left operand.
    pub left: Option<(String, String, Span)>,
    /// The text, type and place of the right operand.
    pub right: (String, String, Span),
    /// The suggested correction; empty if there is none.
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
