//! Mutation tests: thousands of small slips in the correct programs.
//!
//! A mutated program has an error or a plan. If its plan differs from the plan of the original program, its tree must
//! differ as well, in more than places, comments and separators. If the trees are equal, the words of the two texts
//! must be equal too: the parser skips no word without an error.
//!
//! A seed determines the mutations, and a failure shows the seed: `MUTATIONS_SEED=7 MUTATIONS=1000000` tries others.

use std::fmt::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use weir_compiler::{Library, analyse, lower, render};
use weir_grammar::{FileId, parse};
use weir_plan::Plan;

use crate::fixtures::{Fixture, options_in};
use crate::right_programs;

/// The number of mutations, unless `MUTATIONS` sets it.
const MUTATIONS: u64 = 10_000;

/// The seed of the mutations, unless `MUTATIONS_SEED` sets it.
const SEED: u64 = 20_261_122;

/// The stack size of a checking thread: the default of Rust's standard library.
const STACK_BYTES: usize = 2 << 20;

const THREADS: u64 = 2;

/// The time after which a check counts as hanging: the slowest check takes a few milliseconds.
const HANG: Duration = Duration::from_secs(60);

/// A well-spread sequence of numbers (SplitMix64, Steele, Lea and Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// The mutation of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutation {
    Deleted,
    Doubled,
    Swapped,
    Truncated,
    Replaced,
}

impl Mutation {
    const ALL: [Mutation; 5] =
        [Mutation::Deleted, Mutation::Doubled, Mutation::Swapped, Mutation::Truncated, Mutation::Replaced];

    fn make(self, text: &str, numbers: &mut Numbers) -> String {
        let words = words(text);
        let (at, other) = (numbers.below(words.len()), numbers.below(words.len()));
        let (start, end) = (offset(text, words[at]), offset(text, words[at]) + words[at].len());
        let (before, after) = (&text[..start], &text[end..]);
        match self {
            Mutation::Deleted => format!("{before}{after}"),
            Mutation::Doubled => format!("{before}{} {}{after}", words[at], words[at]),
            Mutation::Truncated => before.to_owned(),
            Mutation::Replaced => format!("{before}{}{after}", words[other]),
            Mutation::Swapped => {
                let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
                let (first, second) = (numbers.below(lines.len()), numbers.below(lines.len()));
                lines.swap(first, second);
                lines.concat()
            }
        }
    }
}

/// Returns the words of a text: names, numbers, quoted texts and single marks, without comments and blanks.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => quoted(rest),
            'r' if rest.starts_with("r\"") => {
                rest[2..].find(['"', '\n']).map_or(rest.len(), |end| 2 + end + 1)
            }
            _ if is_word(first) => rest.find(|letter| !is_word(letter)).unwrap_or(rest.len()),
            _ => match ["->", "=>", "==", "!=", "<=", ">=", "??", "..="]
                .iter()
                .find(|mark| rest.starts_with(**mark))
            {
                Some(mark) => mark.len(),
                None => first.len_utf8(),
            },
        };
        let (word, after) = rest.split_at(length);
        if !first.is_whitespace() && !word.starts_with("//") {
            words.push(word);
        }
        rest = after;
    }
    words
}

/// Returns the length of the quoted text at the start of the text.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text[1..].find(|letter| {
        let ends = letter == '\n' || letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| 1 + end + 1)
}

/// Returns the offset of a part in its text.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// A correct program with its library and its plan.
struct Original {
    fixture: Fixture,
    library: Library,
    plan: Plan,
}

/// The result of checking a mutated program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Error,
    SamePlan,
    OtherPlan,
}

impl Original {
    fn new(fixture: Fixture) -> Original {
        let library = fixture.library();
        let plan = lower(&fixture.check()).unwrap();
        Original { fixture, library, plan }
    }

    /// Checks the program with another text.
    ///
    /// # Errors
    /// Returns the broken rule, in words.
    fn with(&self, text: &str) -> Result<Outcome, String> {
        let name = self.fixture.file_name();
        let mutated = Fixture {
            path: self.fixture.path.clone(),
            name: self.fixture.name.clone(),
            text: text.to_owned(),
            expected: Vec::new(),
        };
        let analysis = analyse(&mutated, &name, &self.library, &options_in(text));
        let said = render::short(&analysis.diagnostics, &analysis.files);
        let Some(plan) = lower(&analysis) else {
            return if said.contains(" error[") {
                Ok(Outcome::Error)
            } else {
                Err("no plan, and no error".to_owned())
            };
        };
        if said.contains(" error[") {
            return Err(format!("a plan, and errors:\n{said}"));
        }
        let json = serde_json::to_string(&plan).map_err(|error| error.to_string())?;
        if Plan::from_json(&json).map_err(|error| error.to_string())? != plan {
            return Err("the plan is not its own JSON".to_owned());
        }
        let (before, now) = (meaning(&self.fixture.text), meaning(text));
        let same_tree = before == now;
        if same_tree && plan != self.plan {
            return Err("another plan from the same tree".to_owned());
        }
        if same_tree && said_words(&self.fixture.text) != said_words(text) {
            return Err("words that nobody reads".to_owned());
        }
        Ok(if plan == self.plan { Outcome::SamePlan } else { Outcome::OtherPlan })
    }
}

/// Returns the tree of a text as text, without places and documentation.
fn meaning(text: &str) -> String {
    let tree = format!("{:?}", parse(FileId(0), text).file.items);
    let mut meaning = String::with_capacity(tree.len() / 2);
    let mut rest = tree.as_str();
    // `Span { file: FileId(0), start: 1, end: 2 }` contains no further braces.
    while let Some(start) = rest.find("Span {") {
        meaning.push_str(&rest[..start]);
        rest = rest[start..].split_once('}').map_or("", |(_, after)| after);
    }
    meaning.push_str(rest);
    meaning
}

/// Returns the words of a text without separators.
fn said_words(text: &str) -> Vec<&str> {
    let mut words = words(text);
    words.retain(|word| *word != ",");
    words
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |value| value.parse().unwrap())
}

/// Returns a mutated program; the number and the seed determine the program and the mutation.
fn mutate(originals: &[Original], seed: u64, number: u64) -> (usize, Mutation, String) {
    let mut numbers = Numbers(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let program = numbers.below(originals.len());
    let mutation = Mutation::ALL[(number % 5) as usize];
    let text = mutation.make(&originals[program].fixture.text, &mut numbers);
    (program, mutation, text)
}

#[test]
fn a_slip_of_the_hand_is_an_error_or_another_program() {
    let (seed, count) = (number_from("MUTATIONS_SEED", SEED), number_from("MUTATIONS", MUTATIONS));
    println!("MUTATIONS_SEED={seed} MUTATIONS={count}");
    let (report, reports) = mpsc::channel();
    for thread in 0..THREADS {
        let report = report.clone();
        let work = move || {
            let originals: Vec<Original> = right_programs().into_iter().map(Original::new).collect();
            for number in (thread..count).step_by(THREADS as usize) {
                let (program, mutation, text) = mutate(&originals, seed, number);
                let about =
                    format!("mutation {number} ({mutation:?}) of {}", originals[program].fixture.name);
                // The mutation is reported before its check, so that a hang or a panic can be attributed to it.
                let _ = report.send((thread, about, None));
                let outcome = originals[program].with(&text).map_err(|error| format!("{error}\n{text}"));
                let _ = report.send((thread, String::new(), Some((mutation, outcome))));
            }
        };
        thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap();
    }
    drop(report);
    let mut at_work = vec![String::new(); THREADS as usize];
    let mut outcomes = Vec::new();
    let mut faults = String::new();
    loop {
        match reports.recv_timeout(HANG) {
            Ok((thread, about, None)) => at_work[thread as usize] = about,
            Ok((thread, _, Some((mutation, outcome)))) => match outcome {
                Ok(outcome) => outcomes.push((mutation, outcome)),
                Err(error) => writeln!(faults, "{}: {error}", at_work[thread as usize]).unwrap(),
            },
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("seed {seed}: one of these hangs: {at_work:?}"),
        }
    }
    assert!(faults.is_empty(), "seed {seed}:\n{faults}");
    assert_eq!(outcomes.len() as u64, count, "seed {seed}: one of these panicked: {at_work:?}");
    for mutation in Mutation::ALL {
        let of = |wanted: Outcome| outcomes.iter().filter(|outcome| **outcome == (mutation, wanted)).count();
        println!(
            "{mutation:?}: {} errors, {} plans as before, {} other plans",
            of(Outcome::Error),
            of(Outcome::SamePlan),
            of(Outcome::OtherPlan)
        );
    }
    // Most slips are mistakes: a checker that accepts half of them does not work.
    let errors = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Error).count();
    assert!(errors as u64 * 2 > count, "{errors} errors");
}
