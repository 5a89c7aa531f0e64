//! What a source `kafka` and the sink behind it share, if the sink commits the offsets of the source's group in its transactions.
//!
//! The brokers refuse offsets that come with the generation of a group in which the member owned other partitions. So the sink
//! sends the generation that the member had *before* the sink looked which partitions the member owns: whoever owns one of
//! them later does so in a later generation, and reads its offset when no transaction with offsets is open.
//!
//! Each assignment of a partition has a name of its own, under which its events are known behind the source. Events of an
//! assignment that is over are left out: the next owner reads them again, or the same member under another name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_runtime::batch::Partition;

/// A member of a group in one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) group: String,
    pub(super) number: i32,
    pub(super) member: String,
    /// The name of a static member.
    pub(super) instance: Option<String>,
}

/// An offset that is to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupOffset {
    pub(super) topic: String,
    pub(super) number: i32,
    pub(super) offset: u64,
    /// What the commit says beside the offset.
    pub(super) metadata: String,
}

/// Why offsets can't be committed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotNow {
    /// The member has lost one of the partitions.
    Lost,
    /// The member has no generation in which the brokers would take the offsets.
    NoGeneration,
}

/// A partition that the member owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) topic: String,
    pub(super) number: i32,
    /// What commits say beside the offset, such as the identity of the topic.
    pub(super) metadata: String,
}

/// A group, shared by the source that is a member of it and the sink that commits its offsets.
#[derive(Debug)]
pub(super) struct SharedGroup {
    pub(super) group: String,
    pub(super) brokers: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The run of the source.
    run: u64,
    /// The number of the next assignment.
    next: u64,
    generation: Option<Generation>,
    /// The generation whose offsets the brokers have refused last.
    refused: Option<Generation>,
    /// The partitions that the member owns, by the names of their assignments.
    owned: HashMap<Partition, Owned>,
    /// The names of assignments that are over and that nobody has been told of.
    over: Vec<Partition>,
}

impl SharedGroup {
    pub(super) fn new(group: &str, brokers: &[String]) -> SharedGroup {
        SharedGroup { group: group.to_owned(), brokers: brokers.to_vec(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run of the source, which owns nothing yet. What the member of the run before still reports is ignored.
    pub(super) fn begin_run(&self) -> u64 {
        let mut state = self.lock();
        state.run += 1;
        state.generation = None;
        state.end_all();
        state.run
    }

    /// Notes that the member of a run owns a partition, whose name is `plain` for those who know no assignments. Returns the name of
    /// the assignment.
    pub(super) fn assign(
        &self,
        run: u64,
        plain: &Partition,
        topic: &str,
        number: i32,
        metadata: String,
    ) -> Partition {
        let mut state = self.lock();
        let name = match weir_runtime::put_back!("assignments_without_names") {
            true => plain.clone(),
            false => Partition::new(format!("{plain}@{}", state.next)),
        };
        state.next += 1;
        if run == state.run {
            let owned = Owned { topic: topic.to_owned(), number, metadata };
            state.owned.insert(name.clone(), owned);
        }
        name
    }

    /// Notes that the member of a run has lost partitions, before it tells its group so.
    pub(super) fn revoke<'n>(&self, names: impl Iterator<Item = &'n Partition>) {
        let mut state = self.lock();
        for name in names {
            if state.owned.remove(name).is_some() {
                state.over.push(name.clone());
            }
        }
    }

    /// Notes the present generation of the member of a run; none while it has none.
    pub(super) fn renew(&self, run: u64, generation: Option<Generation>) {
        let mut state = self.lock();
        let generation = generation.filter(|generation| state.refused.as_ref() != Some(generation));
        if run == state.run {
            state.generation = generation;
        }
    }

    /// Lets the names of assignments be forgotten that are over. Those that are left are given again.
    pub(super) fn forget(&self, forget: impl FnOnce(&mut Vec<Partition>)) {
        let mut state = self.lock();
        if !state.over.is_empty() {
            forget(&mut state.over);
        }
    }

    /// Whether the member owns the partition by this assignment.
    pub(super) fn owns(&self, name: &Partition) -> bool {
        self.lock().owned.contains_key(name)
    }

    /// Returns the partitions that the member owns, by the names of their assignments.
    pub(super) fn owned(&self) -> BTreeMap<Partition, Owned> {
        let state = self.lock();
        state.owned.iter().map(|(name, owned)| (name.clone(), owned.clone())).collect()
    }

    /// Returns what is to be committed for these positions of assignments.
    ///
    /// # Errors
    /// When the member has lost a partition, or has no generation.
    pub(super) fn commit(
        &self,
        positions: &BTreeMap<Partition, u64>,
    ) -> Result<(Generation, Vec<GroupOffset>), NotNow> {
        let state = self.lock();
        let offsets = positions.iter().map(|(name, offset)| {
            let owned = state.owned.get(name).cloned();
            #[cfg(weir_bug)]
            let owned = owned.or_else(|| believed(name));
            let Owned { topic, number, metadata } = owned?;
            Some(GroupOffset { topic, number, offset: *offset, metadata })
        });
        let offsets: Option<Vec<GroupOffset>> = offsets.collect();
        let offsets = offsets.ok_or(NotNow::Lost)?;
        let generation = state.generation.clone().ok_or(NotNow::NoGeneration)?;
        Ok((generation, offsets))
    }

    /// Notes that the brokers take no offsets of this generation any more.
    pub(super) fn refuse(&self, generation: Generation) {
        let mut state = self.lock();
        if state.generation.as_ref() == Some(&generation) {
            state.generation = None;
        }
        state.refused = Some(generation);
    }
}

impl State {
    fn end_all(&mut self) {
        let over = std::mem::take(&mut self.owned);
        self.over.extend(over.into_keys());
    }
}

/// Takes a partition for the member's own although it has lost it, since the group says that the member is in it.
#[cfg(weir_bug)]
fn believed(name: &Partition) -> Option<Owned> {
    let (plain, _) = name.name().split_once('@')?;
    let mut parts = plain.split('/');
    let (topic, number) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
    weir_runtime::put_back!("ownership_taken_from_the_group").then(|| Owned {
        topic,
        number,
        metadata: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(number: i32) -> Generation {
        Generation { group: "g".to_owned(), number, member: "m".to_owned(), instance: None }
    }

    fn plain() -> Partition {
        Partition::new("logs/0/id")
    }

    fn shared() -> (SharedGroup, u64, Partition) {
        let group = SharedGroup::new("g", &[]);
        let run = group.begin_run();
        let name = group.assign(run, &plain(), "logs", 0, "topic=id".to_owned());
        (group, run, name)
    }

    fn numbers(group: &SharedGroup, name: &Partition) -> Result<(i32, u64), NotNow> {
        let (generation, offsets) = group.commit(&BTreeMap::from([(name.clone(), 7)]))?;
        Ok((generation.number, offsets[0].offset))
    }

    #[test]
    fn offsets_go_with_the_generation_of_the_member() {
        let (group, run, name) = shared();
        assert_eq!(numbers(&group, &name), Err(NotNow::NoGeneration));
        group.renew(run, Some(generation(3)));
        assert_eq!(numbers(&group, &name), Ok((3, 7)));
        group.renew(run, None);
        assert_eq!(numbers(&group, &name), Err(NotNow::NoGeneration), "the member has to join again");
    }

    #[test]
    fn an_assignment_that_is_over_is_never_committed_and_the_next_one_has_another_name() {
        let (group, run, name) = shared();
        group.renew(run, Some(generation(3)));
        group.revoke([&name].into_iter());
        let again = group.assign(run, &plain(), "logs", 0, String::new());
        assert_ne!(again, name);
        assert_eq!(numbers(&group, &name), Err(NotNow::Lost));
        assert_eq!(numbers(&group, &again), Ok((3, 7)));
        group.forget(|over| assert_eq!(over.split_off(0), [name]));
        group.forget(|_| panic!("nothing is left"));
    }

    #[test]
    fn what_the_member_of_an_earlier_run_reports_is_ignored() {
        let (group, before, name) = shared();
        let run = group.begin_run();
        assert!(!group.owns(&name));
        group.renew(before, Some(generation(3)));
        let late = group.assign(before, &plain(), "logs", 0, String::new());
        assert!(!group.owns(&late));
        let name = group.assign(run, &plain(), "logs", 0, String::new());
        assert_eq!(numbers(&group, &name), Err(NotNow::NoGeneration));
    }

    #[test]
    fn a_refused_generation_is_not_used_again() {
        let (group, run, name) = shared();
        group.renew(run, Some(generation(3)));
        group.refuse(generation(3));
        group.renew(run, Some(generation(3)));
        assert_eq!(numbers(&group, &name), Err(NotNow::NoGeneration));
        group.renew(run, Some(generation(4)));
        assert_eq!(numbers(&group, &name), Ok((4, 7)));
    }
}
