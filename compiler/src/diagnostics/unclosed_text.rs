use weir_grammar::Span;

use super::{Description, Edit, Fix};

/// Text without its closing quote.
#[derive(Debug, Clone, PartialEq)]
pub struct UnclosedText {
    /// The edits that close the text or join its lines, if its end is clear.
    pub edits: Vec<(Span, String)>,
    /// The text, from its quote to the end of the line.
    pub span: Span,
}

impl UnclosedText {
    pub(super) fn describe(&self) -> Description {
        let joins = self.edits.iter().any(|(_, text)| text == "\\n");
        let message = match joins {
            true => "this text does not end on its line",
            false => "this text has no closing `\"`",
        };
        let description = Description::new(message, self.span, "begins here and never ends");
        let mut description = description.help("text ends on its line; a line end in it is written `\\n`");
        let edits = self.edits.iter().map(|(span, text)| Edit { span: *span, replacement: text.clone() });
        let title = if joins { "write `\\n` for the line ends" } else { "close it at the end of the line" };
        description.fix = (!self.edits.is_empty()).then(|| Fix {
            title: title.to_owned(),
            edits: edits.collect(),
            certain: false,
        });
        description
    }
}
