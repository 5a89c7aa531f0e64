//! A machine with an agent on it, that stops and is started again; its disks; and the files that others write.

use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use weir_compiler::{Library, Options};
use weir_plan::{Plan, Settings, TemplatePart};
use weir_runtime::agent::{Agent, Ending, Stop};
use weir_runtime::channel::{Channel, Compression, FileChannel, FileChannelOptions, Limits, Overflow};
use weir_runtime::source::Source;
use weir_runtime::storage::{Call, Fault, Machine, Moment, SimulatedDisk};
use weir_runtime::{BlockingExecutor, Clock, Context, Failure, Registry, SeededRandom};

use super::account::{Account, Story};
use super::refusing_channel::refusing_channel;
use super::script::{FOLDER, Script};
use crate::components::files::source::file_system::simulated::SimulatedFileSystem;
use crate::tools::file_writer::simulated::Simulated;
use crate::tools::file_writer::{FileSettings, FileSink};

/// How long it may take until everything has arrived once nothing stops any more.
const PATIENCE: Duration = Duration::from_secs(600);
/// The most that the channel takes on its disk.
const CHANNEL_BYTES: u64 = 1 << 20;

/// One of so many calls that the source makes to its files fails.
const CALLS_FAIL_ONE_IN: u64 = 150;

/// Where the machine stops, and when.
pub(super) type Aim = (String, Moment);

/// What the lines pass through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// Through a channel on disk, or else in memory.
    pub(super) durable: bool,
    /// Whether the source keeps a file of positions, without which it promises nothing of packed files that it
    /// has not read before.
    pub(super) positions: bool,
    /// What the files are like.
    pub(super) mode: Mode,
}

/// How the source takes the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They grow.
    Follow,
    /// They are complete, and renamed when they are delivered.
    Rename,
    /// They are complete, and deleted when they are delivered.
    Delete,
}

/// The ways that are tried.
pub(super) const WAYS: [Way; 8] = [
    Way { durable: true, positions: true, mode: Mode::Follow },
    Way { durable: false, positions: true, mode: Mode::Follow },
    Way { durable: true, positions: false, mode: Mode::Follow },
    Way { durable: false, positions: false, mode: Mode::Follow },
    Way { durable: true, positions: true, mode: Mode::Rename },
    Way { durable: false, positions: true, mode: Mode::Delete },
    Way { durable: true, positions: false, mode: Mode::Delete },
    Way { durable: false, positions: false, mode: Mode::Rename },
];

impl Way {
    fn program(self) -> String {
        let decompress = self.positions;
        let positions = if self.positions { "positions: \"/state/positions.json\"" } else { "" };
        let channel = match self.durable {
            true => "file { path: \"/channel\", transaction_capacity: 100 }",
            false => "memory { capacity: 60, transaction_capacity: 40 }",
        };
        let mode = match self.mode {
            Mode::Follow => "follow",
            Mode::Rename => "complete { after: rename { suffix: \".done\" } }",
            Mode::Delete => "complete { after: delete }",
        };
        format!(
            "source logs = files {{\n  paths: [\"{FOLDER}/*.log*\"]\n  mode: {mode}\n  decompress: {decompress}\n  \
             {positions}\n  poll: 50ms\n  batch: 20\n}}\n\
             channel buffer = {channel}\n\
             sink out = files {{\n  path: \"/out/{{@file}}\"\n  roll: {{ count: 12, age: 1s }}\n  max_open: 3\n}}\n\
             flow main delivers exactly_once {{ logs -> buffer -> out }}\n"
        )
    }

    fn plan(self) -> Plan {
        static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
            Library::parse(crate::library_sources().iter().copied()).expect("the library is right")
        });
        static PLANS: LazyLock<[Plan; WAYS.len()]> = LazyLock::new(|| {
            WAYS.map(|way| {
                let program = way.program();
                let compiled = weir_compiler::compile(
                    &("logs.flow", &*program),
                    "logs.flow",
                    &LIBRARY,
                    &Options::default(),
                );
                compiled.plan.unwrap_or_else(|| panic!("{program}: {:?}", compiled.diagnostics))
            })
        });
        let place = WAYS.iter().position(|way| *way == self).expect("it is one of them");
        PLANS[place].clone()
    }
}

/// Everything that outlives the agent.
#[derive(Clone)]
pub(super) struct World {
    way: Way,
    pub(super) machine: Machine,
    pub(super) random: Arc<Mutex<SeededRandom>>,
    pub(super) channel: SimulatedDisk,
    pub(super) positions: SimulatedDisk,
    file_system: SimulatedFileSystem,
    pub(super) output: Simulated,
    /// How often the directory of the output was renamed.
    renamed: Arc<AtomicU64>,
    /// How often a backup was put back, and the start refused.
    pub(super) refused: Arc<AtomicU64>,
    /// The most events in the durable channel: where there are few, files are committed while they are open.
    capacity: usize,
    pub(super) script: Arc<Mutex<Script>>,
    clock: Arc<VirtualClock>,
}

struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> i64 {
        1_700_000_000_000_000 + self.0.elapsed().as_micros() as i64
    }
}

thread_local! {
    // Factories are plain functions; each history runs in one thread.
    static HERE: RefCell<Option<World>> = const { RefCell::new(None) };
}

fn here() -> World {
    HERE.with(|world| world.borrow().clone()).expect("a history has set it")
}

fn registry() -> Registry {
    fn source(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
        crate::components::files::source::make_in(Arc::new(here().file_system), settings, context)
    }
    Registry::default()
        .source("files", source)
        .channel("memory", |settings, context| {
            let channel = crate::components::memory::make(settings, context)?;
            Ok(refusing_channel(channel, here().random))
        })
        .channel("file", |_, context| Ok(Arc::new(here().file_channel(context)?) as Arc<dyn Channel>))
        .sink("files", |settings, context| {
            let mut settings: FileSettings = settings.read().map_err(Failure::permanent)?;
            settings.path.parts[0] = TemplatePart::Text(format!("{}/", here().root()));
            Ok(Box::new(FileSink::new(settings, here().output, "", context)?))
        })
}

impl World {
    /// A machine on which nothing has happened yet. Everything follows from the seed.
    pub(super) fn new(seed: u64, way: Way, logs: usize, deeds: usize) -> World {
        // How long components wait before they begin again follows from it, too.
        fastrand::seed(seed);
        let mut random = SeededRandom::new(seed);
        let machine = Machine::default();
        let disk = |random: &mut SeededRandom, name| {
            let disk = SimulatedDisk::new(random.next(), u64::MAX);
            disk.attach(&machine, name);
            disk
        };
        let (channel, positions) = (disk(&mut random, "channel"), disk(&mut random, "positions"));
        let file_system = SimulatedFileSystem::new(&machine, &positions, random.one_in(2));
        let output = Simulated::within(&machine, random.next());
        let capacity = if random.one_in(2) { 120 } else { 10_000 };
        let logs = if way.mode == Mode::Follow { logs } else { 0 };
        let script = Script::new(random.next(), &file_system, logs, deeds, way.positions);
        let world = World {
            way,
            machine,
            random: Arc::new(Mutex::new(random)),
            channel,
            positions,
            file_system,
            output,
            renamed: Arc::default(),
            refused: Arc::default(),
            capacity,
            script: Arc::new(Mutex::new(script)),
            clock: Arc::new(VirtualClock(Instant::now())),
        };
        HERE.with(|here| *here.borrow_mut() = Some(world.clone()));
        let meddling = world.clone();
        world.file_system.interrupt_by(Some(Arc::new(move || {
            if meddling.random.lock().unwrap().one_in(12) {
                meddling.act();
            }
        })));
        let troubled = world.clone();
        world.file_system.trouble_by(Some(Arc::new(move |_call| {
            // EMFILE, ENFILE, EDQUOT, EINTR, which pass, and EIO.
            const ERRORS: [i32; 5] = [24, 23, 122, 4, 5];
            let mut random = troubled.random.lock().unwrap();
            let fails = random.one_in(CALLS_FAIL_ONE_IN);
            fails.then(|| std::io::Error::from_raw_os_error(ERRORS[random.below(5) as usize]))
        })));
        world
    }

    fn file_channel(&self, context: Context) -> Result<FileChannel<SimulatedDisk>, Failure> {
        let limits = Limits {
            capacity: self.capacity,
            transaction_capacity: 100,
            byte_capacity: CHANNEL_BYTES,
            keep_alive: Duration::from_secs(3),
        };
        let options = FileChannelOptions {
            component: context.component,
            owner: "logs/buffer".into(),
            path: "simulated".into(),
            schema: context.schema,
            limits,
            overflow: Overflow::Wait,
            compression: Compression::None,
            meter: context.meter,
        };
        let disk = self.channel.clone();
        FileChannel::on(options, BlockingExecutor::Inline, Box::new(move || Ok(disk.clone())))
            .map_err(Failure::permanent)
    }

    /// The directory of the output.
    pub(super) fn root(&self) -> String {
        format!("/out-{}", self.renamed.load(Ordering::Relaxed))
    }

    /// Something may happen to the logs.
    pub(super) fn act(&self) {
        // It is under way already where what it looks up interrupts it.
        let Ok(mut script) = self.script.try_lock() else { return };
        let stories = script.stories.clone();
        script.act(&|| self.account_of(&stories));
    }

    fn account_of(&self, stories: &[Story]) -> Account {
        Account::of(self.output.contents().into_iter(), stories, !self.way.durable)
    }

    fn account(&self) -> Account {
        let stories = self.script.lock().unwrap().stories.clone();
        self.account_of(&stories)
    }

    /// One life of an agent, until it ends or its machine stops.
    pub(super) async fn live(&self, stop: &Stop) -> Option<Ending> {
        let agent = Agent::build(&self.way.plan(), &registry(), self.clock.clone());
        let agent = agent.unwrap_or_else(|error| panic!("{error}"));
        tokio::select! {
            biased;
            () = self.stopped() => None,
            (_, ending) = agent.run(stop.clone(), Duration::from_secs(30)) => {
                // What fails because the machine has stopped is no ending.
                if self.machine.is_down() { None } else { Some(ending) }
            }
        }
    }

    async fn stopped(&self) {
        while !self.machine.is_down() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The logs go on as long as there is something to be done.
    pub(super) async fn write(&self, pause_ms_max: u64) {
        while !self.script.lock().unwrap().is_over() {
            let pause = self.random.lock().unwrap().below(pause_ms_max);
            sleep(Duration::from_millis(pause)).await;
            self.act();
        }
    }

    /// Starts the machine again, after its power was lost or only the agent was killed.
    pub(super) async fn start_again(&self) {
        self.machine.stop();
        // What the agent has left running finds that nothing works any more.
        for _turn in 0..20 {
            tokio::task::yield_now().await;
        }
        let power_lost = !self.random.lock().unwrap().one_in(3);
        let how = if power_lost { "its power is lost" } else { "the agent is killed" };
        self.script.lock().unwrap().note(format!("{how}, {}", self.machine.stopped_at()));
        for disk in [&self.channel, &self.positions] {
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
            self.script.lock().unwrap().note(format!("{from} is renamed to {}", self.root()));
        }
        self.machine.start();
    }

    /// The last agent goes on until everything has arrived, and ends.
    pub(super) async fn finish(&self) -> Result<(), String> {
        self.script.lock().unwrap().end();
        self.positions.set_capacity(u64::MAX);
        let stop = Stop::default();
        let arrival = async {
            let everything = timeout(PATIENCE, self.everything()).await;
            // What could not be put away is tried again.
            let _elapsed = timeout(PATIENCE, self.put_away()).await;
            // What is empty brings nothing, and is still looked at.
            sleep(Duration::from_secs(5)).await;
            stop.drain.cancel();
            everything.is_ok()
        };
        let (ending, _) = tokio::join!(self.live(&stop), arrival);
        let stories = self.script.lock().unwrap().stories.clone();
        let account = self.account();
        let missing = account.missing(&stories);
        match (account.faults(), &missing[..]) {
            ([], []) => {}
            ([], missing) => {
                return Err(format!(
                    "{} lines are missing: {missing:?}; the agent: {ending:?}",
                    missing.len()
                ));
            }
            (faults, _) => return Err(format!("{} faults: {faults:#?}", faults.len())),
        }
        match ending {
            Some(Ending::Complete) => self.is_tidy(),
            ending => Err(format!("the last agent ended as {ending:?}")),
        }
    }

    /// In its next life, the agent may find that the file of positions can't be read or written: at some calls, or
    /// not at all since its disk is full.
    pub(super) fn trouble_positions(&self) {
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

    async fn everything(&self) {
        let lines = self.script.lock().unwrap().stories.iter().map(|story| story.lines).sum();
        // What takes long is looked at more seldom: each time all of the output is read.
        let mut pause = Duration::from_millis(100);
        while self.account().distinct() < lines {
            sleep(pause).await;
            pause = (pause * 5 / 4).min(Duration::from_secs(3));
        }
    }

    /// A complete file that should not be there any more.
    fn left(&self) -> Option<PathBuf> {
        let is_left = |path: &PathBuf| match self.way.mode {
            Mode::Follow => false,
            Mode::Rename => !path.to_string_lossy().ends_with(".done"),
            Mode::Delete => true,
        };
        self.file_system.paths().into_iter().find(is_left)
    }

    async fn put_away(&self) {
        while self.left().is_some() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Nothing is left that nobody needs any more.
    fn is_tidy(&self) -> Result<(), String> {
        let paths = self.output.paths();
        if let Some(path) = paths.iter().find(|path| path.ends_with(".tmp")) {
            return Err(format!("{path} was left over"));
        }
        let entries: Vec<&String> = paths.iter().filter(|path| path.contains("/.weir/")).collect();
        if entries.len() > 1 {
            return Err(format!("the ledger is not one entry: {entries:?}"));
        }
        if let Some(path) = self.left() {
            return Err(format!("{} was not put away", path.display()));
        }
        match self.channel.used() {
            used if used > CHANNEL_BYTES => Err(format!("the channel takes {used} bytes")),
            _ => Ok(()),
        }
    }

    /// Has the machine stop in a place, whenever it comes there.
    pub(super) fn aim(&self, (place, moment): &Aim) {
        self.machine.stop_at_site(place, *moment);
    }

    /// Has the machine stop at a step, seen from now.
    pub(super) fn plan(&self, skip: u64, moment: Moment) {
        self.machine.stop_at(skip, moment);
    }
}

/// Runs in one thread and in virtual time.
pub(super) fn simulate<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = runtime.expect("a runtime can be made").block_on(future);
    HERE.with(|here| {
        if let Some(world) = here.borrow_mut().take() {
            // They hold each other.
            world.file_system.interrupt_by(None);
            world.file_system.trouble_by(None);
        }
    });
    outcome
}
