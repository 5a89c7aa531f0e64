//! How fast programs are checked, beside what pest alone takes for the same text.
//!
//! `cargo run --release -p weir-compiler --example measure` generates programs of 1,000, 10,000 and 100,000 lines
//! and, in each of several rounds, lets first pest read every item of a program, then the compiler check the whole.
//! Other arguments than the default: `--rounds 9`, and numbers of lines. `benches/RESULTS.md` holds what it gave.

// An example's output is its purpose.
#![allow(clippy::print_stdout)]

#[path = "../tests/language/generated.rs"]
mod generated;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use weir_compiler::{Library, Options, analyse, lower, render};
use weir_grammar::bare;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
const ROUNDS: usize = 7;

/// The argument with which this program measures the memory of one check in a process of its own.
const MEMORY: &str = "--memory";

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut rounds = ROUNDS;
    let mut sizes = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--rounds" => rounds = rest.next().ok_or("how many rounds?")?.parse()?,
            MEMORY => return memory_here(rest.next().ok_or("how many lines?")?.parse()?),
            lines => sizes.push(lines.parse()?),
        }
    }
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    let library = library()?;
    let mut programs =
        sizes.into_iter().map(|lines| Measured::new(lines, &library)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..rounds {
        for program in &mut programs {
            program.round(&library);
        }
    }
    for program in &mut programs {
        program.memory = memory_apart(program.lines)?;
    }
    report(&programs, rounds);
    Ok(())
}

/// A program and how long it took, round by round.
struct Measured {
    lines: usize,
    text: String,
    pest: Vec<Duration>,
    read: Vec<Duration>,
    check: Vec<Duration>,
    memory: u64,
}

impl Measured {
    /// Generates a program, and sees to it that the compiler has nothing to say about it.
    fn new(lines: usize, library: &Library) -> Result<Measured, Failed> {
        let text = generated::program(lines);
        let analysis = analyse(&("generated.flow", &*text), "generated.flow", library, &Options::default());
        if lower(&analysis).is_none() || !analysis.diagnostics.is_empty() {
            let mut said = render::human(&analysis.diagnostics, &analysis.files, false);
            said.truncate(4_000);
            return Err(format!("the generated program is not clean:\n{said}").into());
        }
        let (pest, read, check) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Measured { lines: text.lines().count(), text, pest, read, check, memory: 0 })
    }

    fn round(&mut self, library: &Library) {
        // As the parser cuts it; only pest is timed.
        let cut = bare::cut(&self.text);
        let start = Instant::now();
        let items = cut.parse();
        self.pest.push(start.elapsed());
        assert!(items > 0, "pest reads what the compiler has read");
        drop(cut);
        let start = Instant::now();
        let parsed = weir_grammar::parse(weir_grammar::FileId(0), &self.text);
        self.read.push(start.elapsed());
        drop(parsed);
        let source = ("generated.flow", &*self.text);
        let start = Instant::now();
        let analysis = analyse(&source, "generated.flow", library, &Options::default());
        let plan = lower(&analysis);
        self.check.push(start.elapsed());
        drop((analysis, plan));
    }
}

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

fn report(programs: &[Measured], rounds: usize) {
    println!("medians of {rounds} rounds; ratios are medians of the rounds' own ratios\n");
    println!(
        "  lines   KiB | pest ms   tree ms  check ms | check/pest |  lines/s pest      check | memory/text"
    );
    for program in programs {
        let (pest, read, check) = (median(&program.pest), median(&program.read), median(&program.check));
        let ratios =
            program.check.iter().zip(&program.pest).map(|(check, pest)| check.div_duration_f64(*pest));
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let lines = program.lines as f64;
        println!(
            "{lines:>7} {:>5} | {:>7.1} {:>9.1} {:>9.1} | {:>10.2} | {:>12.0} {:>10.0} | {:>11.1}",
            program.text.len() / 1024,
            pest * 1e3,
            read * 1e3,
            check * 1e3,
            ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN),
            lines / pest,
            lines / check,
            program.memory as f64 / program.text.len() as f64,
        );
    }
    if let [first, .., last] = programs {
        let growth = |of: fn(&Measured) -> &[Duration]| median(of(last)) / median(of(first));
        println!(
            "\nfrom {} to {} lines, {:.0} times as many: pest takes {:.0} times as long, the check {:.0} times",
            first.lines,
            last.lines,
            last.lines as f64 / first.lines as f64,
            growth(|program| &program.pest),
            growth(|program| &program.check),
        );
    }
}

/// The most memory that a check of a program of this many lines needs at once, beside the program and the library.
fn memory_apart(lines: usize) -> Result<u64, Failed> {
    let output = Command::new(std::env::current_exe()?).args([MEMORY, &lines.to_string()]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn memory_here(lines: usize) -> Result<(), Failed> {
    let library = library()?;
    let text = generated::program(lines);
    let before = resident("VmRSS:")?;
    // Lets the kernel count the peak from here.
    fs::write("/proc/self/clear_refs", "5")?;
    let analysis = analyse(&("generated.flow", &*text), "generated.flow", &library, &Options::default());
    let plan = lower(&analysis);
    println!("{}", resident("VmHWM:")?.saturating_sub(before));
    drop((analysis, plan));
    Ok(())
}

/// A number of bytes from what the kernel says about this process.
fn resident(name: &str) -> Result<u64, Failed> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("the kernel does not say")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn library() -> Result<Library, Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib/src");
    let mut signatures = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let path = entry?.into_path();
        if path.extension().is_some_and(|end| end == "flow") {
            signatures.push((path.to_string_lossy().into_owned(), fs::read_to_string(&path)?));
        }
    }
    Library::parse(signatures).map_err(|error| render::human(&error.diagnostics, &error.files, false).into())
}
