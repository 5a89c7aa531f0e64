use weir_grammar::Span;

use super::{Description, with_article};

/// A list, a map or a record where each field is one value.
#[derive(Debug, Clone, PartialEq)]
pub struct NestedField {
    /// The name of the field.
    pub field: String,
    /// The type of the field.
    pub type_name: String,
    /// The parser or the format, in words.
    pub by: String,
    /// The reason why it takes single values.
    pub reason: String,
    /// The place where it is used.
    pub span: Span,
    /// The place of the field.
    pub field_span: Option<Span>,
    /// The place of the rule in the library, if the library has it.
    pub declared: Option<Span>,
}

impl NestedField {
    pub(super) fn describe(&self) -> Description {
        let NestedField { field, type_name, by, reason, span, field_span, declared } = self;
        let message =
            format!("{by} has no form for `{field}`, which is {}: {reason}", with_article(type_name));
        let description = Description::new(message, *span, format!("it can't hold `{field}`"));
        let description = match field_span {
            Some(place) => description.label(*place, format!("`{field}` is {}", with_article(type_name))),
            None => description,
        };
        match declared {
            Some(declared) => description
                .label(*declared, "the rule is given here")
                .help(format!("leave `{field}` out, or use JSON")),
            None => description.help(format!("leave `{field}` out of the schema")),
        }
    }
}
