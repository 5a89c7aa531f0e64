use weir_grammar::Span;

use super::{Description, with_article};

/// A name in the wrong style for its kind.
#[derive(Debug, Clone, PartialEq)]
pub struct NameStyle {
    /// The name.
    pub name: String,
    /// The kind of the named item, in words.
    pub what: String,
    /// The required style.
    pub style: &'static str,
    /// The name in the required style.
    pub better: String,
    /// The place of the declaration.
    pub span: Span,
    /// The other places of the name, which must be changed as well.
    pub uses: Vec<Span>,
    /// Whether the corrected name is already in use.
    pub taken: bool,
}

impl NameStyle {
    pub(super) fn describe(&self) -> Description {
        let message = format!(
            "the name of {} is written in {}: `{}`",
            with_article(&self.what),
            self.style,
            self.better
        );
        let description = Description::new(message, self.span, format!("not {}", self.style));
        if self.taken {
            return description
                .help(format!("`{}` stands for something else here: choose another name", self.better));
        }
        let places = if self.uses.is_empty() { "" } else { ", here and where it is used" };
        let spans = std::iter::once(self.span).chain(self.uses.iter().copied());
        description.help(format!("write `{}`{places}", self.better)).fix_at(
            format!("write `{}`", self.better),
            spans,
            self.better.as_str(),
        )
    }
}
