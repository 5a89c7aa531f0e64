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
    /// Whether the name is used elsewhere, so that it must be changed there as well.
    pub used: bool,
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
        match self.used {
            true => description.help(format!("write `{}`, here and where it is used", self.better)),
            false => description.help(format!("write `{}`", self.better)).fix(
                format!("write `{}`", self.better),
                self.span,
                self.better.as_str(),
            ),
        }
    }
}
