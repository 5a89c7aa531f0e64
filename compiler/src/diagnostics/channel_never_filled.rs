use weir_grammar::Span;

use super::Description;

/// A channel that is read but never filled.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelNeverFilled {
    /// The channel.
    pub name: String,
    /// The place of the channel's declaration.
    pub declared: Span,
    /// The place that reads the channel.
    pub read: Span,
    /// The only unused source, if there is exactly one.
    pub source: Option<String>,
}

impl ChannelNeverFilled {
    pub(super) fn describe(&self) -> Description {
        Description::new(
            format!("nothing is ever put into the channel `{}`", self.name),
            self.declared,
            "never filled",
        )
        .label(self.read, "so nothing ever comes out of it here")
        .help(match &self.source {
            Some(source) => format!("let the source `{source}` fill it: `{source} -> {}`", self.name),
            None => format!("let a source fill it: `some_source -> {}`", self.name),
        })
    }
}
