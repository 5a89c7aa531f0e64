//! Simulated sources that are as bad as their delivery class allows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::{DataType, SchemaRef};
use async_trait::async_trait;
use weir_plan::{Value, support, time_text};
use weir_runtime::batch::{Batch, Identities, Origins, Partition};
use weir_runtime::source::{Delivered, Source, SourcePort};
use weir_runtime::{Failure, SeededRandom};

use super::pipeline::SourceKind;
use super::text::BATCH;
use super::wanted::{is_malformed, key_of};
use crate::endpoints;
use crate::scene::{BEGIN, CallFailed, Proceeds, Scene};

/// The events of each source.
pub(super) const EVENTS: u64 = 24;
/// The numbers of the events of one source.
pub(super) const NUMBERS: u64 = 1_000;
/// The most times that peers send a request again because no answer came in time.
const TIMEOUTS_MAX: u32 = 3;

/// How a source gives events again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    /// From the last position that it has saved. If the positions don't last, each run has a partition of its own.
    FromPosition { lasting: bool },
    /// Its peers send what they got no answer for.
    Unanswered,
    /// Never.
    Nothing,
}

/// What a source has to give, and what is known of it outside of the agent.
pub(super) struct Supply {
    pub(super) kind: SourceKind,
    /// The source's number.
    pub(super) number: u64,
    pub(super) repeats: Repeats,
    pub(super) scene: Arc<Scene>,
    state: Mutex<State>,
}

struct State {
    random: SeededRandom,
    /// The sequences in which events are in order: the events of each.
    sequences: Vec<Vec<u64>>,
    /// Of each sequence, the position that the source has saved, or how many events peers have sent.
    saved: Vec<u64>,
    requests: Vec<Request>,
    timeouts: u32,
    /// The number of the last event of peers. It is given once, also over restarts: a real source begins again, and so the
    /// compiler and the runtime refuse to store its positions.
    last: u64,
    /// The runs of the source so far.
    runs: u64,
    /// The name of the file that events are in now.
    renamed: bool,
}

impl State {
    /// Chooses a sequence with events after these positions, and some of the events that follow there; none if there are none.
    fn next_events(&mut self, after: &[u64]) -> Option<(usize, Vec<u64>)> {
        let open = (0..after.len()).filter(|at| after[*at] < self.sequences[*at].len() as u64);
        let open: Vec<usize> = open.collect();
        if open.is_empty() {
            return None;
        }
        let sequence = self.random.among(&open);
        let begin = after[sequence];
        let most = (self.sequences[sequence].len() as u64 - begin).min(BATCH);
        let through = begin + 1 + self.random.below(most);
        Some((sequence, self.sequences[sequence][begin as usize..through as usize].to_vec()))
    }
}

/// A request of a peer.
struct Request {
    events: Vec<u64>,
    state: RequestState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestState {
    Unsent,
    /// Put; the number of its last event.
    Sent(u64),
    Answered,
}

impl SourceKind {
    /// Whether the source gives one sequence of events.
    fn is_total(self) -> bool {
        matches!(self, SourceKind::Generate | SourceKind::Stdin)
    }

    /// Whether the source gives events in no order.
    fn is_unordered(self) -> bool {
        matches!(self, SourceKind::Http | SourceKind::KafkaGroup)
    }
}

impl Supply {
    pub(super) fn new(
        kind: SourceKind,
        number: u64,
        repeats: Repeats,
        scene: Arc<Scene>,
        seed: u64,
    ) -> Supply {
        let mut random = SeededRandom::new(seed);
        let count = if kind.is_total() { 1 } else { 2 };
        let mut events: Vec<u64> = (0..EVENTS).collect();
        if kind.is_unordered() {
            (1..events.len())
                .rev()
                .for_each(|last| events.swap(last, random.below(last as u64 + 1) as usize));
        }
        let mut sequences = vec![Vec::new(); count];
        for event in &events {
            // Events with equal keys are in one sequence.
            let sequence = if count == 1 { 0 } else { key_of(*event) as usize };
            sequences[sequence].push(*event);
        }
        let requests = match repeats {
            Repeats::Unanswered => {
                let chunks = events.chunks(BATCH as usize / 2);
                let request =
                    |events: &[u64]| Request { events: events.to_vec(), state: RequestState::Unsent };
                chunks.map(request).collect()
            }
            _ => Vec::new(),
        };
        let state = State {
            random,
            saved: vec![0; count],
            sequences,
            requests,
            timeouts: 0,
            last: 0,
            runs: 0,
            renamed: false,
        };
        Supply { kind, number, repeats, scene, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> String {
        format!("s{}", self.number)
    }

    /// The sequence of the source in which an event is in order.
    pub(super) fn sequence_of(&self, event: u64) -> usize {
        self.lock().sequences.iter().position(|events| events.contains(&event)).unwrap_or_default()
    }

    fn partition(&self, sequence: usize, run: u64) -> Partition {
        match self.repeats {
            Repeats::FromPosition { lasting: false } => {
                Partition::new(format!("s{}/{sequence}@{run}", self.number))
            }
            Repeats::FromPosition { lasting: true } => Partition::new(format!("s{}/{sequence}", self.number)),
            _ => Partition::new(self.name()),
        }
    }

    /// Tells the scene how many events are delivered for good.
    fn count_delivered(&self) {
        let state = self.lock();
        let delivered = match self.repeats {
            Repeats::Unanswered => {
                let answered =
                    state.requests.iter().filter(|request| request.state == RequestState::Answered);
                answered.map(|request| request.events.len() as u64).sum()
            }
            _ => state.saved.iter().sum(),
        };
        drop(state);
        self.scene.source(&self.name(), |source| source.delivered = delivered);
        self.scene.moved();
    }

    /// The columns of an event that is read now.
    fn columns(&self, schema: &SchemaRef, event: u64, renamed: bool) -> BTreeMap<String, Value> {
        let number = self.number * NUMBERS + event;
        let varies = |name: &str| support::varying_headers(self.kind.name()).any(|header| header == name);
        let time = if varies("@timestamp") || self.repeats == Repeats::Nothing {
            self.scene.now()
        } else {
            BEGIN + i64::try_from(event).unwrap_or_default() * 1_000_000
        };
        let sign = if is_malformed(number) { "" } else { "=" };
        let column = |field: &arrow_schema::Field| match field.name().as_str() {
            weir_plan::BODY => Value::Text(format!("n{sign}{number} k={}", key_of(event))),
            "@timestamp" => Value::Text(time_text(time).unwrap_or_default()),
            "@key" => Value::Text(format!("{}", key_of(event))),
            "@file" => Value::Text(format!("{}{}", key_of(event), if renamed { "b" } else { "a" })),
            _ if field.is_nullable() => Value::Null,
            _ => default_of(field.data_type()),
        };
        let named = schema.fields().iter().map(|field| (field.name().clone(), column(field)));
        named.filter(|(name, _)| *name != weir_plan::LINEAGE).collect()
    }

    /// Makes a batch of events.
    fn batch(&self, schema: &SchemaRef, events: &[u64], origins: Origins) -> Result<Batch, Failure> {
        let renamed = self.lock().renamed;
        let columns: Vec<_> = events.iter().map(|event| self.columns(schema, *event, renamed)).collect();
        let lineage = self.scene.source(&self.name(), |source| {
            events.iter().map(|event| source.lineage(*event)).collect::<Vec<_>>()
        });
        let lineage = lineage.unwrap_or_default();
        endpoints::batch(schema, columns.iter().collect(), lineage, origins).map_err(Failure::permanent)
    }
}

/// A value for a column that no step asks for.
fn default_of(data_type: &DataType) -> Value {
    match data_type {
        DataType::Boolean => Value::Bool(false),
        DataType::Int64 => Value::Int(0),
        DataType::FixedSizeBinary(_) => Value::Text("127.0.0.1".to_owned()),
        DataType::Map(..) => Value::Record(BTreeMap::new()),
        _ => Value::Text("x".to_owned()),
    }
}

/// A source of a pipeline.
pub(super) struct HeldSource {
    pub(super) supply: Arc<Supply>,
    pub(super) schema: SchemaRef,
    /// The number of the last event that this process has put, if peers send them.
    pub(super) sequence: u64,
}

/// The next batch, and what to note when it is put.
struct Next {
    batch: Batch,
    noted: Noted,
}

#[derive(Clone, Copy)]
enum Noted {
    /// A sequence, and the position through which it was put.
    Put(usize, u64),
    /// A request.
    Sent(usize),
    Nothing,
}

#[async_trait]
impl Source for HeldSource {
    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let numbered = port.wants_identities();
        let mut after = self.begin(&port);
        let SourcePort { mut outlet, mut deliveries, stop, .. } = port;
        let scene = self.supply.scene.clone();
        let name = self.supply.name();
        loop {
            let changed = scene.changed.notified();
            if let Some(Next { batch, noted }) = self.next(&after, numbered)? {
                let proceeds = scene.call("source", &name)?;
                outlet.put(batch).await?;
                match noted {
                    Noted::Put(sequence, through) => after[sequence] = through,
                    Noted::Sent(request) => {
                        self.supply.lock().requests[request].state = RequestState::Sent(self.sequence);
                    }
                    Noted::Nothing => {}
                }
                scene.moved();
                if proceeds == Proceeds::WithoutAnswer {
                    return Err(CallFailed::Planned.into());
                }
                tokio::select! {
                    biased;
                    Some(delivered) = deliveries.next() => self.delivered(&delivered)?,
                    () = std::future::ready(()) => {}
                }
                continue;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(delivered) = deliveries.next() => self.delivered(&delivered)?,
                () = changed => {}
            }
        }
        outlet.close();
        while let Some(delivered) = deliveries.next().await {
            self.delivered(&delivered)?;
        }
        Ok(())
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }
}

impl HeldSource {
    /// Begins a run. Returns the position of each sequence after which it goes on.
    fn begin(&mut self, port: &SourcePort) -> Vec<u64> {
        let supply = self.supply.clone();
        let mut state = supply.lock();
        state.runs += 1;
        state.renamed ^= state.random.one_in(2);
        for request in &mut state.requests {
            // The connections are closed, so the peers send again.
            if let RequestState::Sent(_) = request.state {
                request.state = RequestState::Unsent;
            }
        }
        let given = |partition: Partition| port.given.through(&partition).map_or(0, |given| given.position());
        let delivered = |partition: Partition| {
            let mut positions = port.delivered.positions();
            positions.find(|(of, _)| **of == partition).map_or(0, |(_, through)| through.position())
        };
        match supply.repeats {
            Repeats::FromPosition { .. } => {
                let run = state.runs;
                let saved = state.saved.iter().enumerate();
                let after = saved.map(|(sequence, saved)| {
                    let partition = || supply.partition(sequence, run);
                    (*saved).max(given(partition())).max(delivered(partition()))
                });
                let after: Vec<u64> = after.collect();
                // What durable channels and recovered sinks have is delivered, although the source has not saved that.
                for sequence in 0..after.len() {
                    let known = delivered(supply.partition(sequence, run));
                    state.saved[sequence] = state.saved[sequence].max(known);
                }
                drop(state);
                supply.count_delivered();
                after
            }
            _ => {
                self.sequence = self.sequence.max(given(Partition::new(supply.name())));
                if supply.repeats == Repeats::Unanswered {
                    self.sequence = self.sequence.max(state.last);
                }
                Vec::new()
            }
        }
    }

    /// Makes the next batch; none if there are no more events.
    fn next(&mut self, after: &[u64], numbered: bool) -> Result<Option<Next>, Failure> {
        let supply = self.supply.clone();
        match supply.repeats {
            Repeats::FromPosition { .. } => {
                let (sequence, begin, events, run) = {
                    let mut state = supply.lock();
                    let Some((sequence, events)) = state.next_events(after) else { return Ok(None) };
                    (sequence, after[sequence], events, state.runs)
                };
                let through = begin + events.len() as u64;
                let partition = supply.partition(sequence, run);
                let origins = Origins::one(partition.clone(), begin, through);
                let batch = supply.batch(&self.schema, &events, origins)?;
                let batch = self.numbered(batch, numbered, partition, begin + 1)?;
                Ok(Some(Next { batch, noted: Noted::Put(sequence, through) }))
            }
            Repeats::Unanswered => {
                let Some((request, events)) = self.next_request() else { return Ok(None) };
                let batch = self.next_of_peers(&events, numbered)?;
                Ok(Some(Next { batch, noted: Noted::Sent(request) }))
            }
            Repeats::Nothing => {
                let Some(events) = self.next_sent() else { return Ok(None) };
                let batch = self.next_of_peers(&events, numbered)?;
                Ok(Some(Next { batch, noted: Noted::Nothing }))
            }
        }
    }

    fn next_request(&self) -> Option<(usize, Vec<u64>)> {
        let mut state = self.supply.lock();
        if state.timeouts < TIMEOUTS_MAX && state.random.one_in(16) {
            state.timeouts += 1;
            let mut sent = state.requests.iter_mut();
            let sent = sent.find(|request| matches!(request.state, RequestState::Sent(_)));
            sent.into_iter().for_each(|request| request.state = RequestState::Unsent);
        }
        let unsent = state.requests.iter().enumerate();
        let unsent = unsent.filter(|(_, request)| request.state == RequestState::Unsent);
        let unsent: Vec<usize> = unsent.map(|(index, _)| index).collect();
        if unsent.is_empty() {
            return None;
        }
        let request = state.random.among(&unsent);
        Some((request, state.requests[request].events.clone()))
    }

    /// Takes the next events of peers that never send again.
    fn next_sent(&self) -> Option<Vec<u64>> {
        let events = {
            let mut state = self.supply.lock();
            let sent = state.saved.clone();
            let (sequence, events) = state.next_events(&sent)?;
            state.saved[sequence] += events.len() as u64;
            events
        };
        self.supply.count_delivered();
        Some(events)
    }

    /// Numbers events of peers, and makes their batch.
    fn next_of_peers(&mut self, events: &[u64], numbered: bool) -> Result<Batch, Failure> {
        let begin = self.sequence;
        self.sequence += events.len() as u64;
        self.supply.lock().last = self.sequence;
        let partition = Partition::new(self.supply.name());
        let origins = Origins::one(partition.clone(), begin, self.sequence);
        let batch = self.supply.batch(&self.schema, events, origins)?;
        self.numbered(batch, numbered, partition, begin + 1)
    }

    fn numbered(
        &self,
        batch: Batch,
        numbered: bool,
        partition: Partition,
        first: u64,
    ) -> Result<Batch, Failure> {
        match numbered {
            true => Ok(batch.with_identities(Identities::counting(partition, first))?),
            false => Ok(batch),
        }
    }

    /// Saves positions, or answers peers.
    fn delivered(&self, delivered: &Delivered) -> Result<(), Failure> {
        let supply = &self.supply;
        if supply.repeats == Repeats::Nothing {
            return Ok(());
        }
        let proceeds = supply.scene.call("source", &supply.name())?;
        for (partition, through) in delivered.positions() {
            let mut state = supply.lock();
            let run = state.runs;
            match supply.repeats {
                Repeats::FromPosition { .. } => {
                    let found = (0..state.saved.len()).find(|of| supply.partition(*of, run) == *partition);
                    if let Some(sequence) = found {
                        state.saved[sequence] = state.saved[sequence].max(through.position());
                    }
                }
                _ => {
                    for request in &mut state.requests {
                        if matches!(request.state, RequestState::Sent(last) if last <= through.position()) {
                            request.state = RequestState::Answered;
                        }
                    }
                }
            }
        }
        supply.count_delivered();
        match proceeds {
            Proceeds::WithoutAnswer => Err(CallFailed::Planned.into()),
            Proceeds::Normally => Ok(()),
        }
    }
}
