//! Simulated agents: a member that reads, a channel in memory, and a sink with transactions, one step at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use weir_runtime::SeededRandom;
use weir_runtime::batch::{Identities, Partition};
use weir_runtime::source::Handover;

use super::brokers::{Answer, Brokers, Request, What};
use super::{Counts, is_dropped};
use crate::components::kafka::shared_group::{Generation, NotNow, SharedGroup};
use crate::components::kafka::sink::upstreams::{Brought, Offsets, Upstreams};
use crate::tools::arrived::{Arrived, Settled};

const PREFIX: &str = "buffer/in/";
/// The most events of the channel.
const MEMORY: usize = 12;
/// The most events of a transaction.
const TRANSACTION: usize = 6;

/// What a rebalance says to a member.
#[derive(Debug)]
pub(super) enum Told {
    Generation {
        number: i32,
        revoked: BTreeSet<usize>,
        assigned: BTreeSet<usize>,
    },
    /// The group has given the member up.
    Lost,
}

/// A partition that is read.
#[derive(Debug)]
struct Reading {
    name: Partition,
    next: u64,
}

#[derive(Debug, Default)]
struct Member {
    id: Option<String>,
    generation: Option<i32>,
    owned: BTreeMap<usize, Reading>,
    told: Option<Told>,
    /// Whether the member knows the generation of what it was told.
    knows: bool,
}

#[derive(Debug, Clone)]
struct Event {
    /// The partition as the sink knows it.
    name: Partition,
    partition: usize,
    offset: u64,
}

/// The state of the sink's producer.
#[derive(Debug)]
enum Producer {
    None,
    /// It has ended what was open.
    Initialised,
    Ready,
    /// It waits for the answer to its offsets.
    Adding(Brought, Generation),
    /// It waits for the answer to its commit.
    Ending(Brought),
}

#[derive(Debug)]
pub(super) struct Agent {
    place: usize,
    group: Arc<SharedGroup>,
    run: u64,
    upstreams: Upstreams,
    member: Member,
    memory: VecDeque<Event>,
    /// The events of the open transaction.
    taken: Vec<Event>,
    /// The positions of each assignment that were read, each with whether it is delivered.
    progress: BTreeMap<Partition, VecDeque<(u64, bool)>>,
    settled: Settled,
    producer: Producer,
    epoch: u64,
}

impl Agent {
    pub(super) fn new(place: usize) -> Agent {
        let group = Arc::new(SharedGroup::new("g", &[]));
        let handover: Handover = group.clone();
        let mut upstreams = Upstreams::default();
        upstreams.take_over(&handover, PREFIX, &[]).expect("the brokers are the same");
        Agent {
            place,
            run: group.begin_run(),
            group,
            upstreams,
            member: Member::default(),
            memory: VecDeque::new(),
            taken: Vec::new(),
            progress: BTreeMap::new(),
            settled: Settled::new(),
            producer: Producer::None,
            epoch: 0,
        }
    }

    /// Runs the source again, after a failure: another member.
    pub(super) fn restart_source(&mut self, brokers: &mut Brokers) {
        if let Some(id) = &self.member.id {
            brokers.leave(id);
        }
        self.member = Member::default();
        self.run = self.group.begin_run();
    }

    pub(super) fn member_id(&self) -> Option<&str> {
        self.member.id.as_deref()
    }

    pub(super) fn is_in_rebalance(&self) -> bool {
        self.member.told.is_some()
    }

    pub(super) fn claimed(&self) -> BTreeSet<usize> {
        self.member.owned.keys().copied().collect()
    }

    /// Joins the group, as a new member if it is none. Returns its name there.
    pub(super) fn join(&mut self, new: String) -> String {
        self.member.id.get_or_insert(new).clone()
    }

    pub(super) fn tell(&mut self, told: Told) {
        self.member.told = Some(told);
        self.member.knows = false;
    }

    /// The generation that the client knows.
    fn sampled(&self) -> Option<Generation> {
        let (member, number) = (self.member.id.clone()?, self.member.generation?);
        Some(Generation { group: "g".to_owned(), number, member, instance: None })
    }

    /// Goes a step on with a rebalance: the client knows the generation first, and calls the member later. `renews` lets the sink
    /// know the generation in between.
    pub(super) fn hear_of_rebalance(&mut self, brokers: &mut Brokers, renews: bool) {
        if !self.member.knows {
            match &self.member.told {
                None => {}
                Some(Told::Lost) => (self.member.generation, self.member.knows) = (None, true),
                Some(Told::Generation { number, .. }) => {
                    (self.member.generation, self.member.knows) = (Some(*number), true);
                }
            }
        } else if let Some(told) = self.member.told.take() {
            match told {
                Told::Lost => {
                    let owned = std::mem::take(&mut self.member).owned;
                    self.group.revoke(owned.values().map(|reading| &reading.name));
                }
                Told::Generation { number, revoked, assigned } => {
                    let gone = revoked.iter().filter_map(|partition| self.member.owned.remove(partition));
                    let gone: Vec<Partition> = gone.map(|reading| reading.name).collect();
                    self.group.revoke(gone.iter());
                    let left: BTreeSet<usize> = assigned
                        .into_iter()
                        .filter(|partition| !self.begin_reading(*partition, brokers))
                        .collect();
                    if !left.is_empty() {
                        let revoked = BTreeSet::new();
                        self.member.told = Some(Told::Generation { number, revoked, assigned: left });
                    }
                }
            }
        }
        if renews {
            self.group.renew(self.run, self.sampled());
        }
    }

    /// Begins to read an assigned partition, unless its offset is in a transaction.
    fn begin_reading(&mut self, partition: usize, brokers: &Brokers) -> bool {
        let Some(next) = brokers.offset(partition) else { return false };
        let plain = Partition::new(format!("logs/{partition}"));
        let number = partition as i32;
        let name = self.group.assign(self.run, &plain, "logs", number, String::new());
        self.member.owned.insert(partition, Reading { name, next });
        true
    }

    /// Reads records into the channel. Steps drop some before.
    pub(super) fn poll(&mut self, brokers: &mut Brokers, random: &mut SeededRandom) {
        for (partition, reading) in &mut self.member.owned {
            let most = random.below(4);
            for _ in 0..most {
                if self.memory.len() >= MEMORY || reading.next >= brokers.ends[*partition] {
                    break;
                }
                let offset = reading.next;
                reading.next += 1;
                let name = Partition::new(format!("{PREFIX}{}", reading.name));
                let is_dropped = is_dropped(offset);
                self.progress.entry(name.clone()).or_default().push_back((offset + 1, is_dropped));
                if !is_dropped {
                    self.memory.push_back(Event { name, partition: *partition, offset });
                }
            }
        }
        let names: Vec<Partition> = self.progress.keys().cloned().collect();
        names.iter().for_each(|name| self.settle(name));
    }

    fn delivered(&mut self, event: &Event) {
        let positions = self.progress.entry(event.name.clone()).or_default();
        positions.iter_mut().filter(|(at, _)| *at == event.offset + 1).for_each(|(_, done)| *done = true);
        self.settle(&event.name);
    }

    fn settle(&mut self, name: &Partition) {
        let Some(positions) = self.progress.get_mut(name) else { return };
        while let Some((position, _)) = positions.pop_front_if(|(_, done)| *done) {
            self.settled.insert(name.clone(), position);
        }
    }

    /// Goes a step on with the sink. With `gives_up`, the outcome of what is under way is not waited for.
    pub(super) fn run_sink(
        &mut self,
        brokers: &mut Brokers,
        random: &mut SeededRandom,
        gives_up: bool,
        counts: &mut Counts,
    ) {
        match &self.producer {
            Producer::None => {
                self.epoch = brokers.init(self.place);
                self.producer = Producer::Initialised;
            }
            Producer::Initialised => self.look_up(brokers),
            Producer::Ready if gives_up => self.give_up(),
            Producer::Ready => {
                let is_full = self.taken.len() >= TRANSACTION || self.memory.is_empty();
                if !is_full && !random.one_in(4) {
                    self.take(brokers, counts);
                } else {
                    self.commit(brokers, counts);
                }
            }
            Producer::Adding(..) | Producer::Ending(_) if gives_up => {
                counts.unknown += 1;
                self.give_up();
            }
            Producer::Adding(..) | Producer::Ending(_) => {}
        }
    }

    /// Asks for the offsets of the present assignments.
    fn look_up(&mut self, brokers: &Brokers) {
        let mut found = Brought::new();
        for (name, owned) in self.group.owned() {
            let Some(offset) = brokers.offset(owned.number as usize) else { return };
            found.insert((0, name), offset);
        }
        self.upstreams.committed(found);
        self.producer = Producer::Ready;
    }

    /// Gives the events of the transaction back to the channel, in their order.
    fn give_up(&mut self) {
        self.taken.drain(..).rev().for_each(|event| self.memory.push_front(event));
        self.producer = Producer::None;
    }

    /// Takes an event into the transaction.
    fn take(&mut self, brokers: &mut Brokers, counts: &mut Counts) {
        let Some(event) = self.memory.pop_front() else { return };
        let identities = Identities::of_one(event.name.clone(), vec![event.offset + 1]);
        let all = 0..1;
        let kept = self.upstreams.kept(&identities, std::slice::from_ref(&all));
        if kept.is_some_and(|kept| kept.rows.is_empty()) {
            counts.left_out += 1;
            return self.delivered(&event);
        }
        let is_written = brokers.write(self.place, self.epoch, (event.partition, event.offset));
        self.taken.push(event);
        if !is_written {
            self.give_up();
        }
    }

    /// Begins the end of the transaction.
    fn commit(&mut self, brokers: &mut Brokers, counts: &mut Counts) {
        let mut arrived = Arrived::new();
        for event in &self.taken {
            arrived.entry(event.name.clone()).or_default().insert(event.offset + 1);
        }
        let brought = self.upstreams.take(&mut arrived, &mut self.settled.clone());
        if brought.is_empty() {
            return;
        }
        match self.upstreams.offsets_now(&brought) {
            Ok(offsets) => {
                let [Offsets { generation, offsets, .. }] = &offsets[..] else { panic!("one group") };
                let Generation { member, number, .. } = generation.clone();
                let offsets = offsets.iter().map(|offset| (offset.number as usize, offset.offset)).collect();
                self.request(brokers, What::Offsets { member, generation: number, offsets });
                self.producer = Producer::Adding(brought, generation.clone());
            }
            Err(NotNow::Lost) => {
                counts.lost += 1;
                self.give_up();
            }
            Err(NotNow::NoGeneration) => self.group.renew(self.run, self.sampled()),
        }
    }

    fn request(&self, brokers: &mut Brokers, what: What) {
        brokers.requests.push(Request { agent: self.place, epoch: self.epoch, what });
    }

    /// Whether the sink waits for the answer to this request.
    pub(super) fn waits_for(&self, request: &Request) -> bool {
        let is_waiting = match request.what {
            What::Offsets { .. } => matches!(self.producer, Producer::Adding(..)),
            What::Commit => matches!(self.producer, Producer::Ending(_)),
        };
        is_waiting && request.epoch == self.epoch
    }

    pub(super) fn answered(&mut self, answer: Answer, brokers: &mut Brokers, counts: &mut Counts) {
        match (std::mem::replace(&mut self.producer, Producer::None), answer) {
            (Producer::Adding(brought, _), Answer::Done) => {
                self.request(brokers, What::Commit);
                self.producer = Producer::Ending(brought);
            }
            (Producer::Ending(brought), Answer::Done) => {
                counts.committed += 1;
                self.upstreams.committed(brought);
                let taken = std::mem::take(&mut self.taken);
                taken.iter().for_each(|event| self.delivered(event));
                self.producer = Producer::Ready;
            }
            (Producer::Adding(_, generation), Answer::OtherGeneration) => {
                counts.refused += 1;
                self.group.refuse(generation);
                self.give_up();
            }
            _ => self.give_up(),
        }
    }
}
