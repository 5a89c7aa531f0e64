//! Injects errors into random system calls of the real binary, with `strace`.
//!
//! Whatever call fails, the run has to end normally or with an error message, and a following run without errors has to
//! deliver every line exactly once. The following commands run more injections, and repeat one:
//!
//! ```sh
//! WEIR_INJECTIONS=300 cargo test -p weir-tests --test end_to_end injected_errors -- --nocapture
//! WEIR_INJECTIONS=1 WEIR_SEED=7 cargo test -p weir-tests --test end_to_end injected_errors -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use weir_tests::{Ending, Scene, Weir, lines_of, print_line, visible_files, wait_until};

/// The number of injections unless `WEIR_INJECTIONS` is set.
const INJECTIONS: u64 = 10;
const FILES: usize = 3;
const LINES: usize = 1_200;
/// A run that takes longer hangs, since its options stop it long before.
const HANG_LIMIT: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(60);

/// System calls, and the errors that the kernel may return from them.
///
/// The list omits calls of the allocator and of locks (`mmap`, `futex`), whose errors no program can handle, and errors that
/// Rust's library considers impossible (`close` of a directory with EIO).
const FAILING: [(&[&str], &[&str]); 9] = [
    (&["open", "openat"], &["EIO", "EMFILE", "ENFILE", "ENOSPC", "EDQUOT", "EACCES", "EINTR", "ENOMEM"]),
    (&["read", "pread64", "readv", "preadv", "preadv2"], &["EIO", "EINTR"]),
    (&["write", "pwrite64", "writev", "pwritev", "pwritev2"], &["EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR"]),
    (&["fsync", "fdatasync", "sync_file_range"], &["EIO", "ENOSPC", "EDQUOT", "EINTR"]),
    (
        &[
            "rename",
            "renameat",
            "renameat2",
            "link",
            "linkat",
            "unlink",
            "unlinkat",
            "mkdir",
            "mkdirat",
            "rmdir",
            "utimensat",
            "fchmod",
        ],
        &["EIO", "ENOSPC", "EDQUOT", "EACCES", "ENOMEM"],
    ),
    (&["ftruncate", "fallocate"], &["EIO", "ENOSPC", "EDQUOT", "EINTR", "EFBIG"]),
    (
        &[
            "stat",
            "fstat",
            "lstat",
            "newfstatat",
            "statx",
            "getdents64",
            "lseek",
            "readlink",
            "readlinkat",
            "access",
            "faccessat2",
            "statfs",
            "fstatfs",
            "flock",
        ],
        &["EIO", "ENOMEM", "EINTR"],
    ),
    (&["inotify_init1", "inotify_add_watch"], &["EMFILE", "ENOSPC", "ENOMEM"]),
    (&["close", "epoll_wait", "epoll_pwait", "poll", "clock_nanosleep"], &["EINTR"]),
];

/// The error that is injected in one run.
struct Injection {
    call: String,
    error: &'static str,
    /// The calls of a thread that fail, in the syntax of `strace`.
    when: String,
}

/// One pipeline from files into files.
struct Pipeline {
    scene: Scene,
    program: String,
    lines: Vec<String>,
}

impl Pipeline {
    /// Writes the input, and a program with random settings.
    fn new(name: &str, random: &mut Rng) -> Pipeline {
        let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
        let input = scene.folder().join("in");
        fs::create_dir(&input).expect("the scene is empty");
        let mut lines = Vec::new();
        for file in 0..FILES {
            let own: Vec<String> =
                (0..LINES).map(|line| format!("{file}-{line:05} {}", "x".repeat(line % 97))).collect();
            fs::write(input.join(format!("{file}.log")), own.join("\n") + "\n").expect("the folder is there");
            lines.extend(own);
        }
        let mode =
            ["follow {}", "complete {}", "complete { after: rename {} }", "complete { after: delete }"];
        let mode = random.choice(mode).expect("the list is not empty");
        let compress = random.choice(["none", "gzip", "zstd"]).expect("the list is not empty");
        let (positions, channel) = match random.bool() {
            true => ("", format!("file {{ path: \"{}\", byte_capacity: 16MiB }}", scene.path("channel"))),
            false => {
                let channel = "memory { capacity: 2_000, transaction_capacity: 500 }".to_owned();
                ("  positions: \"positions\"\n", channel)
            }
        };
        let (from, to) = (scene.path("in/*.log"), scene.path("out"));
        let program = format!(
            "source logs = files {{\n  paths: [\"{from}\"]\n  mode: {mode}\n  batch: 50\n  poll: 50ms\n{positions}}}\n\
             channel buffer = {channel}\n\
             sink out = files {{ path: \"{to}\", compress: {compress}, roll: {{ count: 700, age: 1s }} }}\n\
             flow main delivers exactly_once {{ logs -> buffer -> out }}\n"
        );
        fs::write(scene.folder().join("moved.flow"), &program).expect("the folder is there");
        lines.sort_unstable();
        Pipeline { scene, program, lines }
    }

    /// Starts a run that ends when it is idle, or after a time limit.
    fn start(&self, starter: &[&str]) -> Weir {
        let options = ["--until-idle=1s", "--for", "20s", "--drain", "5s"];
        Weir::run_by(&self.scene, starter, &self.scene.path("moved.flow"), &[], &options)
    }

    /// Counts the system calls of a run without errors: for each call, the maximum over all threads.
    fn calls(&self) -> BTreeMap<String, usize> {
        let trace = self.scene.path("calls");
        // The run may end at its time limit on a busy machine, so its exit status is ignored.
        self.start(&["strace", "-D", "-f", "-q", "-o", &trace]).finish();
        let mut threads: BTreeMap<(String, String), usize> = BTreeMap::new();
        for line in traced(Path::new(&trace)).lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            if let Some((name, _)) = call.trim_start().split_once('(') {
                *threads.entry((thread.to_owned(), name.to_owned())).or_default() += 1;
            }
        }
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        for ((_, name), times) in threads {
            let most = calls.entry(name).or_default();
            *most = times.max(*most);
        }
        calls
    }

    /// Runs with an injected error. Returns `None` if no call failed, or only a call within the process.
    fn run_with(&self, injection: &Injection) -> Option<Result<Ending, String>> {
        let Injection { call, error, when } = injection;
        let trace = self.scene.path("trace");
        let (shown, injected) = (format!("trace={call}"), format!("inject={call}:error={error}:when={when}"));
        let run = self.start(&["strace", "-D", "-f", "-y", "-o", &trace, "-e", &shown, "-e", &injected]);
        let ended = run.finish_within(HANG_LIMIT).ok_or_else(|| "it hangs".to_owned());
        let text = traced(Path::new(&trace));
        let hits: Vec<&str> = text.lines().filter(|line| line.contains("(INJECTED)")).collect();
        // The agent wakes its own threads with an eventfd, whose calls never fail in reality.
        let own = hits.iter().any(|line| line.contains("anon_inode:[event"));
        (!hits.is_empty() && !own).then_some(ended)
    }

    /// Checks the end of a run with an error, then runs without errors and checks the output.
    ///
    /// # Errors
    /// A message that says what is wrong.
    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let has_message = ending.log.contains("ERROR") || ending.log.contains("error");
        match ending.status.code() {
            _ if ending.log.contains("panicked") => return Err("it panicked".to_owned()),
            Some(0 | 3) => {}
            // The dynamic loader and the reading of the program can fail too, before there is an agent.
            Some(1 | 127) if has_message => {}
            Some(2) if ending.log.contains("can't read") => {}
            code => return Err(format!("it ended with {code:?} ({})", ending.status)),
        }
        let options = ["--until-idle=2s"];
        let next = Weir::run_by(&self.scene, &[], &self.scene.path("moved.flow"), &[], &options).finish();
        if !next.status.success() || next.log.contains("panicked") {
            return Err(format!("a run without errors ended with {}", next.status));
        }
        let found = self.found();
        let twice = found.windows(2).filter(|pair| pair[0] == pair[1]).count();
        match (self.missing(&found).len(), twice, found.len() == self.lines.len()) {
            (0, 0, true) => Ok(()),
            (missing, ..) => {
                Err(format!("of {} lines {missing} are lost, {twice} are repeated", self.lines.len()))
            }
        }
    }
}

impl Pipeline {
    /// Returns the lines that have arrived, sorted.
    fn found(&self) -> Vec<String> {
        let out = self.scene.folder().join("out");
        if !out.exists() {
            return Vec::new();
        }
        let found = lines_of(&visible_files(&out)).into_iter().map(String::from_utf8);
        let mut found: Vec<String> = found.map(|line| line.expect("lines are text")).collect();
        found.sort_unstable();
        found
    }

    fn missing(&self, found: &[String]) -> Vec<&String> {
        self.lines.iter().filter(|line| found.binary_search(line).is_err()).collect()
    }
}

/// Waits until a trace is complete, and returns its text.
fn traced(trace: &Path) -> String {
    wait_until("strace writes its trace", PATIENCE, || {
        let text = String::from_utf8_lossy(&fs::read(trace).ok()?).into_owned();
        let last = text.lines().next_back()?;
        // The last line is about the main thread, which may be the only one.
        let ended = last.contains("+++ exited") || last.contains("+++ killed");
        ended.then_some(text)
    })
}

/// Chooses a random error for a random one of the calls.
fn injection(calls: &BTreeMap<String, usize>, random: &mut Rng) -> Injection {
    let made: Vec<(&String, &usize, &[&'static str])> = calls
        .iter()
        .filter_map(|(call, times)| {
            let (_, errors) = FAILING.iter().find(|(names, _)| names.contains(&call.as_str()))?;
            Some((call, times, *errors))
        })
        .collect();
    let (call, times, errors) = random.choice(&made).expect("the agent makes system calls");
    let error = random.choice(*errors).expect("each call has errors");
    let first = random.usize(1..=**times);
    let when = match random.u8(0..8) {
        0..4 => first.to_string(),
        4..7 => format!("{first}..{}", first + random.usize(1..5)),
        // An interrupted call is repeated, so that an endless EINTR would hang.
        _ if *error == "EINTR" => first.to_string(),
        _ => format!("{first}+"),
    };
    Injection { call: (*call).clone(), error, when }
}

/// Returns the exit status and, if it is not 0, the last error in the log.
fn how_it_ended(ending: &Ending) -> String {
    let status = ending.status.to_string();
    let last = ending.log.lines().rev().find(|line| line.contains("ERROR") || line.contains("error"));
    last.filter(|_| !ending.status.success()).map_or(status.clone(), |line| format!("{status} ({line})"))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn no_failing_call_loses_or_repeats_a_line() {
    let name = "no_failing_call_loses_or_repeats_a_line";
    let runs = number("WEIR_INJECTIONS").unwrap_or(INJECTIONS);
    let first = number("WEIR_SEED").unwrap_or(1);
    let mut failures = Vec::new();
    for seed in first..first + runs {
        let mut random = Rng::with_seed(seed);
        let folder = format!("{name}/{seed}");
        let undisturbed = Pipeline::new(&folder, &mut random.clone());
        let calls = undisturbed.calls();
        // A chosen call may not occur: choose again until one has failed.
        let failed = loop {
            let pipeline = Pipeline::new(&folder, &mut random.clone());
            let injection = injection(&calls, &mut random);
            let Some(ended) = pipeline.run_with(&injection) else { continue };
            let Injection { call, error, when } = injection;
            let title = format!("seed {seed}: {error} at {call} {when}");
            let exit = ended.as_ref().map(how_it_ended).unwrap_or_default();
            match ended.and_then(|ending| pipeline.judge(&ending)) {
                Ok(()) => {
                    print_line(name, format!("{title}: {exit}"));
                    break None;
                }
                Err(wrong) => {
                    print_line(name, format!("{title}: {exit}, but {wrong}"));
                    break Some(format!("{title}: {wrong}\n{}", pipeline.program));
                }
            }
        };
        match failed {
            Some(failed) => failures.push(failed),
            None => fs::remove_dir_all(undisturbed.scene.folder()).expect("it is there"),
        }
    }
    assert!(failures.is_empty(), "{} of {runs} runs:\n{}", failures.len(), failures.join("\n"));
}
