//! Simulated brokers: the group with its generations and offsets, and transactions.

use std::collections::{BTreeMap, BTreeSet};

use weir_runtime::SeededRandom;

use super::agents::{Agent, Told};
use super::{AGENTS, PARTITIONS};

/// A request of a producer.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) agent: usize,
    pub(super) epoch: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    /// Adds offsets to the transaction, for a member in a generation.
    Offsets { member: String, generation: i32, offsets: Vec<(usize, u64)> },
    /// Commits the transaction.
    Commit,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// The member has not this generation.
    OtherGeneration,
    /// The producer has another epoch.
    Fenced,
}

/// The transactions of one transactional id.
#[derive(Debug, Default)]
struct Transaction {
    epoch: u64,
    records: Vec<(usize, u64)>,
    offsets: BTreeMap<usize, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Brokers {
    /// The number of records of each partition.
    pub(super) ends: [u64; PARTITIONS],
    /// The records of committed transactions.
    pub(super) output: Vec<(usize, u64)>,
    /// The requests that are on their way.
    pub(super) requests: Vec<Request>,
    committed: [u64; PARTITIONS],
    transactions: [Transaction; AGENTS],
    generation: i32,
    /// The agents of the members.
    members: BTreeMap<String, usize>,
    joined: u64,
}

impl Brokers {
    /// Ends what is open under the transactional id of an agent, and returns the epoch of a new producer.
    pub(super) fn init(&mut self, agent: usize) -> u64 {
        let transaction = &mut self.transactions[agent];
        *transaction = Transaction { epoch: transaction.epoch + 1, ..Transaction::default() };
        transaction.epoch
    }

    /// Ends a transaction that has lasted too long.
    pub(super) fn time_out(&mut self, agent: usize) {
        if !self.transactions[agent].records.is_empty() || !self.transactions[agent].offsets.is_empty() {
            self.init(agent);
        }
    }

    /// Writes a record into the open transaction. Returns false if the producer is fenced.
    pub(super) fn write(&mut self, agent: usize, epoch: u64, record: (usize, u64)) -> bool {
        let transaction = &mut self.transactions[agent];
        let is_valid = transaction.epoch == epoch;
        if is_valid {
            transaction.records.push(record);
        }
        is_valid
    }

    pub(super) fn handle(&mut self, request: &Request) -> Answer {
        let Request { agent, epoch, what } = request;
        let transaction = &mut self.transactions[*agent];
        if transaction.epoch != *epoch {
            return Answer::Fenced;
        }
        match what {
            What::Offsets { member, generation, offsets } => {
                if !self.members.contains_key(member) || *generation != self.generation {
                    return Answer::OtherGeneration;
                }
                transaction.offsets.extend(offsets.iter().copied());
            }
            What::Commit => {
                self.output.append(&mut transaction.records);
                for (partition, offset) in std::mem::take(&mut transaction.offsets) {
                    self.committed[partition] = offset;
                }
            }
        }
        Answer::Done
    }

    /// Returns the offset of the group; none while it is in an open transaction.
    pub(super) fn offset(&self, partition: usize) -> Option<u64> {
        let is_pending =
            self.transactions.iter().any(|transaction| transaction.offsets.contains_key(&partition));
        (!is_pending).then_some(self.committed[partition])
    }

    /// Lets a member leave the group.
    pub(super) fn leave(&mut self, member: &str) {
        self.members.remove(member);
    }

    /// Whether an agent is no member, a member is gone, or a partition has no owner.
    pub(super) fn wants_rebalance(&self, agents: &[Agent]) -> bool {
        let owned: usize = agents.iter().map(|agent| agent.claimed().len()).sum();
        let is_member = |agent: &Agent| agent.member_id().is_some_and(|id| self.members.contains_key(id));
        owned < PARTITIONS || self.members.len() != agents.len() || !agents.iter().all(is_member)
    }

    /// Begins another generation, in which partitions are assigned that no member claims. Members that have not done what the
    /// generation before says are given up; they don't know it yet.
    pub(super) fn rebalance(&mut self, agents: &mut [Agent], random: &mut SeededRandom) {
        self.generation += 1;
        self.members.clear();
        let mut joining = Vec::new();
        for (place, agent) in agents.iter_mut().enumerate() {
            if agent.is_in_rebalance() {
                agent.tell(Told::Lost);
                continue;
            }
            self.joined += 1;
            let id = agent.join(format!("member-{}", self.joined));
            self.members.insert(id, place);
            joining.push(place);
        }
        if joining.is_empty() {
            return;
        }
        let claimed: BTreeSet<usize> = joining.iter().flat_map(|place| agents[*place].claimed()).collect();
        let mut revoked = vec![BTreeSet::new(); agents.len()];
        let mut assigned = revoked.clone();
        for partition in 0..PARTITIONS {
            let owner = joining.iter().copied().find(|place| agents[*place].claimed().contains(&partition));
            let wanted = random.among(&joining);
            match owner {
                Some(owner) if owner != wanted && random.one_in(2) => drop(revoked[owner].insert(partition)),
                Some(_) => {}
                None => drop(assigned[wanted].insert(partition)),
            }
        }
        debug_assert!(assigned.iter().flatten().all(|partition| !claimed.contains(partition)));
        for place in joining {
            let (revoked, assigned) =
                (std::mem::take(&mut revoked[place]), std::mem::take(&mut assigned[place]));
            agents[place].tell(Told::Generation { number: self.generation, revoked, assigned });
        }
    }
}
