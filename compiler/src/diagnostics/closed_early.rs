use weir_grammar::Span;

use super::Description;

/// A sink that closes its files before they have the size that the program says, since its channel is too small for a file.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedEarly {
    /// The sink.
    pub sink: String,
    /// The setting that is never reached: `roll.size`.
    pub setting: String,
    /// Its value.
    pub value: String,
    /// The place of the value.
    pub place: Span,
    /// The channel.
    pub channel: String,
    /// Whether the compiler has added the channel.
    pub implicit: bool,
    /// The capacity of the channel, in words.
    pub stored: String,
    /// The setting of the channel that limits it.
    pub limit: Option<String>,
    /// The place of this setting's value, if the program gives it.
    pub limit_at: Option<Span>,
    /// The place of the channel's declaration.
    pub channel_at: Span,
    /// A limit of the channel that suffices.
    pub needed: Option<String>,
    /// Why the sink holds the events.
    pub because: String,
    /// The place in the signature that says so.
    pub because_at: Span,
}

impl ClosedEarly {
    pub(super) fn describe(&self) -> Description {
        let ClosedEarly { sink, setting, value, channel, stored, .. } = self;
        let message = format!(
            "files of `{sink}` are closed before they have {value}, since its channel can't hold so many undelivered events"
        );
        let name = if self.implicit { "the channel between".to_owned() } else { format!("`{channel}`") };
        let mut description = Description::new(message, self.place, format!("`{setting}` is never reached"))
            .label(
                self.limit_at.unwrap_or(self.channel_at),
                format!("{name} stores {stored}, of which a sink may hold a half"),
            )
            .label(self.because_at, &*self.because);
        let Some(needed) = &self.needed else { return description };
        let limit = self.limit.as_deref().unwrap_or("capacity");
        description = description.help(match self.implicit {
            true => {
                format!("lead the way through a channel of your own with a `{limit}` of at least {needed}")
            }
            false => format!("set `{channel}.{limit}` to at least {needed}, or a smaller `{sink}.{setting}`"),
        });
        match self.limit_at {
            Some(span) => description.guess(format!("set `{limit}` to {needed}"), span, needed),
            None => description,
        }
    }
}
