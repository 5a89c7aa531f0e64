use weir_grammar::{Foreign, Span};

use super::{Description, Edit, Fix};

/// A form of another language or tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignForm {
    /// The form, with its repair.
    pub foreign: Foreign,
    /// The place of the form.
    pub span: Span,
}

impl ForeignForm {
    /// Creates a diagnostic of a form with its right form in words, and the edits that write it.
    pub(crate) fn new(
        span: Span,
        message: impl Into<String>,
        title: impl Into<String>,
        edits: Vec<(Span, String)>,
    ) -> ForeignForm {
        ForeignForm { foreign: Foreign::new(message.into(), title.into(), edits), span }
    }

    pub(super) fn describe(&self) -> Description {
        let foreign = &self.foreign;
        let mut description = Description::new(&foreign.message, self.span, &foreign.title);
        if let Some(help) = &foreign.help {
            description = description.help(help);
        }
        let edits = foreign.edits.iter().map(|(span, text)| Edit { span: *span, replacement: text.clone() });
        let edits: Vec<Edit> = edits.collect();
        description.fix =
            (!edits.is_empty()).then(|| Fix { title: foreign.title.clone(), edits, certain: true });
        description
    }
}
