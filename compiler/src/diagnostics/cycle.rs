use weir_grammar::Span;

use super::Description;

/// Channels that fill each other in a cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct Cycle {
    /// The channels, in the order of the arrows.
    pub names: Vec<String>,
    /// The place at which each channel is filled.
    pub spans: Vec<Span>,
}

impl Cycle {
    pub(super) fn describe(&self) -> Description {
        let mut names = self.names.clone();
        names.extend(self.names.first().cloned());
        let first =
            self.spans.first().copied().unwrap_or(Span { file: weir_grammar::FileId(0), start: 0, end: 0 });
        let message = format!("events would go round for ever: {}", names.join(" -> "));
        let mut description = Description::new(message, first, "the circle closes here");
        for (name, span) in self.names.iter().zip(&self.spans).skip(1) {
            description = description.label(*span, format!("and goes on through `{name}`"));
        }
        description.help("a channel is read by sinks: let it end at one")
    }
}
