//! What follows from the expected rates of sources: how long an outage each channel bridges, how many files sinks write, and
//! whether a step lets events pass too slowly.

use weir_grammar::Span;
use weir_grammar::tree::{AmountKind, Role};
use weir_plan::{Action, Value};

use super::rolls;
use super::stream::Stream;
use crate::analysis::graph::{Destination, Edge, Graph, Leg};
use crate::analysis::resources::{Bridged, Rates, WrittenFiles};
use crate::diagnostics::{Diagnostic, SlowerThanExpected};
use crate::values::requirements::Side;

/// The bytes that a channel counts for an event beside its body, about: views, a time, an identity.
const EVENT_BYTES: f64 = 40.0;

/// Derives what follows from the expected rates. Reports small files, and steps that let events pass too slowly.
pub(super) fn check(graph: &Graph, diagnostics: &mut Vec<Diagnostic>) -> Rates {
    let mut streams =
        Streams { graph, of: vec![Stream::default(); graph.components.len()], slow: Vec::new() };
    for (index, component) in graph.components.iter().enumerate() {
        streams.of[index] = match &component.expected {
            Some(expected) => Stream {
                events: expected.rate,
                bytes: expected.rate * expected.size as f64,
                unknown: false,
                sources: vec![(index, expected.place)],
            },
            None => Stream { unknown: component.declared.role == Role::Source, ..Stream::default() },
        };
    }
    let is_channel = |edge: &&Edge| graph.components[edge.from].declared.role == Role::Channel;
    let (behind, first): (Vec<&Edge>, Vec<&Edge>) = graph.edges.iter().partition(is_channel);
    first.into_iter().chain(behind).for_each(|edge| streams.follow(edge));
    diagnostics.append(&mut streams.slow);
    let mut rates = Rates::default();
    for (index, stream) in streams.of.iter().enumerate() {
        let component = &graph.components[index];
        let Some(side) = component.side().filter(|_| stream.is_known()) else { continue };
        if let Some(seconds) = least(&side, AmountKind::Stores, stream, EVENT_BYTES) {
            let sources = stream.sources.iter().map(|(source, _)| *source).collect();
            rates.bridged.push(Bridged { channel: index, sources, seconds: seconds as u64 });
        }
        if let Some((seconds, roll)) = rolls::first(graph, index, &side, stream) {
            let (each_hour, bytes) = (3_600.0 / seconds, stream.bytes * seconds);
            rates.files.push(WrittenFiles { sink: index, each_hour, bytes: bytes as u64 });
            diagnostics.extend(rolls::small(&side, stream, seconds, &roll, &sources(graph, stream)));
        }
    }
    rates
}

/// Returns the names and places of the expectations that a stream comes from.
fn sources(graph: &Graph, stream: &Stream) -> Vec<(String, Span)> {
    let sources = stream.sources.iter();
    sources.map(|(source, place)| (graph.components[*source].declared.name.to_string(), *place)).collect()
}

/// Returns the least time until a component has one of the amounts of this kind.
fn least(side: &Side<'_>, kind: AmountKind, stream: &Stream, event_bytes: f64) -> Option<f64> {
    let amounts = side.applying(kind);
    let seconds = amounts.iter().filter_map(|(_, amount)| stream.seconds_until(amount, event_bytes));
    seconds.min_by(f64::total_cmp)
}

/// The streams of all components so far.
struct Streams<'g> {
    graph: &'g Graph,
    of: Vec<Stream>,
    slow: Vec<Diagnostic>,
}

impl Streams<'_> {
    fn follow(&mut self, edge: &Edge) {
        let stream = self.of[edge.from].clone();
        self.leg(&edge.leg, stream);
    }

    /// Follows a stream through a leg. Steps that leave out an unknown part of the events count as if they left out none.
    fn leg(&mut self, leg: &Leg, mut stream: Stream) {
        for step in &leg.steps {
            match &step.action {
                Action::Sample(share) => stream = stream.times(*share),
                Action::Throttle(Value::EventRate(rate)) => {
                    if stream.is_known() && stream.events > *rate {
                        let expected = sources(self.graph, &stream);
                        let slow = SlowerThanExpected {
                            place: step.span,
                            rate: *rate,
                            expected,
                            expected_rate: stream.events,
                        };
                        self.slow.push(slow.into());
                    }
                    stream = stream.times((rate / stream.events).min(1.0));
                }
                _ => {}
            }
        }
        let share = match &leg.to {
            Destination::Balance { by: None, legs, .. } => 1.0 / legs.len().max(1) as f64,
            _ => 1.0,
        };
        leg.ends().into_iter().for_each(|end| self.of[end].add(&stream));
        let behind = stream.times(share);
        leg.to.legs().into_iter().for_each(|leg| self.leg(leg, behind.clone()));
    }
}
