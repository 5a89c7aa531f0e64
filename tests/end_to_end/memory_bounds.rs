//! The derived worst case of memory, held against the peak of real processes under load.
//!
//! Programs follow from a seed: sources, steps, channels and sinks with various settings. Every second of them has an output that
//! nobody reads, so that the channel becomes full. `WEIR_MEMORY_PROGRAMS=200 WEIR_MEMORY_SEED=1` tries others.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use fastrand::Rng;
use weir_tests::{Scene, Weir, free_address, print_line};

/// The programs of a test run without `WEIR_MEMORY_PROGRAMS`.
const PROGRAMS: u64 = 8;
/// How long each program runs.
const RUN: Duration = Duration::from_secs(4);
/// How often the peak is read while it runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The most that the bound may be above the peak, in the median of many programs.
const MEDIAN_MAX: f64 = 3.0;
/// With fewer programs, the median says nothing.
const MEDIAN_OF: usize = 20;
const CLIENTS: usize = 16;
const REQUEST_BYTES: usize = 256 << 10;

/// What feeds a program.
#[derive(Clone, Copy)]
enum Load {
    /// It feeds itself.
    None,
    Input,
    Lines(SocketAddr),
    Requests(SocketAddr),
}

struct Program {
    text: String,
    load: Load,
}

fn choice<'c>(random: &mut Rng, choices: &[&'c str]) -> &'c str {
    choices[random.usize(..choices.len())]
}

/// Returns a program, with an output that nobody reads or one that takes all events.
fn program(seed: u64, folder: &Path) -> Program {
    let mut random = Rng::with_seed(seed);
    let (address, folder) = (free_address(), folder.display().to_string());
    let (source, load, promise) = match random.u32(..6) {
        0 | 1 => {
            let size = choice(&mut random, &["20B", "100B", "1000B", "10KiB"]);
            let batch = choice(&mut random, &["1", "100", "4_096"]);
            (format!("generate {{ content: numbered {{ size: {size} }}, batch: {batch} }}"), Load::None, "")
        }
        2 => ("generate {}".to_owned(), Load::None, ""),
        3 => ("stdin {}".to_owned(), Load::Input, " delivers best_effort"),
        4 => {
            let source = format!("tcp_lines {{ bind: \"{address}\", max_connections: {CLIENTS} }}");
            (source, Load::Lines(address), " delivers best_effort")
        }
        _ => {
            let limits = "max_requests: 50, max_body: 1MiB, max_bodies: 32MiB";
            (format!("http {{ bind: \"{address}\", {limits} }}"), Load::Requests(address), "")
        }
    };
    let bytes = choice(&mut random, &["16MiB", "32MiB", "64MiB", "128MiB"]);
    let channel = match random.u32(..3) {
        0 => {
            let compress = choice(&mut random, &["none", "lz4", "zstd"]);
            format!("file {{ path: \"{folder}/channel\", byte_capacity: 512MiB, compress: {compress} }}")
        }
        1 => format!("memory {{ byte_capacity: {bytes} }}"),
        _ => format!("memory {{ byte_capacity: {bytes}, capacity: 10_000_000 }}"),
    };
    let steps = choice(
        &mut random,
        &[
            "",
            "-> set @length = length(utf8_lossy(body)) ",
            "-> keep if starts_with(utf8_lossy(body), \"x\") == false ",
            "-> dedupe by body within 1h ",
            "-> set body = upper(utf8_lossy(body)) -> drop if body == \"\" ",
        ],
    );
    // A step that makes the body a text needs a format that writes fields.
    let makes_fields = steps.contains("upper");
    let sink = match seed.is_multiple_of(2) {
        true => format!("stdout {{ format: {} }}", if makes_fields { "json" } else { "text" }),
        false if makes_fields => format!("files {{ path: \"{folder}/out\", format: json }}"),
        false => match random.u32(..4) {
            0 => "null {}".to_owned(),
            1 => format!("files {{ path: \"{folder}/out\", format: parquet, roll: {{ age: 2s }} }}"),
            _ => {
                let compress = choice(&mut random, &["none", "gzip", "zstd", "lz4", "bzip2"]);
                format!("files {{ path: \"{folder}/out\", compress: {compress} }}")
            }
        },
    };
    let text = format!(
        "source in = {source}\nchannel buffer = {channel}\nsink out = {sink}\n\nflow main{promise} {{ in {steps}-> buffer -> out }}\n"
    );
    Program { text, load }
}

/// Returns the bytes of memory that the program takes at most, as `weir check` derives them.
fn bound(path: &str) -> u64 {
    let said = Weir::tool(["check", "--proofs", "--format", "json", path].map(AsRef::as_ref));
    let said: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    said["proofs"][0]["resources"]["memory"].as_u64().expect("the memory is derived")
}

/// Writes lines or requests until the flag is set or the agent takes no more.
fn feed(load: Load, input: Option<Box<dyn Write + Send>>, ended: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let lines = "a line of a client, with a few words and a number: 0123456789\n".repeat(1_000);
    let until_ended = move |mut to: Box<dyn Write + Send>, what: Vec<u8>, ended: Arc<AtomicBool>| {
        thread::spawn(move || while !ended.load(Ordering::Relaxed) && to.write_all(&what).is_ok() {})
    };
    let connect = |address: SocketAddr| -> Option<Box<dyn Write + Send>> {
        let begun = Instant::now();
        while begun.elapsed() < RUN {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_write_timeout(Some(Duration::from_millis(500))).expect("it is a time");
                return Some(Box::new(stream));
            }
            sleep(Duration::from_millis(20));
        }
        None
    };
    match load {
        Load::None => Vec::new(),
        Load::Input => {
            input.into_iter().map(|input| until_ended(input, lines.clone().into(), ended.clone())).collect()
        }
        Load::Lines(address) => (0..CLIENTS)
            .filter_map(|_| Some(until_ended(connect(address)?, lines.clone().into(), ended.clone())))
            .collect(),
        Load::Requests(address) => {
            let body = &lines.repeat(1 + REQUEST_BYTES / lines.len())[..REQUEST_BYTES];
            let head = format!("POST / HTTP/1.1\r\nHost: weir\r\nContent-Length: {}\r\n\r\n", body.len());
            // The answers fit into the socket's buffer.
            let request = format!("{head}{body}").into_bytes();
            (0..CLIENTS)
                .filter_map(|_| Some(until_ended(connect(address)?, request.clone(), ended.clone())))
                .collect()
        }
    }
}

/// Runs a program under load and returns the peak of its resident memory in bytes.
fn peak(scene: &Scene, path: &str, load: Load) -> u64 {
    let (mut weir, input, _unread_output) = Weir::run_in_pipes(scene, path);
    let ended = Arc::new(AtomicBool::new(false));
    let feeding = feed(load, Some(Box::new(input)), &ended);
    let begun = Instant::now();
    let mut peak = 0;
    while begun.elapsed() < RUN {
        weir.assert_runs();
        peak = weir.peak_bytes().max(peak);
        sleep(LOOK_EVERY);
    }
    weir.kill();
    ended.store(true, Ordering::Relaxed);
    feeding.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
    peak
}

#[test]
fn no_process_takes_more_memory_than_was_derived() {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().expect("a number"));
    let programs = number("WEIR_MEMORY_PROGRAMS").unwrap_or(PROGRAMS);
    let first = number("WEIR_MEMORY_SEED").unwrap_or(0);
    let mut ratios = Vec::new();
    for seed in first..first + programs {
        let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), &format!("memory_bounds_{seed}"));
        let Program { text, load } = program(seed, scene.folder());
        let path = scene.path("program.flow");
        fs::write(&path, &text).expect("the folder is there");
        let (bound, peak) = (bound(&path), peak(&scene, &path, load));
        let ratio = bound as f64 / peak as f64;
        let shown =
            text.lines().take(3).map(|line| line.trim_start_matches("source in = ")).collect::<Vec<_>>();
        print_line(
            scene.name(),
            format!("peak {} MiB, bound {} MiB, {ratio:.1}: {}", peak >> 20, bound >> 20, shown.join("; ")),
        );
        assert!(peak <= bound, "{} MiB are more than the {} MiB of\n{text}", peak >> 20, bound >> 20);
        ratios.push(ratio);
        fs::remove_dir_all(scene.folder()).expect("the folder is there");
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    print_line("memory_bounds", format!("{programs} programs, bound / peak {median:.2} in the median"));
    assert!(ratios.len() < MEDIAN_OF || median <= MEDIAN_MAX, "the bound is {median:.2} times the peak");
}
