//! `weir run` as an operator sees it: its exit status, log, metrics and progress line.

// Panics are test failures.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tempfile::TempDir;

const ENDLESS: &str = "\
source numbers = generate { content: numbered, rate: 1_000/s }
channel buffer = file { path: \"channel\", byte_capacity: 16MiB }
sink out = null {}
flow main { numbers -> buffer -> out }
";

struct Ended {
    status: i32,
    output: String,
    error: String,
}

fn folder_with(program: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.flow"), program).unwrap();
    folder
}

fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.current_dir(folder.path()).arg("run").args(arguments).arg("a.flow").env("NO_COLOR", "1");
    command.stdin(Stdio::null());
    command
}

fn run(folder: &TempDir, arguments: &[&str]) -> Ended {
    let ended = command(folder, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { status: ended.status.code().unwrap(), output: text(ended.stdout), error: text(ended.stderr) }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Reads the log up to the first line that contains this text, and returns the line.
fn await_line(log: &mut impl Iterator<Item = std::io::Result<String>>, wanted: &str) -> String {
    let mut seen = String::new();
    for line in log {
        let line = line.unwrap();
        if line.contains(wanted) {
            return line;
        }
        seen.push_str(&format!("{line}\n"));
    }
    panic!("the log ends without {wanted}:\n{seen}")
}

fn log_of(child: &mut Child) -> std::io::Lines<BufReader<ChildStderr>> {
    BufReader::new(child.stderr.take().unwrap()).lines()
}

#[test]
fn a_run_with_a_time_limit_drains_at_its_end() {
    let folder = folder_with(ENDLESS);
    let ended = run(&folder, &["--for", "300ms"]);
    assert_eq!((ended.status, ended.output.as_str()), (0, ""), "{}", ended.error);
    assert!(ended.error.contains("a has ended: all received events were delivered"), "{}", ended.error);
}

#[test]
fn a_run_until_idle_ends_when_its_source_pauses() {
    // The first event comes immediately, the second one in a day.
    let folder = folder_with(&ENDLESS.replace("rate: 1_000/s", "rate: 0.00001/s"));
    let ended = run(&folder, &["--until-idle=200ms"]);
    assert_eq!(ended.status, 0, "{}", ended.error);
    assert!(ended.error.contains("no event has moved for 200ms"), "{}", ended.error);
}

#[test]
fn a_quiet_run_without_errors_prints_nothing() {
    let ended = run(&folder_with(ENDLESS), &["--for", "0.2s", "--quiet"]);
    assert_eq!((ended.status, ended.error.as_str()), (0, ""));
}

#[test]
fn malformed_arguments_are_misuse() {
    let folder = folder_with(ENDLESS);
    let mut shown = String::new();
    for arguments in [
        &["--for=soon"][..],
        &["--until-idle=-1s"],
        &["--drain=1parsec"],
        &["--for", "10"],
        &["--metrics=here"],
        &["--metrics", ":9464"],
        &["--metrics", "9464"],
        &["--metrics", "example.com:9464"],
        &["--until-idle", "5s"],
        &["b.flow"],
    ] {
        let ended = run(&folder, arguments);
        assert_eq!(ended.status, 2, "{arguments:?}");
        let first = ended.error.lines().next().unwrap_or_default();
        writeln!(shown, "{}\n  {first}", arguments.join(" ")).unwrap();
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_name_for_this_machine_is_an_address() {
    let folder = folder_with(ENDLESS);
    let ended = run(&folder, &["--check-only", "--metrics", "localhost:0"]);
    assert_eq!(ended.status, 0, "{}", ended.error);
}

/// A truncated configuration must not look like a healthy run.
#[test]
fn a_program_that_would_do_nothing_is_not_started() {
    for program in ["", "// all is gone\n", "source numbers = generate {}\n"] {
        let ended = run(&folder_with(program), &[]);
        let expected = "weir: a.flow has no flow, so nothing would run\nweir: a is not started\n";
        assert_eq!(ended.status, 1);
        assert!(ended.error.ends_with(expected), "{}", ended.error);
    }
    let program =
        "source lines = stdin {}\nsink out = null {}\nflow main delivers best_effort { lines -> out }\n";
    let folder = folder_with(program);
    let mut child = Command::new(env!("CARGO_BIN_EXE_weir"));
    child.current_dir(folder.path()).args(["run", "-"]);
    child.stdin(File::open(folder.path().join("a.flow")).unwrap());
    let ended = child.output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(ended.stderr).unwrap());
}

#[test]
fn a_compiled_plan_takes_no_params() {
    let folder = folder_with(
        "param topic: Text = \"a\"\nsource numbers = generate {}\nsink out = null {}\nflow main { numbers -> out }\n",
    );
    let weir = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.current_dir(folder.path()).args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    let plan = weir(&["plan", "--format", "json", "a.flow"]);
    fs::write(folder.path().join("a.json"), plan.stdout).unwrap();
    let ended = weir(&["run", "--set", "topic=b", "a.json"]);
    assert_eq!(ended.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(ended.stderr).unwrap());
}

#[test]
fn a_metrics_port_in_use_prevents_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = folder_with(ENDLESS);
    let ended = run(&folder, &["--metrics", &address]);
    let expected =
        format!("weir: --metrics {address}: Address already in use (os error 98)\nweir: a is not started\n");
    assert_eq!((ended.status, ended.error), (1, expected));
    assert!(!folder.path().join("channel").exists(), "the channel was not created");
}

/// Returns a loopback address with a free port.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Returns a program whose secret, certificates and directories are missing.
fn program_with_missing_parts(web: &str, lines: &str) -> String {
    format!(
        "\
source web = http {{
  bind: \"{web}\"
  authentication: bearer {{ token: secret env(\"WEIR_TEST_NO_SUCH_SECRET\") }}
  security: tls {{ cert: \"no.pem\", key: \"no.key\" }}
}}
source lines = tcp_lines {{ bind: \"{lines}\" }}
source logs = files {{ paths: [\"logs/*.log\"], positions: \"file/positions\" }}
channel buffer = file {{ path: \"file/channel\", byte_capacity: 64MiB }}
sink out = files {{ path: \"file/out\" }}
flow main delivers best_effort {{
  web -> buffer
  lines -> buffer
  logs -> buffer -> out
}}
"
    )
}

#[test]
fn a_check_reports_all_problems_and_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = folder_with(&program_with_missing_parts(&free_address(), &address));
    fs::write(folder.path().join("file"), "in the way").unwrap();
    let problems = [
        " can't be used: I/O error: No such file or directory",
        "source web: the environment variable WEIR_TEST_NO_SUCH_SECRET has no secret",
        &format!("source lines: can't listen on {address}: Address already in use"),
        "source logs: no file can be made in file: Not a directory",
        "channel buffer: no file can be made in file: Not a directory",
        "sink out: no file can be made in file: Not a directory",
    ];
    let checked = run(&folder, &["--check-only"]);
    assert_eq!(checked.status, 1, "{}", checked.error);
    for part in problems {
        assert!(checked.error.contains(part), "{part}\n{}", checked.error);
    }
    // A start reports the same problems before any component runs.
    let started = run(&folder, &[]);
    assert_eq!(started.status, 1, "{}", started.error);
    for part in problems {
        let text = part.rsplit(": ").next().unwrap();
        assert!(started.error.contains(text), "{text}\n{}", started.error);
    }
    assert!(started.error.ends_with("weir: a is not started\n"), "{}", started.error);
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<BTreeSet<_>>(), ["a.flow".into(), "file".into()].into());
}

#[test]
fn a_check_of_a_correct_program_changes_nothing() {
    let folder = folder_with(&program_with_missing_parts(&free_address(), &free_address()).replace(
        "  authentication: bearer { token: secret env(\"WEIR_TEST_NO_SUCH_SECRET\") }
  security: tls { cert: \"no.pem\", key: \"no.key\" }
",
        "",
    ));
    let checked = run(&folder, &["--check-only", "--metrics", "127.0.0.1:0"]);
    assert_eq!((checked.status, checked.error.as_str()), (0, ""));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the program");
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_are_answered_while_it_runs_and_a_signal_drains() {
    let folder = folder_with(ENDLESS);
    let mut child = command(&folder, &["--metrics", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = log_of(&mut child);
    let line = await_line(&mut log, "metrics are at");
    let address = line.split_once("http://").unwrap().1.split_once("/metrics").unwrap().0.to_owned();
    await_line(&mut log, "made a new channel");
    while !get(&address, "/ready").starts_with("HTTP/1.1 200") {}
    let delivered = || {
        let answer = get(&address, "/metrics.json");
        let json: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        json["components"][2]["delivered"]["events"].as_u64().unwrap()
    };
    while delivered() < 100 {}
    assert!(
        get(&address, "/metrics").contains("weir_delivered_events_total{program=\"a\",component=\"out\"")
    );
    signal(&child, "-TERM");
    await_line(&mut log, "has ended: all received events were delivered");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The beginnings of log lines that are not about one component.
const AGENT_LINES: [&str; 4] = ["a starts", "metrics are at", "stopping: sources read no more", "SIG"];

#[test]
fn every_line_of_the_log_about_a_component_has_its_name() {
    let program = "\
source numbers = generate { content: numbered }
source more = files { paths: [\"nowhere/*.log\"] }
channel buffer = file { path: \"channel\", byte_capacity: 16MiB, keep_alive: 10ms }
sink broken = files { path: \"out/{@part}\" }
sink gone = files { path: \"gone\" }
flow main {
  numbers -> buffer -> set @part = \"a\" -> copy { broken, optional gone }
  more -> buffer
}
";
    let folder = folder_with(program);
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("out/a"), "in the way").unwrap();
    let mut child = command(&folder, &["--drain", "100ms"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = log_of(&mut child);
    let mut lines = Vec::new();
    // Reads until the sink has failed and the channel was full.
    let (mut failed, mut full) = (false, false);
    while !failed || !full {
        let line = log.next().unwrap().unwrap();
        failed |= line.contains("its events stay in buffer");
        full |= line.contains("no room in buffer");
        lines.push(line);
    }
    signal(&child, "-TERM");
    lines.extend(log.by_ref().map(Result::unwrap).take_while(|line| !line.is_empty()));
    // The rest is the table.
    let _ = log.count();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let names = ["numbers", "more", "buffer", "broken", "gone"];
    for line in lines {
        let event: Value = serde_json::from_str(&line).unwrap();
        let message = event["message"].as_str().unwrap();
        let of_the_agent = AGENT_LINES.iter().any(|known| message.starts_with(known))
            || message.starts_with("not drained within the limit");
        let named = event["component"].as_str().is_some_and(|name| names.contains(&name));
        assert!(named || of_the_agent, "{line}");
    }
}

#[test]
fn repeated_hang_up_signals_only_drain() {
    let folder = folder_with(ENDLESS);
    let mut child = command(&folder, &[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = log_of(&mut child);
    await_line(&mut log, "a starts");
    for _ in 0..3 {
        signal(&child, "-HUP");
    }
    drop(log);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_quit_signal_stops_the_agent_without_a_drain() {
    let folder = folder_with(LINES);
    let mut child = command(&folder, &[]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = log_of(&mut child);
    await_line(&mut log, "a starts");
    signal(&child, "-QUIT");
    await_line(&mut log, "stopped at once");
    await_line(&mut log, "a was stopped before all events were delivered");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn an_unread_log_delays_nothing() {
    let folder = folder_with(ENDLESS);
    let mut child = command(&folder, &["--for", "500ms"])
        .env("WEIR_LOG", "trace")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads the log before the process has ended.
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_unread_or_closed_standard_output_does_not_affect_the_other_sinks() {
    let program = "\
source numbers = generate { content: numbered, rate: 20_000/s }
channel buffer = memory {}
sink kept = null {}
sink look = stdout {}
flow main { numbers -> buffer -> copy { kept, optional look } }
";
    let folder = folder_with(program);
    let arguments = ["--for", "1s", "--drain", "1s"];
    let mut child =
        command(&folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = log_of(&mut child);
    await_line(&mut log, "a has ended: all received events were delivered");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // The same with a closed standard output.
    let mut child =
        command(&folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut log = log_of(&mut child);
    await_line(&mut log, "it is optional, the others go on without it");
    await_line(&mut log, "the optional component look has failed: standard output was closed by its reader");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_log_stops_nothing() {
    let folder = folder_with(ENDLESS);
    let mut child = command(&folder, &[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = log_of(&mut child);
    await_line(&mut log, "a starts");
    drop(log);
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Opens a pseudoterminal of 60 columns: its master side, and the side for the command.
fn terminal() -> (File, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = File::options().read(true).write(true).open(name).unwrap();
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size).unwrap();
    (master.into(), slave.into())
}

#[test]
fn a_terminal_shows_a_progress_line() {
    let shown = |arguments: &[&str]| {
        let (mut reading, slave) = terminal();
        let folder = folder_with(ENDLESS);
        let mut child = command(&folder, arguments).stdout(Stdio::null()).stderr(slave).spawn().unwrap();
        // When the process has ended, reading the terminal fails instead of returning its end.
        let mut text = Vec::new();
        let _ = reading.read_to_end(&mut text);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        String::from_utf8(text).unwrap()
    };
    let text = shown(&["--for", "2500ms"]);
    let lines: Vec<&str> = text.split("\r\u{1b}[K").collect();
    assert!(lines.iter().any(|line| line.starts_with("0:01  received ")), "{text}");
    // Log messages have lines of their own.
    assert!(lines.iter().any(|line| line.contains("stopping after 2.5s") && line.contains("\r\n")), "{text}");
    let drawn = lines.iter().filter_map(|line| line.lines().last()).filter(|line| line.contains("received "));
    drawn.for_each(|line| assert!(line.chars().count() < 60, "{line}"));
    let table = text.split("component").last().unwrap().lines().take(4);
    table.for_each(|line| assert!(line.chars().count() <= 60, "{text}"));
    assert!(!shown(&["--for", "1500ms", "--no-progress"]).contains("\u{1b}[K"));
    assert_eq!(shown(&["--for", "1500ms", "--quiet"]), "");
}

const LINES: &str = "\
source lines = stdin {}
sink out = stdout {}
flow main delivers best_effort { lines -> out }
";

#[test]
fn lines_from_standard_input_are_copied_until_it_ends() {
    let folder = folder_with(LINES);
    let mut child =
        command(&folder, &["--quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let sent: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(sent.as_bytes()).unwrap());
    let ended = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(String::from_utf8(ended.stdout).unwrap() == expected);
}

#[test]
fn an_open_standard_input_without_lines_does_not_delay_a_stop() {
    let folder = folder_with(LINES);
    let mut child =
        command(&folder, &["--log", "json"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = log_of(&mut child);
    await_line(&mut log, "a starts");
    signal(&child, "-TERM");
    await_line(&mut log, "has ended: its sources had nothing new");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Steps are computed for whole batches, but an event for which a step fails is dropped alone.
#[test]
fn steps_keep_and_drop_events_by_computed_conditions() {
    let program = "\
source numbers = generate { content: numbered, count: 1000 }
sink out = stdout {}
flow main {
  numbers
    -> keep if @sequence % 100 == 0 and contains(body, \"00 \")
    -> drop if 500 % (@sequence - 300) == 0 else drop
    -> out
}
";
    let ended = run(&folder_with(program), &["--quiet"]);
    assert_eq!(ended.status, 0, "{}", ended.error);
    // 300 fails, since it divides by 0; 200, 400 and 800 are dropped by the condition.
    let numbers: Vec<&str> = ended.output.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(numbers, ["100", "500", "600", "700", "900", "1000"]);
}
