use weir_grammar::Span;

use super::{Description, listed};

/// A `--set` value for a param that doesn't exist.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownParam {
    /// The name.
    pub name: String,
    /// A param with a similar name.
    pub near: Option<String>,
    /// The params of the program.
    pub known: Vec<String>,
    /// The place of the `--set` value.
    pub span: Span,
}

impl UnknownParam {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`--set {}`: the program has no such param", self.name);
        let description = Description::new(message, self.span, "set from outside");
        let description = match &self.near {
            Some(near) => description.help(format!("did you mean `{near}`?")),
            None => description,
        };
        match self.known.is_empty() {
            true => description.help("the program has no params"),
            false => description
                .help(format!("its params: {}", listed(self.known.iter().map(String::as_str), "and"))),
        }
    }
}
