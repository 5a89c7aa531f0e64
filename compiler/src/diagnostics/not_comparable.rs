use weir_grammar::Span;

use super::{Description, Edit, Fix, with_article};

/// A comparison of two values that can't be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct NotComparable {
    /// Text, type and place of the left side.
    pub left: (String, String, Span),
    /// Text, type and place of the right side.
    pub right: (String, String, Span),
    /// The suggested correction.
    pub help: String,
    /// The edits of the correction, if it is certain.
    pub edits: Vec<(Span, String)>,
}

impl NotComparable {
    pub(super) fn describe(&self) -> Description {
        let message = format!(
            "`{}` is {} and `{}` is {}: they can't be compared",
            self.left.0,
            with_article(&self.left.1),
            self.right.0,
            with_article(&self.right.1)
        );
        let mut description = Description::new(message, self.right.2, with_article(&self.right.1))
            .label(self.left.2, with_article(&self.left.1))
            .help(self.help.as_str());
        let edits = self.edits.iter().map(|(span, text)| Edit { span: *span, replacement: text.clone() });
        let title = "write `is null` or `is not null`".to_owned();
        description.fix =
            (!self.edits.is_empty()).then(|| Fix { title, edits: edits.collect(), certain: true });
        description
    }
}
