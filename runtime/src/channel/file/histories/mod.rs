//! Random histories of a channel on a disk with all faults, compared with a model. `WEIR_HISTORIES` sets their number
//! (100,000 by default), and `WEIR_SEED` replays a single one.

mod harm;
mod model;
mod mounted;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use crate::environment::storage::{Call, Encrypted, Fault, Fired, SimulatedDisk, Site};
use crate::number_from_environment;
use model::READERS;
use mounted::Mounted;
use world::{PAGE, World};

const HISTORIES: u64 = 100_000;
const SITES: [Call; 11] = [
    Call::Create,
    Call::Open,
    Call::Write,
    Call::Read,
    Call::Sync,
    Call::Allocate,
    Call::Length,
    Call::Rename,
    Call::Unlink,
    Call::SyncDirectory,
    Call::List,
];

/// The number of faults of each kind at each site; [`None`] counts calls without a fault.
type Coverage = BTreeMap<Site, BTreeMap<Option<Fault>, u64>>;

/// Plays one history: at least twenty operations; then everything is drained and checked.
fn play<S: Mounted>(seed: u64, coverage: &mut Coverage) {
    let mut world = World::<S>::new(seed);
    let steps = 20 + world.random.below(40);
    if world.random.one_in(4) {
        plan_a_fault(&mut world);
    }
    world.start();
    for _ in 0..steps {
        step(&mut world);
    }
    world.note_fault();
    world.drain();
    if world.random.one_in(3) {
        flip_a_bit(&mut world);
    } else if world.random.one_in(3) {
        harm::harm(&mut world);
    } else {
        world.close();
        world.start();
        world.drain();
    }
    world.note_fault();
    for Fired { site, fault } in std::mem::take(&mut world.faults) {
        *coverage.entry(site).or_default().entry(Some(fault)).or_default() += 1;
    }
    for (site, calls) in world.disk.calls() {
        *coverage.entry(site).or_default().entry(None).or_default() += calls;
    }
}

fn step<S: Mounted>(world: &mut World<S>) {
    let reader = world.random.below(READERS.len() as u64) as usize;
    let kind = world.random.below(40);
    if number_from_environment("WEIR_SEED").is_some() {
        println!("step {kind}");
    }
    match kind {
        0..=9 => world.put(),
        10..=17 => {
            if !world.write_pending() {
                world.note_fault();
                world.kill();
                world.start();
            }
        }
        18..=25 => {
            world.take(reader);
        }
        26..=31 => world.settle(reader, true),
        32 | 33 => world.settle(reader, false),
        34 => world.put_with_a_gap(),
        35 | 36 => {
            world.note_fault();
            plan_a_fault(world);
        }
        37 => match world.is_full() {
            true if world.random.one_in(2) => world.drain_while_full(),
            true => world.make_space(),
            false => {
                let slack = world.random.below(3) * 3 * PAGE;
                world.disk.set_capacity(world.disk.used() + slack);
            }
        },
        38 => restart(world),
        39 => {
            world.close();
            world.note_fault();
            world.start();
        }
        _ => unreachable!("forty kinds of steps"),
    }
}

/// Stops the machine or the process between two calls, or during the next start.
fn restart<S: Mounted>(world: &mut World<S>) {
    world.note_fault();
    let machine = world.random.one_in(2);
    world.kill();
    if machine {
        world.disk.reboot();
    }
    match world.random.below(8) {
        0..=3 => plan_a_fault(world),
        // The removal of leftover files comes late in a start, where random faults are rare.
        4 => {
            let fault = world.random.among(&[Fault::Crash, Fault::Fail]);
            world.disk.plan_for(Call::Unlink, ".segment", fault);
        }
        _ => {}
    }
    world.start();
}

fn plan_a_fault<S: Mounted>(world: &mut World<S>) {
    let faults = [Fault::Crash, Fault::Crash, Fault::Fail, Fault::Full, Fault::Descriptors];
    let fault = world.random.among(&faults);
    let (call, skip) = match world.random.one_in(2) {
        true => (None, world.random.below(40)),
        false => (Some(world.random.among(&SITES)), world.random.below(4)),
    };
    world.disk.plan(call, skip, fault);
    if world.random.one_in(3) {
        // A second fault occurs while the first one is handled.
        let fault = world.random.among(&[Fault::Crash, Fault::Fail, Fault::Full]);
        world.disk.plan(None, world.random.below(9), fault);
    }
}

/// Flips one bit that was certainly on disk. The channel reports it with its file, or it does no harm.
fn flip_a_bit<S: Mounted>(world: &mut World<S>) {
    for _ in 0..4 {
        world.put();
        world.write_pending();
    }
    let flipped = match world.random.one_in(2) {
        true => {
            world.close();
            flip_anywhere(world)
        }
        false => flip_before_the_last_group(world),
    };
    let Some((name, byte)) = flipped else { return };
    world.flipped = true;
    world.start();
    if world.damage.is_none() {
        world.drain();
    }
    if let Some(damage) = &world.damage {
        assert!(damage.starts_with(&name), "{damage} does not name {name}, where byte {byte} was flipped");
    }
}

/// Flips a bit after a clean shutdown, when every byte is synced.
fn flip_anywhere<S: Mounted>(world: &mut World<S>) -> Option<(String, u64)> {
    let (name, length) = world.some_file()?;
    let byte = match world.random.below(3) {
        0 => world.random.below(length),
        1 => world.random.below(length.min(3 * PAGE)),
        _ => world.random.below(length / PAGE) * PAGE + world.random.below(64),
    };
    flip(world, name, byte)
}

/// Flips a bit without a clean shutdown: only the last group may be torn.
fn flip_before_the_last_group<S: Mounted>(world: &mut World<S>) -> Option<(String, u64)> {
    let (name, before) = world.log_end()?;
    world.put();
    world.write_pending();
    let (same, after) = world.log_end()?;
    world.kill();
    if name != same || before == after {
        world.start();
        world.drain();
        return None;
    }
    let page = world.random.below(before / PAGE) * PAGE;
    let byte = match world.random.one_in(2) {
        true => page + world.random.below(64),
        false => page + world.random.below(PAGE),
    };
    flip(world, name, S::HEADER + byte)
}

fn flip<S: Mounted>(world: &mut World<S>, name: String, byte: u64) -> Option<(String, u64)> {
    let bit = world.random.below(8) as u8;
    world.disk.flip(&name, byte, bit);
    Some((name, byte))
}

#[test]
fn nothing_is_lost_whatever_the_disk_does() {
    play_all::<SimulatedDisk>(1);
}

#[test]
fn nothing_is_lost_of_an_encrypted_channel() {
    play_all::<Encrypted<SimulatedDisk>>(20);
}

/// Plays all histories, or one in `one_of`.
fn play_all<S: Mounted>(one_of: u64) {
    if let Some(seed) = number_from_environment("WEIR_SEED") {
        play::<S>(seed, &mut Coverage::new());
        return;
    }
    let histories = number_from_environment("WEIR_HISTORIES").unwrap_or(HISTORIES) / one_of;
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let whole = Mutex::new(Coverage::new());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (whole, failed) = (&whole, &failed);
            scope.spawn(move || {
                let mut coverage = Coverage::new();
                for seed in (thread..histories).step_by(threads as usize) {
                    if catch_unwind(AssertUnwindSafe(|| play::<S>(seed, &mut coverage))).is_err() {
                        println!("history {seed} failed: WEIR_SEED={seed} plays it again");
                        failed.lock().unwrap().push(seed);
                        if failed.lock().unwrap().len() > 3 {
                            break;
                        }
                    }
                }
                merge(&mut whole.lock().unwrap(), coverage);
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {histories} histories failed: seeds {failed:?}", failed.len());
    check_coverage(&whole.into_inner().unwrap(), histories);
}

fn merge(whole: &mut Coverage, part: Coverage) {
    for (site, counts) in part {
        for (fault, count) in counts {
            *whole.entry(site.clone()).or_default().entry(fault).or_default() += count;
        }
    }
}

/// Prints the table. Fails on an empty cell if there were enough histories to fill it.
fn check_coverage(coverage: &Coverage, histories: u64) {
    println!("{histories} histories");
    println!(
        "{:6} {:14} {:22} {:>10} {:>8} {:>8} {:>8}",
        "phase", "call", "object", "calls", "crash", "fail", "full"
    );
    let mut empty = Vec::new();
    for (Site { phase, call, object, at_beginning }, counts) in coverage {
        // No faults are planned while a test damages files or repairs them.
        if matches!(*phase, "flip" | "repair") {
            continue;
        }
        let needs_room = matches!(call, Call::Create | Call::Write | Call::Allocate);
        let place =
            if *at_beginning && matches!(call, Call::Write | Call::Read) { " (first page)" } else { "" };
        let of = |fault| counts.get(&fault).copied().unwrap_or(0);
        let full = if needs_room { of(Some(Fault::Full)).to_string() } else { "-".to_owned() };
        let (crash, fail) = (of(Some(Fault::Crash)), of(Some(Fault::Fail)));
        let name = format!("{object}{place}");
        println!(
            "{phase:6} {:14} {name:22} {:>10} {crash:>8} {fail:>8} {full:>8}",
            format!("{call:?}"),
            of(None)
        );
        // Random faults need not hit rare calls.
        let common = of(None) >= 500;
        if common && (crash == 0 || fail == 0 || full == "0") {
            empty.push(format!("{phase} {call:?} {name}"));
        }
    }
    let enough = histories >= HISTORIES;
    assert!(!enough || empty.is_empty(), "nothing went wrong at {empty:?}");
}
