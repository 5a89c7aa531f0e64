//! The closing report: what each component did.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Agent;
use crate::meter::{Meter, Reading};

/// What a component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Events come from it.
    Source,
    /// Events wait in it.
    Channel,
    /// Events go to it.
    Sink,
}

/// What one component did.
#[derive(Debug, Clone)]
pub struct ComponentReport {
    /// Its name.
    pub name: Arc<str>,
    /// Which of the library's components it is.
    pub kind: String,
    /// What it is for.
    pub role: Role,
    /// Events that came in.
    pub received: Reading,
    /// Events that are done.
    pub delivered: Reading,
    /// Events that its steps dropped on purpose.
    pub dropped: Reading,
    /// How often it was started again.
    pub restarts: u64,
    /// What it says about itself, in order.
    pub notes: Vec<String>,
}

/// What a run did, component by component, sources first.
#[derive(Debug, Clone)]
pub struct Report {
    /// How long it took.
    pub elapsed: Duration,
    /// Its components.
    pub components: Vec<ComponentReport>,
}

/// Keeps the meters while the components are running.
pub(super) struct Reporter {
    components: Vec<(Role, Arc<str>, String, Arc<Meter>)>,
}

impl Reporter {
    pub(super) fn of(agent: &Agent) -> Reporter {
        let mut components = Vec::new();
        for source in &agent.sources {
            components.push((Role::Source, source.name.clone(), source.kind.clone(), source.meter.clone()));
        }
        for (name, channel) in &agent.channels {
            components.push((
                Role::Channel,
                name.as_str().into(),
                channel.kind.clone(),
                channel.meter.clone(),
            ));
        }
        for sink in &agent.sinks {
            components.push((Role::Sink, sink.name.clone(), sink.kind.clone(), sink.meter.clone()));
        }
        Reporter { components }
    }

    pub(super) fn report(self, elapsed: Duration) -> Report {
        let components = self.components.into_iter().map(|(role, name, kind, meter)| {
            let counters = meter.counters().into_iter().map(|(counter, value)| format!("{counter}: {value}"));
            let notes = meter.notes().into_iter().map(|(key, text)| format!("{key}: {text}"));
            ComponentReport {
                name,
                kind,
                role,
                received: meter.received.read(),
                delivered: meter.delivered.read(),
                dropped: meter.dropped.read(),
                restarts: meter.restarts(),
                notes: notes.chain(counters).collect(),
            }
        });
        Report { elapsed, components: components.collect() }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Source => "source",
            Role::Channel => "channel",
            Role::Sink => "sink",
        })
    }
}

/// A table with a line for each component, its notes below it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |component: &ComponentReport| format!("{} = {}", component.name, component.kind);
        let width = self.components.iter().map(|component| name(component).len()).max().unwrap_or(0).max(9);
        writeln!(
            f,
            "{:7}  {:width$}  {:>14}  {:>14}  {:>10}  {:>10}  {:>12}  {:>10}",
            "", "component", "events in", "delivered", "dropped", "bytes", "events/s", "bytes/s"
        )?;
        for component in &self.components {
            let Reading { events, bytes } = component.delivered;
            writeln!(
                f,
                "{:7}  {:width$}  {:>14}  {:>14}  {:>10}  {:>10}  {:>12}  {:>10}",
                component.role,
                name(component),
                grouped(component.received.events),
                grouped(events),
                grouped(component.dropped.events),
                bytes_text(bytes as f64),
                grouped(self.rate(events) as u64),
                format!("{}/s", bytes_text(self.rate(bytes))),
            )?;
            if component.restarts > 0 {
                writeln!(f, "         {:width$}  restarted {} times", "", component.restarts)?;
            }
            for note in &component.notes {
                writeln!(f, "         {:width$}  {note}", "")?;
            }
        }
        write!(f, "ran for {:.1} s", self.elapsed.as_secs_f64())
    }
}

impl Report {
    fn rate(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64().max(1e-3)
    }
}

/// A number with its thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in the largest binary unit that leaves at least one.
fn bytes_text(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_to_be_read() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(bytes_text(1023.0), "1023 B");
        assert_eq!(bytes_text(1536.0), "1.5 KiB");
        assert_eq!(bytes_text(3.0 * 1024f64.powi(4)), "3.0 TiB");
    }
}
