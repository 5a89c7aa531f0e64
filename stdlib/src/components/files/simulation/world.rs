//! A simulated machine with its disks, on which agents run one after the other, and the programs that write the logs.

use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use weir_plan::{Settings, TemplatePart};
use weir_runtime::agent::{Agent, Ending, Stop};
use weir_runtime::channel::{Channel, Compression, FileChannel, FileChannelOptions, Limits, Overflow};
use weir_runtime::source::Source;
use weir_runtime::storage::{Call, Fault, Machine, Moment, SimulatedDisk};
use weir_runtime::{BlockingExecutor, Clock, Context, Failure, Registry, SeededRandom};

use super::arrivals::{Arrivals, Generation, Promised};
use super::forks::SINKS;
use super::outages::Outages;
use super::refusing_channel::refusing_channel;
use super::setup::{Mode, Rejects, Setup};
use super::store::Store;
use super::workload::Workload;
use crate::components::files::source::file_system::simulated::SimulatedFileSystem;
use crate::tools::file_writer::simulated::Simulated;
use crate::tools::file_writer::{FileSettings, FileSink};

/// How long it may take until all lines have arrived once the machine no longer stops.
const PATIENCE: Duration = Duration::from_secs(600);
/// The most bytes that the channel takes on its disk.
const CHANNEL_BYTES: u64 = 1 << 20;

/// One in this many calls of the source to the file system fails.
const CALLS_FAIL_ONE_IN: u64 = 150;

/// A place in the code, and the moment at which the machine stops there.
pub(super) type StopPoint = (String, Moment);

/// The state that outlives an agent. Clones share it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) machine: Machine,
    pub(super) random: Arc<Mutex<SeededRandom>>,
    pub(super) channel: SimulatedDisk,
    /// The disk of the second channel of a fork.
    other: SimulatedDisk,
    /// The disk of the channel of rejected lines.
    rejected: SimulatedDisk,
    pub(super) positions: SimulatedDisk,
    file_system: SimulatedFileSystem,
    pub(super) output: Simulated,
    pub(super) outages: Outages,
    /// How often the output directory was renamed.
    renamed: Arc<AtomicU64>,
    /// How often a start was refused after a backup was put back.
    pub(super) refused: Arc<AtomicU64>,
    /// The capacity of the durable channel, in events: if it is small, files are committed while they are open.
    capacity: usize,
    pub(super) workload: Arc<Mutex<Workload>>,
    clock: Arc<VirtualClock>,
}

struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> i64 {
        1_700_000_000_000_000 + self.0.elapsed().as_micros() as i64
    }
}

thread_local! {
    // The registry's factories are plain functions, so they find the world here. Each history runs in one thread.
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

fn current_world() -> World {
    WORLD.with(|world| world.borrow().clone()).expect("a history has set it")
}

fn registry() -> Registry {
    fn source(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
        crate::components::files::source::make_in(Arc::new(current_world().file_system), settings, context)
    }
    crate::language::functions::register(Registry::default())
        .source("files", source)
        .channel("memory", |settings, context| {
            let channel = crate::components::memory::make(settings, context)?;
            let world = current_world();
            Ok(if world.has_steady_source() { channel } else { refusing_channel(channel, world.random) })
        })
        .channel(
            "file",
            |_, context| Ok(Arc::new(current_world().file_channel(context)?) as Arc<dyn Channel>),
        )
        .sink("files", |settings, context| {
            let mut settings: FileSettings = settings.read().map_err(Failure::permanent)?;
            if let TemplatePart::Text(path) = &mut settings.path.parts[0] {
                *path = path.replace("/out/", &format!("{}/", current_world().root()));
            }
            Ok(Box::new(FileSink::new(settings, current_world().output, "", context)?))
        })
        .sink("kafka", |_, context| {
            Ok(Box::new(Store { name: context.component.to_string(), world: current_world() }))
        })
}

impl World {
    /// Creates a machine with empty disks. Everything that happens follows from the seed.
    pub(super) fn new(seed: u64, setup: Setup, logs: usize, actions: usize) -> World {
        // The jitter of components' backoffs follows from the seed, too.
        fastrand::seed(seed);
        let mut random = SeededRandom::new(seed);
        let machine = Machine::default();
        let disk = |random: &mut SeededRandom, name| {
            let disk = SimulatedDisk::new(random.next(), u64::MAX);
            disk.attach(&machine, name);
            disk
        };
        let (channel, positions) = (disk(&mut random, "channel"), disk(&mut random, "positions"));
        let other = match setup.forked {
            Some(forked) if forked.over_channels => disk(&mut random, "other"),
            _ => SimulatedDisk::new(0, u64::MAX),
        };
        let rejected = match setup.rejects {
            Rejects::None => SimulatedDisk::new(0, u64::MAX),
            _ => disk(&mut random, "rejected"),
        };
        let file_system = SimulatedFileSystem::new(&machine, &positions, random.one_in(2));
        let output = Simulated::within(&machine, random.next());
        let capacity = if random.one_in(2) { 120 } else { 10_000 };
        let logs = if setup.mode == Mode::Follow { logs } else { 0 };
        let workload = Workload::new(random.next(), &file_system, logs, actions, setup.positions);
        let world = World {
            setup,
            machine,
            random: Arc::new(Mutex::new(random)),
            channel,
            other,
            rejected,
            positions,
            file_system,
            output,
            outages: Outages::default(),
            renamed: Arc::default(),
            refused: Arc::default(),
            capacity,
            workload: Arc::new(Mutex::new(workload)),
            clock: Arc::new(VirtualClock(Instant::now())),
        };
        WORLD.with(|current_world| *current_world.borrow_mut() = Some(world.clone()));
        let meddling = world.clone();
        world.file_system.interrupt_by(Some(Arc::new(move || {
            if meddling.random.lock().unwrap().one_in(12) {
                meddling.act();
            }
        })));
        let troubled = world.clone();
        world.outages.begin(&world);
        world.file_system.trouble_by(Some(Arc::new(move |_call| {
            if troubled.has_steady_source() {
                return None;
            }
            // The transient errors EMFILE, ENFILE, EDQUOT and EINTR, and EIO.
            const ERRORS: [i32; 5] = [24, 23, 122, 4, 5];
            let mut random = troubled.random.lock().unwrap();
            let fails = random.one_in(CALLS_FAIL_ONE_IN);
            fails.then(|| std::io::Error::from_raw_os_error(ERRORS[random.below(5) as usize]))
        })));
        world
    }

    fn file_channel(&self, context: Context) -> Result<FileChannel<SimulatedDisk>, Failure> {
        let (capacity, transaction_capacity, disk) = match &*context.component {
            "bad" => (40, 20, &self.rejected),
            "other" => (self.capacity, 100, &self.other),
            _ => (self.capacity, 100, &self.channel),
        };
        let limits = Limits {
            capacity,
            transaction_capacity,
            byte_capacity: CHANNEL_BYTES,
            keep_alive: Duration::from_secs(3),
        };
        let options = FileChannelOptions {
            owner: format!("logs/{}", context.component),
            component: context.component,
            path: "simulated".into(),
            schema: context.schema,
            limits,
            overflow: Overflow::Wait,
            compression: Compression::None,
            meter: context.meter,
        };
        let disk = disk.clone();
        FileChannel::on(options, BlockingExecutor::Inline, Box::new(move || Ok(disk.clone())))
            .map_err(Failure::permanent)
    }

    /// Returns the output directory.
    pub(super) fn root(&self) -> String {
        format!("/out-{}", self.renamed.load(Ordering::Relaxed))
    }

    /// Does the workload's next action.
    pub(super) fn act(&self) {
        // An action's own file system calls come here as well: then the workload is locked.
        let Ok(mut workload) = self.workload.try_lock() else { return };
        let generations = workload.generations.clone();
        // Without a ledger nothing repeats a rename that a loss of power has taken back.
        let contents = || match self.setup.is_exactly_once() {
            true => self.output.contents(),
            false => self.output.settled_contents(),
        };
        workload.act(&|| self.arrivals_of(&generations, contents()));
    }

    /// `contents` are the complete files.
    fn arrivals_of(&self, generations: &[Generation], contents: Vec<(String, Vec<u8>)>) -> Arrivals {
        let rejects = |generation| self.setup.rejects_lines_of(generation);
        let read_again = !self.setup.durable || self.setup.rejects == Rejects::Before { durable: false };
        let once = self.setup.is_exactly_once();
        let is_clean = self.setup.forked.is_some_and(|forked| forked.fails_cleanly);
        let promised = Promised { read_again, once: once || is_clean, ordered: once };
        let of = |side: &str| {
            let files = contents.iter().filter(|(path, _)| path.contains(side)).cloned();
            Arrivals::of(files.chain(self.outages.stored()), generations, promised, &rejects)
        };
        if self.setup.explodes { of("/left/").in_both(of("/right/")) } else { of("") }
    }

    fn arrivals(&self) -> Arrivals {
        let generations = self.workload.lock().unwrap().generations.clone();
        self.arrivals_of(&generations, self.output.contents())
    }

    /// Runs an agent until it ends (`Some`) or its machine stops (`None`).
    pub(super) async fn run_agent(&self, stop: &Stop) -> Option<Ending> {
        let agent = Agent::build(&self.setup.plan(), &registry(), self.clock.clone());
        let agent = agent.unwrap_or_else(|error| panic!("{error}"));
        tokio::select! {
            biased;
            () = self.stopped() => None,
            (_, ending) = agent.run(stop.clone(), Duration::from_secs(30)) => {
                // An agent that fails since the machine has stopped did not end by itself.
                if self.machine.is_down() { None } else { Some(ending) }
            }
        }
    }

    async fn stopped(&self) {
        while !self.machine.is_down() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Does all actions of the workload, with random pauses.
    pub(super) async fn write(&self, pause_ms_max: u64) {
        while !self.workload.lock().unwrap().is_finished() {
            let pause = self.random.lock().unwrap().below(pause_ms_max);
            sleep(Duration::from_millis(pause)).await;
            self.act();
        }
    }

    /// Stops the machine and starts it again, as after a loss of power, or after only the agent was killed.
    pub(super) async fn restart_machine(&self) {
        self.machine.stop();
        // The tasks that the agent has left running end, since all their calls fail.
        for _turn in 0..20 {
            tokio::task::yield_now().await;
        }
        let power_lost = !self.random.lock().unwrap().one_in(3);
        let how = if power_lost { "its power is lost" } else { "the agent is killed" };
        self.workload.lock().unwrap().note(format!("{how}, {}", self.machine.stopped_at()));
        for disk in [&self.channel, &self.other, &self.positions, &self.rejected] {
            if power_lost { disk.reboot() } else { disk.kill() }
        }
        if power_lost {
            self.output.restart()
        } else {
            self.output.kill()
        }
        if self.random.lock().unwrap().one_in(4) {
            let from = self.root();
            self.renamed.fetch_add(1, Ordering::Relaxed);
            self.output.move_directory(&from, &self.root());
            self.workload.lock().unwrap().note(format!("{from} is renamed to {}", self.root()));
        }
        self.machine.start();
    }

    /// Runs the last agent until all lines have arrived, and checks the output.
    pub(super) async fn finish(&self) -> Result<(), String> {
        self.complete_lines();
        self.calm();
        self.positions.set_capacity(u64::MAX);
        let stop = Stop::default();
        let arrival = async {
            self.await_all().await;
            // Failed renames and deletions are retried.
            let _elapsed = timeout(PATIENCE, self.all_after_applied()).await;
            // Empty files bring no lines, but have to be renamed or deleted as well.
            sleep(Duration::from_secs(5)).await;
            stop.drain.cancel();
        };
        let (ending, ()) = tokio::join!(self.run_agent(&stop), arrival);
        self.check().map_err(|what| format!("{what}; the agent: {ending:?}"))?;
        match ending {
            Some(Ending::Complete) => self.is_tidy(),
            ending => Err(format!("the last agent ended as {ending:?}")),
        }
    }

    /// Checks that all lines have arrived, and nothing else.
    pub(super) fn check(&self) -> Result<(), String> {
        let generations = self.workload.lock().unwrap().generations.clone();
        let arrivals = self.arrivals();
        let missing = arrivals.missing(&generations);
        match (arrivals.faults(), &missing[..]) {
            ([], []) => Ok(()),
            ([], missing) => Err(format!("{} lines are missing: {missing:?}", missing.len())),
            (faults, _) => Err(format!("{} faults: {faults:#?}", faults.len())),
        }
    }

    /// Lets the programs that write the logs complete their last lines, and end.
    pub(super) fn complete_lines(&self) {
        self.workload.lock().unwrap().end();
    }

    /// Plans faults for the next agent's file of positions: some calls fail, or its disk is full.
    pub(super) fn inject_position_faults(&self) {
        const CALLS: [Call; 8] = [
            Call::Open,
            Call::Read,
            Call::Unlink,
            Call::Create,
            Call::Write,
            Call::Sync,
            Call::Rename,
            Call::SyncDirectory,
        ];
        let mut random = self.random.lock().unwrap();
        self.positions.set_capacity(if random.one_in(6) { 0 } else { u64::MAX });
        if random.one_in(2) {
            return;
        }
        let long = random.one_in(3);
        for _fault in 0..=random.below(if long { 60 } else { 3 }) {
            let call = CALLS[random.below(CALLS.len() as u64) as usize];
            let fault = if random.one_in(3) { Fault::Full } else { Fault::Fail };
            self.positions.plan(Some(call), random.below(3), fault);
        }
    }

    /// Waits until all lines have arrived, or for the most time that it may take.
    pub(super) async fn await_all(&self) {
        let _elapsed = timeout(PATIENCE, self.all_arrived()).await;
    }

    async fn all_arrived(&self) {
        let lines = self.workload.lock().unwrap().generations.iter().map(|generation| generation.lines).sum();
        // Each check reads the complete output, so the checks become rarer.
        let mut pause = Duration::from_millis(100);
        while self.arrivals().distinct() < lines {
            sleep(pause).await;
            pause = (pause * 5 / 4).min(Duration::from_secs(3));
        }
    }

    /// Returns a delivered file to which `after` was not applied.
    fn not_applied(&self) -> Option<PathBuf> {
        let is_left = |path: &PathBuf| match self.setup.mode {
            Mode::Follow => false,
            Mode::Rename => !path.to_string_lossy().ends_with(".done"),
            Mode::Delete => true,
        };
        self.file_system.paths().into_iter().find(is_left)
    }

    async fn all_after_applied(&self) {
        while self.not_applied().is_some() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Checks that no temporary files, superseded ledger entries or channel data are left.
    fn is_tidy(&self) -> Result<(), String> {
        let paths = self.output.paths();
        // A sink that may repeat events leaves an entry that it could not write where it is.
        let is_left = |path: &&String| {
            path.ends_with(".tmp") && (self.setup.is_exactly_once() || !path.contains("/.weir/"))
        };
        if let Some(path) = paths.iter().find(is_left) {
            return Err(format!("{path} was left over"));
        }
        for sink in SINKS.into_iter().chain(["out", "dead"]) {
            let of_sink = |path: &&String| path.contains(&format!("/.weir/logs.{sink}/"));
            let entries: Vec<&String> = paths.iter().filter(of_sink).collect();
            let entries: Vec<_> = entries
                .into_iter()
                .filter(|path| self.setup.is_exactly_once() || path.ends_with(".entry"))
                .collect();
            if entries.len() > 1 {
                return Err(format!("the ledger is not one entry: {entries:?}"));
            }
        }
        if let Some(path) = self.not_applied() {
            return Err(format!("{} was not renamed or deleted", path.display()));
        }
        match self.channel.used().max(self.other.used()) {
            used if used > CHANNEL_BYTES => Err(format!("the channel takes {used} bytes")),
            _ => Ok(()),
        }
    }

    /// Makes the machine stop when it comes to this place.
    pub(super) fn stop_at(&self, (place, moment): &StopPoint) {
        self.machine.stop_at_site(place, *moment);
    }

    /// Makes the machine stop after `skip` more steps.
    pub(super) fn stop_after(&self, skip: u64, moment: Moment) {
        self.machine.stop_at(skip, moment);
    }
}

/// Runs a future in one thread and in virtual time.
pub(super) fn simulate<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = runtime.expect("a runtime can be made").block_on(future);
    WORLD.with(|current_world| {
        if let Some(world) = current_world.borrow_mut().take() {
            // The callbacks refer to the world, and the world to the callbacks.
            world.file_system.interrupt_by(None);
            world.file_system.trouble_by(None);
            world.output.trouble_by(None);
        }
    });
    outcome
}
