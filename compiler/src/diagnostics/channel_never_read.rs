use weir_grammar::Span;

use super::Description;

/// A channel that is filled, but that nothing reads.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelNeverRead {
    /// The channel.
    pub name: String,
    /// Where it is declared.
    pub declared: Span,
    /// Where it is filled.
    pub filled: Span,
}

impl ChannelNeverRead {
    pub(super) fn describe(&self) -> Description {
        Description::new(
            format!("nothing ever reads the channel `{}`", self.name),
            self.declared,
            "never read",
        )
        .label(self.filled, "so it only becomes full with what is put into it here")
        .help(format!("let a sink read it: `{} -> some_sink`", self.name))
    }
}
