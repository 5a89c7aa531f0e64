//! The probe: checks the files, networks and other systems that components need, before any component runs.

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;

use super::{Agent, Role};
use crate::failure::{ConnectFailure, Failure};

/// A failed check of a component.
#[derive(Debug)]
pub struct Problem {
    /// The component's name.
    pub component: Arc<str>,
    /// The component's role.
    pub role: Role,
    /// The failure.
    pub failure: Failure,
    /// Whether the agent goes on without the component.
    pub optional: bool,
}

impl Problem {
    /// Whether the agent can't start. Otherwise it retries the component until it succeeds, or goes on without it.
    pub fn prevents_start(&self) -> bool {
        self.failure.is_permanent() && !self.optional
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.role, self.component, self.failure)
    }
}

impl Agent {
    /// Lets every component ask the servers that it needs, all at the same time. Returns the failures by component.
    pub async fn connect(&mut self) -> Vec<(Arc<str>, ConnectFailure)> {
        let sources = self.sources.iter_mut().map(|built| {
            let name = built.name.clone();
            async move { (name, built.source.connect().await) }
        });
        let sinks = self.sinks.iter_mut().map(|built| {
            let name = built.name.clone();
            async move { (name, built.sink.connect().await) }
        });
        let channels = self.channels.iter().map(|(name, built)| {
            let name: Arc<str> = name.as_str().into();
            async move { (name, built.channel.connect().await) }
        });
        let (sources, channels, sinks) = tokio::join!(join_all(sources), join_all(channels), join_all(sinks));
        let named = sources.into_iter().chain(channels).chain(sinks).flat_map(|(name, failures)| {
            failures.into_iter().map(move |failure| (name.clone(), failure)).collect::<Vec<_>>()
        });
        named.collect()
    }

    /// Lets every component check the systems that it needs, without changing them. Returns all problems.
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
