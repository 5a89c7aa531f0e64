//! What components lack outside, found before anything runs.

use std::fmt;
use std::sync::Arc;

use super::{Agent, Role};
use crate::failure::Failure;

/// Something that a component needs outside and does not find.
#[derive(Debug)]
pub struct Problem {
    /// The component's name.
    pub component: Arc<str>,
    /// What it is for.
    pub role: Role,
    /// What is wrong.
    pub failure: Failure,
    /// Whether the agent goes on without the component.
    pub optional: bool,
}

impl Problem {
    /// Whether the agent can't start. Otherwise the component is tried again until it succeeds, or is left out.
    pub fn keeps_from_starting(&self) -> bool {
        self.failure.is_permanent() && !self.optional
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.role, self.component, self.failure)
    }
}

impl Agent {
    /// Has every component try what it needs outside, without taking or leaving anything.
    pub async fn probe(&mut self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut note = |role, component: &str, optional, found: Vec<Failure>| {
            let component: Arc<str> = component.into();
            let named = found.into_iter().map(|failure| Problem {
                component: component.clone(),
                role,
                failure,
                optional,
            });
            problems.extend(named);
        };
        for source in &mut self.sources {
            note(Role::Source, &source.name, false, source.source.probe().await);
        }
        for (name, built) in &self.channels {
            note(Role::Channel, name, built.optional, built.channel.probe().await);
        }
        for sink in &mut self.sinks {
            note(Role::Sink, &sink.name, sink.optional, sink.sink.probe().await);
        }
        problems
    }
}
