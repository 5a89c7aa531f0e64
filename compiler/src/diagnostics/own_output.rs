use weir_grammar::Span;

use super::Description;

/// A sink that writes what the source of its events reads.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnOutput {
    /// The source.
    pub source: String,
    /// The sink.
    pub sink: String,
    /// The name of what is written and read.
    pub what: String,
    /// The place of the setting that says what is read.
    pub read: Span,
    /// The place of the setting that says what is written.
    pub written: Span,
    /// The path of the events.
    pub path: String,
}

impl OwnOutput {
    pub(super) fn describe(&self) -> Description {
        let OwnOutput { source, sink, what, path, .. } = self;
        let message =
            format!("`{sink}` writes `{what}`, which `{source}` reads: its events come back for ever");
        Description::new(message, self.written, "written here")
            .label(self.read, "read here")
            .help(format!("the events go the way {path}, and begin again"))
            .help(format!("let `{sink}` write elsewhere"))
    }
}
