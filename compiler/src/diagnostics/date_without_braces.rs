use weir_grammar::Span;

use super::Description;

/// A date such as `%Y-%m-%d` in the text of a template, outside of its holes.
#[derive(Debug, Clone, PartialEq)]
pub struct DateWithoutBraces {
    /// The name of the setting.
    pub setting: String,
    /// The date.
    pub date: String,
    /// The place of the date, or of the template.
    pub span: Span,
    /// The hole that writes the date, if the events have a time.
    pub fix: Option<String>,
}

impl DateWithoutBraces {
    pub(super) fn describe(&self) -> Description {
        let DateWithoutBraces { setting, date, span, fix } = self;
        let message = format!("`{setting}` has `{date}` as it stands, and no date");
        let description = Description::new(message, *span, "this stays the same for all events");
        match fix {
            Some(hole) => description.help(format!("a time fills a hole: `{hole}`")).guess(
                format!("write `{hole}`"),
                *span,
                hole.as_str(),
            ),
            None => description.help("a time fills a hole: `{@timestamp:%Y-%m-%d}`"),
        }
    }
}
