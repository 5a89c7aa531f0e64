//! The real binary, run as its user runs it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, io};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Moment, Scene, Traces, repository, wait_until};

/// How many of a log's last lines a failure shows.
const TAIL_LINES: usize = 30;
/// So many looks for a moment lie between two times of work.
const LOOKS: u64 = 60;

static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// A running `weir run`, with its output in a log of its own. Dropped, it is killed.
#[derive(Debug)]
pub struct Weir {
    child: Child,
    log: PathBuf,
}

/// A place in a log: after so many lines.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

/// How a run ended.
#[derive(Debug)]
pub struct Ending {
    /// Its exit status.
    pub status: ExitStatus,
    /// Everything that it printed, to standard output and standard error.
    pub log: String,
    /// Where that stays.
    pub path: PathBuf,
}

impl Weir {
    /// Starts `weir run FLOW --set name=value …` in the scene's folder.
    ///
    /// The first run of a scene logs to `weir-1.log` there, the next one to `weir-2.log`.
    pub fn run(scene: &Scene, flow: &str, settings: &[(&str, String)]) -> Weir {
        Weir::start(scene, Command::new(binary()), flow, settings, &[])
    }

    /// The same, with a file system of its own on a folder of the scene, which is so large (`24m`) and is gone with
    /// the run. Where that is not allowed, the run ends at once, with the reason in its log.
    pub fn run_on_a_small_disk(
        scene: &Scene,
        folder: &str,
        size: &str,
        flow: &str,
        settings: &[(&str, String)],
    ) -> Weir {
        let script = "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh", size]);
        command.arg(scene.folder().join(folder)).arg(binary());
        Weir::start(scene, command, flow, settings, &[])
    }

    /// The same, started by another program: the words of `starter`, and behind them the binary with its arguments.
    /// `options` are further ones of `weir run`.
    pub fn run_by(
        scene: &Scene,
        starter: &[&str],
        flow: &str,
        settings: &[(&str, String)],
        options: &[&str],
    ) -> Weir {
        let mut words = starter.iter();
        let mut command = Command::new(words.next().map_or(binary().as_os_str(), OsStr::new));
        command.args(words);
        if !starter.is_empty() {
            command.arg(binary());
        }
        Weir::start(scene, command, flow, settings, options)
    }

    fn start(
        scene: &Scene,
        mut command: Command,
        flow: &str,
        settings: &[(&str, String)],
        options: &[&str],
    ) -> Weir {
        let log = (1..).map(|n| scene.folder().join(format!("weir-{n}.log"))).find(|path| !path.exists());
        let log = log.expect("there is a number that is free");
        let output =
            File::create(&log).unwrap_or_else(|error| panic!("can't make {}: {error}", log.display()));
        let errors =
            output.try_clone().unwrap_or_else(|error| panic!("can't share {}: {error}", log.display()));
        command.arg("run").arg(repository().join(flow)).args(options);
        for (name, value) in settings {
            command.arg("--set").arg(format!("{name}={value}"));
        }
        command.current_dir(scene.folder()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("can't run {}: {error}", command.get_program().display()));
        Weir { child, log }
    }

    /// The present end of the log.
    pub fn mark(&self) -> Mark {
        Mark(self.log_lines().len())
    }

    /// Waits until the log has a line after `mark` that satisfies `wanted`, and returns it.
    pub fn await_line(&mut self, what: &str, mark: Mark, wanted: impl Fn(&str) -> bool) -> String {
        self.await_event(what, Duration::from_secs(120), |weir| {
            weir.log_lines().into_iter().skip(mark.0).find(|line| wanted(line))
        })
    }

    /// Waits until `look` finds something while this runs; fails at once, with the log's end, when the run ends.
    pub fn await_event<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut(&Weir) -> Option<T>,
    ) -> T {
        wait_until(&format!("{what} (weir's log: {})", self.log.display()), patience, || {
            let ended = self.child.try_wait().unwrap_or_else(|error| panic!("can't watch weir: {error}"));
            let found = look(self);
            if let (None, Some(status)) = (&found, ended) {
                panic!("weir ended with {status} before: {what}\n{}", self.log_tail());
            }
            found
        })
    }

    /// How much memory it has, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that it has had, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("can't read {path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kibibytes.unwrap_or_else(|| panic!("{path} does not say how much memory weir has")) << 10
    }

    /// SIGKILL: it ends at once, whatever it was doing.
    pub fn kill(mut self) {
        self.child.kill().unwrap_or_else(|error| panic!("can't kill weir: {error}"));
        self.child.wait().unwrap_or_else(|error| panic!("can't wait for weir: {error}"));
    }

    /// SIGKILL at a moment that is known by its traces: again and again the run is held for as long as it takes to
    /// look at them. `meanwhile` keeps it at work. Returns whether the moment was met: when the patience ends before,
    /// it is killed wherever it is.
    ///
    /// # Panics
    ///
    /// When the run ends before.
    pub fn kill_at(
        mut self,
        moment: Moment,
        traces: &mut Traces,
        patience: Duration,
        mut meanwhile: impl FnMut(),
    ) -> bool {
        let begin = Instant::now();
        let mut look = 0;
        loop {
            self.signal(Signal::STOP);
            self.await_held();
            let met = traces.show(moment, &self.open_files());
            if met || begin.elapsed() >= patience {
                self.kill();
                return met;
            }
            self.signal(Signal::CONT);
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("weir ended with {status} before it could be killed {moment}\n{}", self.log_tail());
            }
            if look % LOOKS == 0 {
                meanwhile();
            }
            // Looks that come too close would keep it from getting anywhere.
            sleep(Duration::from_micros(200 + look * 37 % 1_000));
            look += 1;
        }
    }

    /// Waits until every thread is held, or the run has ended.
    fn await_held(&mut self) {
        let tasks = format!("/proc/{}/task", self.child.id());
        let moves = |task: &Path| {
            let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
            // The state stands behind the name, which is in brackets.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['T', 'Z', 'X']))
        };
        let any_moves = || {
            let tasks = fs::read_dir(&tasks).into_iter().flatten().filter_map(Result::ok);
            tasks.into_iter().any(|task| moves(&task.path()))
        };
        while any_moves() {
            sleep(Duration::from_micros(50));
        }
    }

    /// The files that it has open.
    fn open_files(&self) -> Vec<PathBuf> {
        let folder = format!("/proc/{}/fd", self.child.id());
        let files = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        files.filter_map(|file| fs::read_link(file.path()).ok()).collect()
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process(Pid::from_child(&self.child), signal) {
            panic!("can't send {signal:?} to weir: {error}");
        }
    }

    /// SIGTERM, without waiting for what comes of it.
    pub fn signal_to_drain(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGTERM: it drains and ends; at once, if it is told so for the second time.
    pub fn terminate(mut self) -> Ending {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("weir ended with {status} before it was sent SIGTERM\n{}", self.log_tail());
        }
        self.signal_to_drain();
        self.ending("weir ends after SIGTERM")
    }

    /// Waits for the end of a run that ends by itself.
    pub fn finish(mut self) -> Ending {
        self.ending("weir ends by itself")
    }

    /// Waits for so long for the end of a run that ends by itself; none if it does not, and is killed.
    pub fn finish_within(mut self, patience: Duration) -> Option<Ending> {
        let begin = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap_or_else(|error| panic!("can't wait for weir: {error}"));
            if let Some(status) = ended {
                return Some(Ending { status, log: self.log_text(), path: self.log.clone() });
            }
            if begin.elapsed() >= patience {
                return None;
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn ending(&mut self, what: &str) -> Ending {
        let what = format!("{what} (log: {})", self.log.display());
        let status = wait_until(&what, Duration::from_secs(300), || {
            self.child.try_wait().unwrap_or_else(|error| panic!("can't wait for weir: {error}"))
        });
        Ending { status, log: self.log_text(), path: self.log.clone() }
    }

    /// The log's lines so far, without one that is half written.
    fn log_lines(&self) -> Vec<String> {
        let text = self.log_text();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(str::to_owned).collect()
    }

    fn log_text(&self) -> String {
        let bytes =
            fs::read(&self.log).unwrap_or_else(|error| panic!("can't read {}: {error}", self.log.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_tail(&self) -> String {
        tail(&self.log_text(), &self.log)
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // an error means that it has ended already
        let _: io::Result<()> = self.child.kill();
        let _: io::Result<ExitStatus> = self.child.wait();
    }
}

impl Ending {
    /// Asserts that the run succeeded.
    pub fn assert_success(&self) {
        assert!(self.status.success(), "weir ended with {}\n{}", self.status, tail(&self.log, &self.path));
    }
}

fn tail(log: &str, path: &Path) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    format!("the end of {}:\n{last}", path.display())
}

/// The binary under test: `WEIR_BIN`, or the one that cargo makes of the present sources.
fn binary() -> &'static Path {
    BINARY.get_or_init(|| env::var_os("WEIR_BIN").map_or_else(build, PathBuf::from))
}

/// Asks cargo for the binary, built as the tests were: the same profile, and (by naming a test among the targets) the
/// same features, so that after `cargo test --workspace` nothing is left to be compiled.
fn build() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.args(["build", "--workspace", "--bin", "weir", "--test", "end_to_end"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.current_dir(repository()).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().unwrap_or_else(|error| panic!("can't run {}: {error}", cargo.display()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo could not build weir:\n{errors}");
    let messages = String::from_utf8_lossy(&output.stdout);
    let path =
        messages.lines().find_map(executable).unwrap_or_else(|| panic!("cargo built no weir:\n{errors}"));
    PathBuf::from(path)
}

/// The path of the binary `weir`, if this is cargo's message about it.
fn executable(message: &str) -> Option<String> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = message.get("target")?;
    let is_weir = target.get("name")? == "weir" && target.get("kind")?.get(0)? == "bin";
    let path = message.get("executable").and_then(Value::as_str)?;
    is_weir.then(|| path.to_owned())
}

/// Runs a program that the system has, and returns what it wrote to standard output.
pub(crate) fn output_of(program: &str, arguments: &[&OsStr]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("can't run {program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed with {}: {errors}", output.status);
    output.stdout
}
