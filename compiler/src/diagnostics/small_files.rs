use weir_grammar::Span;

use super::Description;
use crate::spelling::bytes_in_words;

/// A sink that writes many small files at the expected rate of its sources.
#[derive(Debug, Clone, PartialEq)]
pub struct SmallFiles {
    /// The sink.
    pub sink: String,
    /// The place of its declaration.
    pub declared: Span,
    /// The files that it writes in an hour.
    pub each_hour: u64,
    /// The bytes of each, before compression.
    pub bytes: u64,
    /// The value of the bound that closes the files.
    pub decides: String,
    /// The setting with this bound, and a value with which files are few or large; `None` if the channel decides.
    pub setting: Option<(String, String)>,
    /// The place of the setting's value, if the program gives it.
    pub written: Option<Span>,
    /// The sources, with the places of their expected rates.
    pub expected: Vec<(String, Span)>,
}

impl SmallFiles {
    pub(super) fn describe(&self) -> Description {
        let SmallFiles { sink, each_hour, decides, .. } = self;
        let message = format!(
            "`{sink}` writes about {each_hour} files an hour, of {} each",
            bytes_in_words(self.bytes)
        );
        let label = match &self.setting {
            Some((name, _)) => format!("`{name}` is {decides}"),
            None => format!("its channel holds {decides} when it closes a file"),
        };
        let mut description = Description::new(message, self.written.unwrap_or(self.declared), label);
        for (source, place) in &self.expected {
            description = description.label(*place, format!("this is expected of `{source}`"));
        }
        match (&self.setting, self.written) {
            (Some((name, value)), Some(span)) => description
                .help(format!("set `{name}` to at least {value}"))
                .guess(format!("set it to {value}"), span, value),
            (Some((name, value)), None) => description.help(format!("set `{name}` to at least {value}")),
            (None, _) => description.help("lead the way through a channel that holds more"),
        }
    }
}
