//! Many followed files: what they cost while nothing is written, and the time from an append to the output.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::latencies::Latencies;

const PROGRAM: &str = "
param paths: Glob
param positions: Text

source logs = files { paths: [paths], positions: positions }

channel buffer = memory {}

sink out = stdout { format: text }

flow main { logs -> buffer -> out }
";

/// How long the output may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the agent rests before its idle cost is measured.
const REST: Duration = Duration::from_secs(5);
/// The pause between two appends.
const PAUSE: Duration = Duration::from_millis(5);
/// The unit of processor time in `/proc/PID/stat`: Linux reports it with 100 ticks a second on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// A line and when it came out of the agent.
type Arrival = (String, Instant);

/// Follows this many files with the binary `weir` beside this one, and measures its processor time while nothing is written;
/// then appends a line to one file after the other, and measures the time until the line is in the agent's output.
///
/// # Errors
/// When the agent can't be run, or a line does not come out.
pub(crate) fn measure(files: &[usize], appends: u64, idle: Duration) -> Outcome {
    println!("files (mode: follow) -> memory -> stdout: {appends} appends of a line, {PAUSE:?} apart");
    for &count in files {
        measure_one(count, appends, idle)?;
    }
    Ok(())
}

fn measure_one(files: usize, appends: u64, idle: Duration) -> Outcome {
    let folder = tempfile::tempdir()?;
    let paths: Vec<PathBuf> =
        (0..files).map(|number| folder.path().join(format!("logs/{number:06}.log"))).collect();
    fs::create_dir(folder.path().join("logs"))?;
    for path in &paths {
        fs::write(path, "beginning\n")?;
    }
    let mut agent = Agent::start(folder.path())?;
    let began = Instant::now();
    for _file in &paths {
        agent.next_line()?;
    }
    let all_read = began.elapsed();
    std::thread::sleep(REST);
    let before = agent.processor_time()?;
    std::thread::sleep(idle);
    let idle_share = (agent.processor_time()? - before).as_secs_f64() / idle.as_secs_f64();
    let (mut latencies, before, began) = (Latencies::default(), agent.processor_time()?, Instant::now());
    for number in 0..appends {
        // The files are taken in an order that has nothing to do with their names.
        let path = &paths[(number as usize * 7_919) % files];
        let line = format!("{number}");
        let mut file = OpenOptions::new().append(true).open(path)?;
        let written = Instant::now();
        file.write_all(format!("{line}\n").as_bytes())?;
        let (found, arrived) = agent.next_line()?;
        if found != line {
            return Err(format!("`{found}` came out instead of `{line}`").into());
        }
        latencies.add(arrived - written);
        std::thread::sleep(PAUSE);
    }
    let busy_share = (agent.processor_time()? - before).as_secs_f64() / began.elapsed().as_secs_f64();
    println!(
        "{files:6} files: all read after {:.1} s; idle {:.2} % of a core; append to output {latencies}, {:.1} % of a core",
        all_read.as_secs_f64(),
        idle_share * 100.0,
        busy_share * 100.0,
    );
    Ok(())
}

/// An agent in a process of its own, which writes to a pipe.
struct Agent {
    child: Child,
    arrivals: Receiver<Arrival>,
}

impl Agent {
    fn start(folder: &Path) -> Result<Agent, Box<dyn Error>> {
        let program = folder.join("follow.flow");
        fs::write(&program, PROGRAM)?;
        let weir = std::env::current_exe()?.with_file_name("weir");
        let mut child = Command::new(&weir)
            .arg("run")
            .arg(&program)
            .arg("--set")
            .arg(format!("paths={}/logs/*.log", folder.display()))
            .arg("--set")
            .arg(format!("positions={}/positions.json", folder.display()))
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("can't run {}, which `cargo build --release -p weir` makes: {error}", weir.display())
            })?;
        let output = child.stdout.take().ok_or("the agent has no output")?;
        let (sender, arrivals) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send((line, Instant::now())).is_err() {
                    break;
                }
            }
        });
        Ok(Agent { child, arrivals })
    }

    fn next_line(&mut self) -> Result<Arrival, Box<dyn Error>> {
        Ok(self.arrivals.recv_timeout(PATIENCE)?)
    }

    /// Returns the processor time of all threads, in the kernel too.
    fn processor_time(&self) -> Result<Duration, Box<dyn Error>> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the name in parentheses, which may contain spaces.
        let (_, fields) = text.rsplit_once(") ").ok_or("an odd /proc/PID/stat")?;
        let mut fields = fields.split(' ').skip(11);
        let mut next =
            || -> Result<u32, Box<dyn Error>> { Ok(fields.next().ok_or("too few fields")?.parse()?) };
        Ok(TICK * (next()? + next()?))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.child.wait();
    }
}
