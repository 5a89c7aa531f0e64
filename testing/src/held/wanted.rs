//! What must become of an event: where it must arrive, by the meaning of the steps and forks.

use std::collections::{BTreeMap, BTreeSet};

use super::pipeline::{Chain, Condition, Pipeline, Step, To};

/// An event at an end: the sink, and the element if the event was exploded.
pub(super) type Place = (usize, Option<bool>);

/// What must become of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// It arrives at a place.
    At(Place),
    /// All of it.
    All(Vec<Wanted>),
    /// One of it: a decision that varies, or a fork that chooses.
    One(Vec<Wanted>),
    /// It, or nothing.
    Maybe(Box<Wanted>),
    /// Anything may become of it in these places.
    Anything(Box<Wanted>),
    /// It is dropped.
    Nothing,
}

/// How often an event arrived at each place.
pub(super) type Counts = BTreeMap<Place, usize>;

/// What an event is, as far as steps ask.
#[derive(Debug, Clone, Copy)]
struct Event {
    number: u64,
    element: Option<bool>,
    may_reject: bool,
    /// Whether it passes a step on two ways, so that a `dedupe` drops it on one of them.
    comes_twice: bool,
}

/// Returns whether the body of the event with this number has not the form that steps parse.
pub(super) fn is_malformed(number: u64) -> bool {
    number % 7 == 3
}

/// Returns whether a sink that rejects can never write the event with this number.
pub(super) fn is_unwritable(number: u64) -> bool {
    number % 5 == 2
}

/// Returns the key of the event with this number, of two.
pub(super) fn key_of(number: u64) -> u64 {
    number / 3 % 2
}

impl Pipeline {
    /// Returns what must become of the event with this number of a source.
    pub(super) fn wanted(&self, source: usize, number: u64) -> Wanted {
        let source = &self.sources[source];
        let wanted = |comes_twice| {
            let event = Event { number, element: None, may_reject: true, comes_twice };
            self.chain(source.flow, &source.chain, event)
        };
        let once = wanted(false);
        if once.is_ambiguous() { wanted(true) } else { once }
    }

    fn chain(&self, flow: usize, chain: &Chain, event: Event) -> Wanted {
        self.steps(flow, chain, 0, event)
    }

    fn steps(&self, flow: usize, chain: &Chain, index: usize, event: Event) -> Wanted {
        let Some(step) = chain.steps.get(index) else { return self.to(flow, &chain.to, event) };
        let rest = || self.steps(flow, chain, index + 1, event);
        let rejected = || self.rejected(flow, event);
        match step {
            Step::Keep(condition) => kept(condition.holds(event), rest),
            Step::Drop(condition) => kept(condition.holds(event).map(|holds| !holds), rest),
            Step::Reject(condition) => either(condition.holds(event), rejected, rest),
            Step::Check(condition) => either(condition.holds(event), rest, rejected),
            Step::Parse { .. } if !is_malformed(event.number) => rest(),
            Step::Parse { rejects: true } => rejected(),
            Step::Parse { rejects: false } => Wanted::Nothing,
            Step::Explode => {
                let element =
                    |element| self.steps(flow, chain, index + 1, Event { element: Some(element), ..event });
                Wanted::All(vec![element(false), element(true)])
            }
            Step::Sample | Step::DedupeByKey => Wanted::Maybe(Box::new(rest())),
            // The second element of an event has the same number.
            Step::DedupeAll if event.element.is_some() || event.comes_twice => {
                Wanted::Maybe(Box::new(rest()))
            }
            _ => rest(),
        }
    }

    fn rejected(&self, flow: usize, event: Event) -> Wanted {
        match event.may_reject {
            // The rejected event has just the body.
            true => {
                let event = Event { may_reject: false, element: None, ..event };
                self.chain(flow, &self.flows[flow].rejects, event)
            }
            false => Wanted::Nothing,
        }
    }

    fn to(&self, flow: usize, to: &To, event: Event) -> Wanted {
        let chain = |chain: &Chain| self.chain(flow, chain, event);
        match to {
            To::Sink(sink) => {
                let at = Wanted::At((*sink, event.element));
                match self.sinks[*sink].rejects() && is_unwritable(event.number) && event.may_reject {
                    true => Wanted::One(vec![at, self.rejected(flow, event)]),
                    false => at,
                }
            }
            To::Channel(channel) => {
                let channel = &self.channels[*channel];
                self.chain(channel.flow, &channel.chain, event)
            }
            To::Copy(branches) => {
                let branch = |(optional, of): &(bool, Chain)| match optional {
                    true => Wanted::Anything(Box::new(chain(of))),
                    false => chain(of),
                };
                Wanted::All(branches.iter().map(branch).collect())
            }
            To::Match(cases, last) => {
                let mut possible = Vec::new();
                for (condition, of) in cases {
                    match condition.holds(event) {
                        Some(false) => {}
                        Some(true) => {
                            possible.push(chain(of));
                            return one(possible);
                        }
                        None => possible.push(chain(of)),
                    }
                }
                possible.push(chain(last));
                one(possible)
            }
            To::Balance(chains) | To::BalanceBy(_, chains) | To::Failover(chains) => {
                one(chains.iter().map(chain).collect())
            }
        }
    }
}

fn one(mut possible: Vec<Wanted>) -> Wanted {
    match possible.len() {
        1 => possible.remove(0),
        _ => Wanted::One(possible),
    }
}

fn kept(holds: Option<bool>, rest: impl Fn() -> Wanted) -> Wanted {
    match holds {
        Some(true) => rest(),
        Some(false) => Wanted::Nothing,
        None => Wanted::Maybe(Box::new(rest())),
    }
}

fn either(holds: Option<bool>, yes: impl Fn() -> Wanted, no: impl Fn() -> Wanted) -> Wanted {
    match holds {
        Some(true) => yes(),
        Some(false) => no(),
        None => Wanted::One(vec![yes(), no()]),
    }
}

impl Condition {
    /// Whether the condition holds for an event; none if that may vary.
    fn holds(self, event: Event) -> Option<bool> {
        match self {
            Condition::Odd => Some(event.number % 2 == 1),
            Condition::Fifth => Some(event.number.is_multiple_of(5)),
            _ => None,
        }
    }
}

impl Wanted {
    /// The places where the event may arrive, each once for each way that leads there.
    fn places(&self, found: &mut Vec<Place>) {
        match self {
            Wanted::At(place) => found.push(*place),
            Wanted::All(parts) | Wanted::One(parts) => parts.iter().for_each(|part| part.places(found)),
            Wanted::Maybe(part) | Wanted::Anything(part) => part.places(found),
            Wanted::Nothing => {}
        }
    }

    /// Whether several ways lead to one place.
    fn is_ambiguous(&self) -> bool {
        let mut places = Vec::new();
        self.places(&mut places);
        let mut seen = BTreeSet::new();
        !places.into_iter().all(|place| seen.insert(place))
    }

    fn arrived(&self, counts: &Counts) -> bool {
        let mut places = Vec::new();
        self.places(&mut places);
        places.iter().any(|place| counts.contains_key(place))
    }

    /// Returns the sinks at one of which the event had to arrive and did not: one set for each loss.
    pub(super) fn lost(&self, counts: &Counts) -> Vec<BTreeSet<usize>> {
        let mut lost = Vec::new();
        match self.is_ambiguous() {
            false => self.add_lost(counts, &mut lost),
            true => {
                let bounds = self.bounds();
                let missing = bounds
                    .iter()
                    .filter(|(place, (least, _))| counts.get(place).copied().unwrap_or_default() < *least);
                lost.extend(missing.map(|((sink, _), _)| BTreeSet::from([*sink])));
            }
        }
        lost
    }

    fn add_lost(&self, counts: &Counts, lost: &mut Vec<BTreeSet<usize>>) {
        match self {
            Wanted::At(place) if counts.contains_key(place) => {}
            Wanted::At((sink, _)) => lost.push(BTreeSet::from([*sink])),
            Wanted::All(parts) => parts.iter().for_each(|part| part.add_lost(counts, lost)),
            Wanted::One(parts) => {
                let lost_in = |part: &Wanted| {
                    let mut lost = Vec::new();
                    part.add_lost(counts, &mut lost);
                    lost
                };
                let of_parts: Vec<_> = parts.iter().map(lost_in).collect();
                if of_parts.iter().all(|lost| !lost.is_empty()) {
                    lost.push(of_parts.into_iter().flatten().flatten().collect());
                }
            }
            Wanted::Maybe(_) | Wanted::Anything(_) | Wanted::Nothing => {}
        }
    }

    /// Returns the sinks at which the event arrived more often than it may.
    pub(super) fn repeated(&self, counts: &Counts) -> BTreeSet<usize> {
        let mut repeated = BTreeSet::new();
        match self.is_ambiguous() {
            false => self.add_repeated(counts, &mut repeated),
            true => {
                let bounds = self.bounds();
                let too_many = counts
                    .iter()
                    .filter(|(place, came)| bounds.get(place).is_some_and(|(_, most)| *came > most));
                repeated.extend(too_many.map(|((sink, _), _)| *sink));
            }
        }
        repeated
    }

    fn add_repeated(&self, counts: &Counts, repeated: &mut BTreeSet<usize>) {
        match self {
            Wanted::At(place) => {
                if counts.get(place).is_some_and(|came| *came > 1) {
                    repeated.insert(place.0);
                }
            }
            Wanted::All(parts) => parts.iter().for_each(|part| part.add_repeated(counts, repeated)),
            Wanted::One(parts) => {
                parts.iter().for_each(|part| part.add_repeated(counts, repeated));
                let arrived: Vec<_> = parts.iter().filter(|part| part.arrived(counts)).collect();
                if arrived.len() > 1 {
                    let mut places = Vec::new();
                    arrived.iter().for_each(|part| part.places(&mut places));
                    let came = places.into_iter().filter(|place| counts.contains_key(place));
                    repeated.extend(came.map(|(sink, _)| sink));
                }
            }
            Wanted::Maybe(part) => part.add_repeated(counts, repeated),
            Wanted::Anything(_) | Wanted::Nothing => {}
        }
    }

    /// How often the event must and may arrive at each place.
    fn bounds(&self) -> BTreeMap<Place, (usize, usize)> {
        match self {
            Wanted::At(place) => BTreeMap::from([(*place, (1, 1))]),
            Wanted::All(parts) => {
                let mut all: BTreeMap<Place, (usize, usize)> = BTreeMap::new();
                for (place, (least, most)) in parts.iter().flat_map(Wanted::bounds) {
                    let bounds = all.entry(place).or_default();
                    *bounds = (bounds.0 + least, bounds.1.saturating_add(most));
                }
                all
            }
            Wanted::One(parts) => {
                let of_parts: Vec<_> = parts.iter().map(Wanted::bounds).collect();
                let places: BTreeSet<Place> = of_parts.iter().flat_map(|part| part.keys().copied()).collect();
                let bound = |place: &Place, part: &BTreeMap<Place, (usize, usize)>| {
                    part.get(place).copied().unwrap_or_default()
                };
                let joined = places.into_iter().map(|place| {
                    let least = of_parts.iter().map(|part| bound(&place, part).0).min();
                    let most = of_parts.iter().map(|part| bound(&place, part).1).max();
                    (place, (least.unwrap_or_default(), most.unwrap_or_default()))
                });
                joined.collect()
            }
            Wanted::Maybe(part) => {
                part.bounds().into_iter().map(|(place, (_, most))| (place, (0, most))).collect()
            }
            Wanted::Anything(part) => {
                part.bounds().into_keys().map(|place| (place, (0, usize::MAX))).collect()
            }
            Wanted::Nothing => BTreeMap::new(),
        }
    }

    /// Returns the sinks at which the event arrived although no way leads there.
    pub(super) fn strayed(&self, counts: &Counts) -> BTreeSet<usize> {
        let mut places = Vec::new();
        self.places(&mut places);
        let strays = counts.keys().filter(|place| !places.contains(place));
        strays.map(|(sink, _)| *sink).collect()
    }
}
