use weir_grammar::Span;

use super::Description;

/// A channel that is filled but never read.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelNeverRead {
    /// The channel.
    pub name: String,
    /// The place of the channel's declaration.
    pub declared: Span,
    /// The place that fills the channel.
    pub filled: Span,
    /// The only unused sink, if there is exactly one.
    pub sink: Option<String>,
}

impl ChannelNeverRead {
    pub(super) fn describe(&self) -> Description {
        Description::new(
            format!("nothing ever reads the channel `{}`", self.name),
            self.declared,
            "never read",
        )
        .label(self.filled, "so it only becomes full with what is put into it here")
        .help(match &self.sink {
            Some(sink) => format!("let the sink `{sink}` read it: `{} -> {sink}`", self.name),
            None => format!("let a sink read it: `{} -> some_sink`", self.name),
        })
    }
}
