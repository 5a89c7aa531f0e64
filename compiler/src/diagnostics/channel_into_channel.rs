use weir_grammar::Span;

use super::Description;

/// A channel that fills another channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelIntoChannel {
    /// The channel that is read.
    pub from: String,
    /// The channel that is filled.
    pub to: String,
    /// The place of the filled channel in the chain.
    pub span: Span,
}

impl ChannelIntoChannel {
    pub(super) fn describe(&self) -> Description {
        let message = format!("the channel `{}` can't fill the channel `{}`", self.from, self.to);
        Description::new(message, self.span, "a sink must stand here")
            .help("events go from a source through one channel to a sink; leave one of the two channels out")
    }
}
