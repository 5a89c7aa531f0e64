use weir_grammar::Span;

use super::Description;

/// A field that a param or a let hides.
#[derive(Debug, Clone, PartialEq)]
pub struct HiddenField {
    /// The field.
    pub field: String,
    /// The place at which events get the field.
    pub span: Span,
    /// `param` or `let`.
    pub what: &'static str,
    /// The place of the declaration of the param or let.
    pub declared: Span,
}

impl HiddenField {
    pub(super) fn describe(&self) -> Description {
        let message = format!("the {} `{}` has the name of a field", self.what, self.field);
        Description::new(message, self.declared, format!("this {}", self.what))
            .label(self.span, "events have a field of this name from here on")
            .help("give one of them another name, so that it is always clear which is meant")
    }
}
