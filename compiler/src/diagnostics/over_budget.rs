use weir_grammar::Span;

use super::Description;
use crate::spelling::bytes_in_words;

/// A program that may take more memory or disk space than `agent { … }` allows.
#[derive(Debug, Clone, PartialEq)]
pub struct OverBudget {
    /// `memory` or `disk`.
    pub resource: &'static str,
    /// The limit of `agent { … }`, in bytes.
    pub allowed: u64,
    /// The place of this limit.
    pub place: Span,
    /// The worst case of the program, in bytes.
    pub sum: u64,
    /// A limit that suffices, in bytes.
    pub enough: u64,
    /// The part of the process beside its components, in bytes.
    pub process: u64,
    /// The largest parts, the largest first.
    pub parts: Vec<LargePart>,
    /// A setting that suffices if it is lowered alone.
    pub lower: Option<LowerSetting>,
}

/// A part of what a program may take.
#[derive(Debug, Clone, PartialEq)]
pub struct LargePart {
    /// The component.
    pub component: String,
    /// The bytes.
    pub bytes: u64,
    /// The reason, as the signature says it.
    pub because: String,
    /// The place of the setting that decides them, or else of the component.
    pub place: Span,
}

/// A setting and a lower value.
#[derive(Debug, Clone, PartialEq)]
pub struct LowerSetting {
    /// The name: `buffer.byte_capacity`.
    pub name: String,
    /// The value.
    pub value: String,
    /// Whether the compiler has added the component.
    pub implicit: bool,
    /// The share of the present value.
    pub kept: f64,
}

impl OverBudget {
    pub(super) fn describe(&self) -> Description {
        let OverBudget { resource, .. } = self;
        let (sum, allowed) = (bytes_in_words(self.sum), bytes_in_words(self.allowed));
        let message =
            format!("the program may take {sum} of {resource}, but the agent may only use {allowed}");
        let label = match self.process {
            0 => format!("`{resource}` allows {allowed}"),
            process => format!(
                "`{resource}` allows {allowed}, of which the process takes {} itself",
                bytes_in_words(process)
            ),
        };
        let mut description = Description::new(message, self.place, label);
        for LargePart { component, bytes, because, place } in &self.parts {
            description = description
                .label(*place, format!("`{component}` may take {}: {because}", bytes_in_words(*bytes)));
        }
        let enough = bytes_in_words(self.enough);
        let raise = format!("set `{resource}` to at least {enough}");
        let lower = self.lower.as_ref().map(|LowerSetting { name, value, implicit, .. }| match implicit {
            true => {
                let setting = name.rsplit('.').next().unwrap_or(name);
                format!("lead the way through a channel of your own with a `{setting}` of at most {value}")
            }
            false => format!("set `{name}` to at most {value}"),
        });
        let ways: Vec<String> = [raise].into_iter().chain(lower).collect();
        description.help(ways.join(", or ")).help("`weir check --proofs` shows all parts").guess(
            format!("set `{resource}` to {enough}"),
            self.place,
            enough,
        )
    }
}
