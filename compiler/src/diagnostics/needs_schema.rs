use weir_grammar::Span;

use super::Description;

/// A parser without its required schema, or with a schema that it doesn't take.
#[derive(Debug, Clone, PartialEq)]
pub struct NeedsSchema {
    /// The parser.
    pub parser: String,
    /// Whether the schema is missing; otherwise the parser doesn't take a schema.
    pub missing: bool,
    /// The place of the parser, or of the superfluous schema.
    pub span: Span,
    /// The place of the parser's declaration in the library.
    pub declared: Span,
}

impl NeedsSchema {
    pub(super) fn describe(&self) -> Description {
        if self.missing {
            let message = format!("`parse {}` needs the schema of the fields", self.parser);
            return Description::new(message, self.span, "into which fields?").help(format!(
                "write `parse {} as Click`, with a `schema Click {{ … }}` that names the fields",
                self.parser
            ));
        }
        let message = format!("`parse {}` has fields of its own", self.parser);
        Description::new(message, self.span, "no schema here")
            .label(self.declared, "its fields are declared here")
            .help("leave the schema out; `select` and `rename` shape the fields afterwards")
    }
}
