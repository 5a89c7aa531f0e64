use weir_grammar::Span;

use super::{Description, with_article};

/// A name that isn't written as such names are.
#[derive(Debug, Clone, PartialEq)]
pub struct NameStyle {
    /// The name.
    pub name: String,
    /// What it names.
    pub what: String,
    /// How such names are written.
    pub style: &'static str,
    /// The name written so.
    pub better: String,
    /// Where it is declared.
    pub span: Span,
    /// Where else it stands, so that it must be changed there as well.
    pub uses: Vec<Span>,
    /// Whether something else is called so already.
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
