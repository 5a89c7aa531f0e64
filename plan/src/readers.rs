//! The names under which sinks read a channel. A durable channel stores them, so they must stay from one run to the next.

use std::collections::BTreeMap;

use crate::{Leg, Origin, Plan, Route};

/// Returns the base of the name of a reader that several sinks share: those of a `balance` without `by` or of a `failover`.
pub fn shared_reader<S: AsRef<str>>(sinks: &[S]) -> String {
    sinks.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("|")
}

/// Returns the name of a sink's reader, which has read the channel under this base on so many paths before. Readers of one name
/// share the channel's events, so each path has a name of its own.
pub fn reader_name(base: &str, before: usize) -> String {
    if before == 0 { base.to_owned() } else { format!("{base}#{}", before + 1) }
}

/// Returns the readers of a channel: the name of each, with the sinks that read under it, in the order of the text.
pub fn readers_of<'p>(plan: &'p Plan, channel: &str) -> BTreeMap<String, Vec<&'p str>> {
    let paths = plan.flows.iter().flat_map(|flow| &flow.paths);
    let mut ends = Vec::new();
    for path in paths.filter(|path| matches!(&path.from, Origin::Channel(name) if name == channel)) {
        add_ends(&path.leg, None, &mut ends);
    }
    let mut readers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (index, end) in ends.iter().enumerate() {
        let before = ends[..index].iter().filter(|before| *before == end).count();
        readers.entry(reader_name(&end.base, before)).or_default().push(end.sink);
    }
    readers
}

/// A sink at the end of a path, the base of its reader's name, and its place among the sinks that share the reader.
#[derive(PartialEq, Eq)]
struct End<'p> {
    sink: &'p str,
    base: String,
    place: usize,
}

fn add_ends<'p>(leg: &'p Leg, shared: Option<(&str, usize)>, ends: &mut Vec<End<'p>>) {
    match &leg.to {
        Route::Sink(sink) => {
            let (base, place) = shared.unwrap_or((sink, 0));
            ends.push(End { sink, base: base.to_owned(), place });
        }
        Route::Balance { by: None, legs } | Route::Failover(legs) => {
            let sinks = legs.iter().filter_map(|leg| match &leg.to {
                Route::Sink(name) => Some(name),
                _ => None,
            });
            let base = shared_reader(&sinks.collect::<Vec<&String>>());
            legs.iter().enumerate().for_each(|(place, leg)| add_ends(leg, Some((&base, place)), ends));
        }
        other => other.legs().into_iter().for_each(|leg| add_ends(leg, shared, ends)),
    }
}
