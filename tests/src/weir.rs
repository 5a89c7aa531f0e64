//! Runs the real binary.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, io};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{CrashPoint, PipelineFiles, Scene, repository, wait_until};

/// The number of a log's last lines in the message of a failure.
const TAIL_LINES: usize = 30;
/// `kill_at` calls `meanwhile` once in this number of checks.
const CHECKS_BETWEEN_WORK: u64 = 60;

static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// A running `weir run` whose output goes to its own log file. Killed when dropped.
#[derive(Debug)]
pub struct Weir {
    child: Child,
    log: PathBuf,
}

/// A position in a log: a number of lines.
#[derive(Debug, Clone, Copy)]
pub struct LogPosition(usize);

/// The result of a run that has ended.
#[derive(Debug)]
pub struct Ending {
    /// The exit status.
    pub status: ExitStatus,
    /// The text of standard output and standard error.
    pub log: String,
    /// The path of the log file.
    pub path: PathBuf,
}

impl Weir {
    /// Starts `weir run FLOW --set name=value …` in the scene's folder.
    ///
    /// The first run of a scene logs to `weir-1.log` there, the next one to `weir-2.log`.
    pub fn run(scene: &Scene, flow: &str, settings: &[(&str, String)]) -> Weir {
        Weir::start(scene, Command::new(binary()), flow, settings, &[])
    }

    /// Like `run`, but mounts a file system of this size (such as `24m`) on a folder of the scene, for the time of the run.
    /// If mounting is not permitted, the run ends immediately, with the reason in its log.
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

    /// Like `run`, but started by another program: the command is `starter`, followed by the binary and its arguments.
    /// `options` are further options of `weir run`.
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

    /// Starts `weir run FLOW` with pipes as its standard input and output, and returns their other ends. While nobody reads the
    /// output, a sink `stdout` soon waits.
    pub fn run_in_pipes(scene: &Scene, flow: &str) -> (Weir, ChildStdin, ChildStdout) {
        let log = scene.folder().join("weir-1.log");
        let errors =
            File::create(&log).unwrap_or_else(|error| panic!("can't make {}: {error}", log.display()));
        let mut command = Command::new(binary());
        command.arg("run").arg(flow).current_dir(scene.folder()).env("NO_COLOR", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("can't run weir: {error}"));
        let (input, output) = (child.stdin.take(), child.stdout.take());
        (Weir { child, log }, input.expect("it is a pipe"), output.expect("it is a pipe"))
    }

    /// Runs a tool of the binary (`weir channel …`) to its end, and gives back what it printed.
    pub fn tool<'w>(words: impl IntoIterator<Item = &'w OsStr>) -> String {
        let (status, said) = Weir::tool_with_status(words);
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// Runs a tool of the binary to its end, and gives back its status and what it printed.
    pub fn tool_with_status<'w>(words: impl IntoIterator<Item = &'w OsStr>) -> (ExitStatus, String) {
        Weir::tool_in(&[], words)
    }

    /// Does the same with these variables in the environment.
    pub fn tool_in<'w>(
        variables: &[(&str, &str)],
        words: impl IntoIterator<Item = &'w OsStr>,
    ) -> (ExitStatus, String) {
        let mut command = Command::new(binary());
        let output = command.args(words).envs(variables.iter().copied()).env("NO_COLOR", "1").output();
        let output = output.unwrap_or_else(|error| panic!("can't run the binary: {error}"));
        let said = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&said).into_owned())
    }

    fn start(
        scene: &Scene,
        mut command: Command,
        flow: &str,
        settings: &[(&str, String)],
        options: &[&str],
    ) -> Weir {
        let log = (1..).map(|n| scene.folder().join(format!("weir-{n}.log"))).find(|path| !path.exists());
        let log = log.expect("one number is free");
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

    /// Returns the current end of the log.
    pub fn log_end(&self) -> LogPosition {
        LogPosition(self.log_lines().len())
    }

    /// Waits until the log has a line after `position` that satisfies `wanted`, and returns it.
    pub fn await_line(
        &mut self,
        event: &str,
        position: LogPosition,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        self.await_event(event, Duration::from_secs(120), |weir| {
            weir.log_lines().into_iter().skip(position.0).find(|line| wanted(line))
        })
    }

    /// Calls `check` repeatedly until it returns a value, and returns the value.
    ///
    /// # Panics
    ///
    /// With the end of the log, when the run ends before.
    pub fn await_event<T>(
        &mut self,
        event: &str,
        limit: Duration,
        mut check: impl FnMut(&Weir) -> Option<T>,
    ) -> T {
        wait_until(&format!("{event} (weir's log: {})", self.log.display()), limit, || {
            let ended = self.child.try_wait().unwrap_or_else(|error| panic!("can't watch weir: {error}"));
            let found = check(self);
            if let (None, Some(status)) = (&found, ended) {
                panic!("weir ended with {status} before: {event}\n{}", self.log_tail());
            }
            found
        })
    }

    /// Asserts that the run has not ended.
    pub fn assert_runs(&mut self) {
        let ended = self.child.try_wait().unwrap_or_else(|error| panic!("can't watch weir: {error}"));
        if let Some(status) = ended {
            panic!("weir ended with {status}\n{}", self.log_tail());
        }
    }

    /// Returns the resident memory of the process, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Returns the peak resident memory of the process, in bytes.
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

    /// Kills the process with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap_or_else(|error| panic!("can't kill weir: {error}"));
        self.child.wait().unwrap_or_else(|error| panic!("can't wait for weir: {error}"));
    }

    /// Kills the process with SIGKILL at a crash point. Stops the process repeatedly to check `files` for the crash point,
    /// and calls `meanwhile` between checks to give the pipeline work. Returns whether the crash point was reached; if not,
    /// the process is killed when the limit is over.
    ///
    /// # Panics
    ///
    /// When the run ends before.
    pub fn kill_at(
        mut self,
        point: CrashPoint,
        files: &mut PipelineFiles,
        limit: Duration,
        mut meanwhile: impl FnMut(),
    ) -> bool {
        let begin = Instant::now();
        let mut checks = 0;
        loop {
            self.signal(Signal::STOP);
            self.await_stopped();
            let reached = files.show(point, &self.open_files());
            if reached || begin.elapsed() >= limit {
                self.kill();
                return reached;
            }
            self.signal(Signal::CONT);
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("weir ended with {status} before it could be killed {point}\n{}", self.log_tail());
            }
            if checks % CHECKS_BETWEEN_WORK == 0 {
                meanwhile();
            }
            // More frequent checks would leave the process no time to run.
            sleep(Duration::from_micros(200 + checks * 37 % 1_000));
            checks += 1;
        }
    }

    /// Waits until every thread is stopped, or the run has ended.
    fn await_stopped(&mut self) {
        let tasks = format!("/proc/{}/task", self.child.id());
        let runs = |task: &Path| {
            let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
            // The state follows the thread's name, which is in parentheses.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['T', 'Z', 'X']))
        };
        let any_runs = || {
            let tasks = fs::read_dir(&tasks).into_iter().flatten().filter_map(Result::ok);
            tasks.into_iter().any(|task| runs(&task.path()))
        };
        while any_runs() {
            sleep(Duration::from_micros(50));
        }
    }

    /// Lists the files that the process has open.
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

    /// Stops the process, until [`Weir::resume`]. Its connections stay open.
    pub fn stall(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a stalled process go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGTERM and does not wait.
    pub fn signal_to_drain(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until the agent has said what it writes to, so that it knows what SIGTERM means.
    pub fn await_start(&mut self, limit: Duration) {
        self.await_event("it starts", limit, |weir| {
            weir.log_lines().iter().any(|line| line.contains("writes to ")).then_some(())
        });
    }

    /// Sends SIGTERM and waits for the end of the run. The first SIGTERM drains, a second one stops immediately.
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

    /// Waits for the end of a run that ends by itself. Kills the run and returns `None` when the limit is over.
    pub fn finish_within(mut self, limit: Duration) -> Option<Ending> {
        let begin = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap_or_else(|error| panic!("can't wait for weir: {error}"));
            if let Some(status) = ended {
                return Some(Ending { status, log: self.log_text(), path: self.log.clone() });
            }
            if begin.elapsed() >= limit {
                return None;
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn ending(&mut self, event: &str) -> Ending {
        let event = format!("{event} (log: {})", self.log.display());
        let status = wait_until(&event, Duration::from_secs(300), || {
            self.child.try_wait().unwrap_or_else(|error| panic!("can't wait for weir: {error}"))
        });
        Ending { status, log: self.log_text(), path: self.log.clone() }
    }

    /// Returns the complete lines of the log so far.
    pub fn log_lines(&self) -> Vec<String> {
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
        // an error means that the process has ended already
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

/// Returns the binary under test: `WEIR_BIN`, or the binary that cargo builds from the current sources.
fn binary() -> &'static Path {
    BINARY.get_or_init(|| env::var_os("WEIR_BIN").map_or_else(build, PathBuf::from))
}

/// Builds the binary with cargo, with the same profile and features as the tests, so that nothing has to be compiled after
/// `cargo test --workspace`. The test among the targets selects the features.
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

/// Returns the path of the binary `weir`, if this is cargo's message about it.
fn executable(message: &str) -> Option<String> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = message.get("target")?;
    let is_weir = target.get("name")? == "weir" && target.get("kind")?.get(0)? == "bin";
    let path = message.get("executable").and_then(Value::as_str)?;
    is_weir.then(|| path.to_owned())
}

/// Runs an installed program and returns its standard output.
pub(crate) fn output_of(program: &str, arguments: &[&OsStr]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("can't run {program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed with {}: {errors}", output.status);
    output.stdout
}
