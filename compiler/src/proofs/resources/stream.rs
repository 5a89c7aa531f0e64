//! The events that come to a component each second, by what is expected of sources.

use weir_grammar::Span;
use weir_plan::Value;

use crate::names::scopes::ComponentIndex;

/// The events that come to a component each second.
#[derive(Debug, Clone, Default)]
pub(super) struct Stream {
    pub(super) events: f64,
    pub(super) bytes: f64,
    /// Whether events come whose rate is not known.
    pub(super) unknown: bool,
    /// The sources of the events, with the places of their expectations.
    pub(super) sources: Vec<(ComponentIndex, Span)>,
}

impl Stream {
    pub(super) fn add(&mut self, other: &Stream) {
        self.events += other.events;
        self.bytes += other.bytes;
        self.unknown |= other.unknown;
        let new = other.sources.iter().filter(|(source, _)| !self.sources.iter().any(|(of, _)| of == source));
        let new: Vec<_> = new.copied().collect();
        self.sources.extend(new);
    }

    pub(super) fn times(&self, share: f64) -> Stream {
        Stream { events: self.events * share, bytes: self.bytes * share, ..self.clone() }
    }

    pub(super) fn is_known(&self) -> bool {
        !self.unknown && self.events > 0.0
    }

    /// Returns the seconds until a component has this amount of the stream: events, bytes or time.
    pub(super) fn seconds_until(&self, amount: &Value, event_bytes: f64) -> Option<f64> {
        Some(match amount {
            Value::Int(events) => *events as f64 / self.events,
            Value::Size(bytes) => *bytes as f64 / (self.bytes + self.events * event_bytes),
            Value::Duration(time) => time.as_secs_f64(),
            _ => return None,
        })
    }
}
