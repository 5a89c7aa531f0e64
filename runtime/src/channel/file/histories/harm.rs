//! Harm from outside: a log that is cut, damaged at its end or restored from a backup, and a sink whose ledger is
//! restored. Afterwards, no event may be mistaken for another one, and no loss may go unreported.

use std::collections::BTreeMap;

use super::model::{Event, READERS};
use super::mounted::Mounted;
use super::world::{PAGE, World};
use crate::channel::Incarnation;
use crate::channel::file::claim::Claim;
use crate::channel::file::engine::lock;
use crate::channel::file::inspection::InspectionError;
use crate::channel::file::refusal::OpenError;
use crate::channel::file::repair::{New, repair_on};
use crate::channel::file::survey::SurveyError;

/// The sink's record of the channel's events.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// The arrived events by their number.
    pub(super) arrived: BTreeMap<u64, Event>,
    /// The channel's incarnation when the last events arrived.
    pub(super) incarnation: Option<Incarnation>,
    /// The number of commits.
    pub(super) mark: u64,
}

impl Ledger {
    /// Returns the highest number that has arrived.
    pub(super) fn through(&self) -> Option<u64> {
        self.arrived.last_key_value().map(|(number, _)| *number)
    }

    /// Checks that a number that arrives again belongs to the same event.
    pub(super) fn check(&self, number: u64, event: Event) {
        let before = self.arrived.get(&number);
        assert!(
            before.is_none_or(|before| *before == event),
            "number {number} was {before:?} and is {event:?}: it is left out as arrived"
        );
    }
}

/// The result of a start after harm.
enum Started {
    Open,
    /// The channel reports damage.
    Damaged(String),
    /// The sink has events that the channel lacks, or the reverse.
    Refused(Claim),
}

/// Does some harm, and starts again.
pub(super) fn harm<S: Mounted>(world: &mut World<S>) {
    for _ in 0..3 {
        work(world);
    }
    world.note_fault();
    if world.disk.has_crashed() {
        return;
    }
    match world.random.below(4) {
        0 => cut(world),
        1 => damage_the_last_group(world),
        2 => restore_the_channel(world),
        _ => restore_the_ledger(world),
    }
}

/// Does some puts, passes and deliveries.
fn work<S: Mounted>(world: &mut World<S>) {
    world.put();
    world.write_pending();
    if world.random.one_in(2) && world.take(0) {
        world.settle(0, true);
    }
}

/// Cuts the last segment of the log, which has to be reported as damage.
fn cut<S: Mounted>(world: &mut World<S>) {
    let Some((name, _)) = world.log_end() else { return };
    end(world);
    let Some(content) = world.disk.content(&name) else { return };
    let length = match world.random.below(3) {
        0 => world.random.below(3 * PAGE).min(content.len() as u64 - 1),
        1 => content.len() as u64 - 1 - world.random.below(PAGE),
        _ => world.random.below(content.len() as u64),
    };
    world.harmed = true;
    world.disk.cut(&name, length);
    match world.start_after_harm() {
        Started::Damaged(damage) => {
            assert!(damage.starts_with(&name), "{damage} does not name {name}");
            repair_damage(world);
        }
        Started::Open => {
            panic!("{name} was cut to {length} of {} bytes and nothing noticed it", content.len())
        }
        // The sink must not be needed to notice that the log has lost its end.
        Started::Refused(_) => panic!("{name} was cut to {length} bytes, and only the sink noticed"),
    }
}

/// Flips a bit or clears a page of the last group. If the log was closed cleanly, this is damage. Otherwise the log
/// ends before this group, and the sink has events that the channel lacks.
fn damage_the_last_group<S: Mounted>(world: &mut World<S>) {
    let Some((name, before)) = world.log_end() else { return };
    work(world);
    let Some((same, after)) = world.log_end() else { return };
    if name != same || before == after {
        return;
    }
    let sealed = end(world);
    let at = before + world.random.below(after - before);
    world.harmed = true;
    match world.random.one_in(2) {
        true => world.disk.flip(&name, S::HEADER + at, world.random.below(8) as u8),
        false => world.disk.wipe(&name, S::HEADER + at / PAGE * PAGE, PAGE),
    }
    go_on(world, sealed.then_some(&*name));
}

/// Restores the channel's directory to its state before more was put and delivered.
fn restore_the_channel<S: Mounted>(world: &mut World<S>) {
    let backup = world.disk.backup();
    let puts = 1 + world.random.below(4);
    for _ in 0..puts {
        work(world);
    }
    end(world);
    world.harmed = true;
    world.disk.restore(&backup);
    go_on(world, None);
}

/// Restores or deletes the sink's ledger: the channel knows of more commits than the ledger.
fn restore_the_ledger<S: Mounted>(world: &mut World<S>) {
    let backup = if world.random.one_in(2) { world.ledger.clone() } else { Ledger::default() };
    work(world);
    work(world);
    end(world);
    world.harmed = true;
    world.ledger = backup;
    go_on(world, None);
}

/// Shuts the channel down, or kills it. Returns whether the log was closed cleanly.
fn end<S: Mounted>(world: &mut World<S>) -> bool {
    let close = world.random.one_in(2);
    let closed = close && world.close_cleanly();
    world.note_fault();
    if !close {
        world.kill();
    }
    closed
}

/// Starts, and repairs the channel if the start is refused. Damage to a log that was closed cleanly is always reported.
fn go_on<S: Mounted>(world: &mut World<S>, damaged: Option<&str>) {
    match world.start_after_harm() {
        // The cleared page may have contained zeros.
        Started::Damaged(_) => return repair_damage(world),
        Started::Open => world.check_settled(),
        Started::Refused(claim) => {
            assert!(damaged.is_none(), "{damaged:?} was closed cleanly, and only the sink noticed");
            let storage = world.storage();
            world.disk.set_phase("repair");
            claim.write(&storage).unwrap();
            let repair = repair_on(&storage, Some(new(world))).unwrap();
            assert!(repair.made && repair.damages.len() == 1, "{repair}");
            let started = world.start_after_harm();
            assert!(matches!(started, Started::Open), "it opens after a repair");
        }
    }
    work_on(world);
}

/// New events must not be mistaken for earlier ones.
fn work_on<S: Mounted>(world: &mut World<S>) {
    for _ in 0..6 {
        work(world);
    }
    while world.take(0) {
        world.settle(0, true);
    }
}

/// One repair of a damaged log is enough, whatever the sink has had of it.
fn repair_damage<S: Mounted>(world: &mut World<S>) {
    let storage = world.storage();
    world.disk.set_phase("repair");
    match repair_on(&storage, Some(new(world))) {
        Err(InspectionError::NothingReadable { .. }) => return,
        repaired => assert!(repaired.unwrap().made),
    }
    match world.start_after_harm() {
        Started::Open => work_on(world),
        Started::Damaged(damage) => panic!("damaged after a repair: {damage}"),
        Started::Refused(claim) => panic!("refused after a repair: {}", claim.message),
    }
}

fn new<S: Mounted>(world: &mut World<S>) -> New {
    let mut incarnation = [0; 16];
    incarnation.fill_with(|| world.random.next() as u8);
    New { uuid: [8; 16], incarnation: Incarnation::from_bytes(incarnation) }
}

impl<S: Mounted> World<S> {
    /// Starts the process after harm.
    fn start_after_harm(&mut self) -> Started {
        self.live = None;
        self.make_space();
        match self.try_to_start() {
            Ok(()) => {}
            Err(
                OpenError::Survey { error: SurveyError::Damaged(damage), .. }
                | OpenError::NothingReadable { error: SurveyError::Damaged(damage), .. },
            ) => {
                return Started::Damaged(damage.to_string());
            }
            Err(error) => panic!("opening after harm: {error}"),
        }
        let Some(claim) = self.claim() else { return Started::Open };
        self.kill();
        Started::Refused(claim)
    }

    /// Returns the claim of the sink if it has events that the channel lacks, or knows less than the channel.
    pub(super) fn claim(&self) -> Option<Claim> {
        let state = lock(&self.live.as_ref()?.state);
        let Ledger { incarnation, mark, .. } = self.ledger;
        let through = self.ledger.through().unwrap_or(0);
        let missing = state
            .incarnations
            .missing(state.events_put, through, incarnation)
            .map(|missing| format!("{missing:?}"));
        let kept = state.cursors[0].mark;
        let forgets = (mark < kept).then(|| format!("{mark} of {kept} commits"));
        let message = missing.or(forgets)?;
        Some(Claim { reader: READERS[0].to_owned(), through, incarnation, mark, kept, message })
    }

    /// Opens the storage of a channel that is not running.
    fn storage(&mut self) -> S {
        S::mount(&self.disk, &mut self.random).map_err(|error| error.to_string()).unwrap()
    }

    /// Checks that the sink has all events that the channel never delivers again.
    fn check_settled(&self) {
        let Some(live) = &self.live else { return };
        let state = lock(&live.state);
        let settled = state.incarnations.highest_number(state.cursors[0].settled());
        let lost = (1..=settled).find(|number| !self.ledger.arrived.contains_key(number));
        assert_eq!(lost, None, "the sink lacks a number of {settled} that are settled");
    }
}
