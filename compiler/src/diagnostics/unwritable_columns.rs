use weir_grammar::Span;

use super::Description;

/// Events that a format of fields can't write.
#[derive(Debug, Clone, PartialEq)]
pub enum UnwritableColumns {
    /// A header and a field would be two columns of one name.
    Twice {
        /// The name of both.
        name: String,
        /// The place of the header in the setting.
        span: Span,
        /// The place of the field.
        field: Span,
    },
    /// The events have no field, and the format names no header.
    Nothing {
        /// The sink.
        sink: String,
        /// The place of the sink.
        span: Span,
        /// The components that the events come from.
        origins: Vec<(String, Span)>,
    },
}

impl UnwritableColumns {
    pub(super) fn describe(&self) -> Description {
        match self {
            UnwritableColumns::Twice { name, span, field } => {
                let message = format!("the format would write two columns called `{name}`");
                Description::new(message, *span, format!("`@{name}` is written as `{name}`"))
                    .label(*field, format!("the field `{name}`"))
                    .help(format!("rename one of them before the sink: `rename @{name} to @other`"))
            }
            UnwritableColumns::Nothing { sink, span, origins } => {
                let message = format!("the sink `{sink}` has nothing to write: its events have no field");
                let mut description = Description::new(message, *span, "its format writes fields");
                for (name, span) in origins {
                    description = description.label(*span, format!("events come from `{name}`"));
                }
                description
                    .help("name the headers to write in its format: `format: json { headers: [@timestamp] }`")
            }
        }
    }
}
