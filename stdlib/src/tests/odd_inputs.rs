//! Odd inputs as programs of the field write them, from the files in `tests/odd_inputs`, read by parsers and by the source `files`
//! in complete agents.
//!
//! A file begins with the items and the steps of a program. Each case has a title (`= …`), the input (`< …`, with the escapes
//! `\n`, `\r`, `\t`, `\0`, `\\` and `\xNN`), and what becomes of it (`> …`): the event's fields as JSON, or `rejected:` and the
//! reason; for a file the bodies of its events. With `ODD_INPUTS=write` the test writes what becomes of them now.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::agents::{lines, run, run_until_idle};

/// A file of cases.
struct Corpus {
    /// What stands before the first case: comments, items, and the steps behind `steps:`.
    head: String,
    cases: Vec<Case>,
}

#[derive(Debug, PartialEq, Eq)]
struct Case {
    title: String,
    /// The input with its escapes.
    input: String,
    expected: String,
}

impl Corpus {
    fn read(path: &Path) -> Corpus {
        let text = fs::read_to_string(path).unwrap();
        let mut parts = text.split("\n= ");
        let head = parts.next().unwrap().to_owned();
        let cases = parts.map(|part| {
            let (title, rest) = part.split_once('\n').unwrap();
            let of = |sign: &str| {
                let line = rest.lines().find_map(|line| line.strip_prefix(sign)).unwrap_or_default();
                line.strip_prefix(' ').unwrap_or(line).to_owned()
            };
            Case { title: title.to_owned(), input: of("<"), expected: of(">") }
        });
        Corpus { cases: cases.collect(), head }
    }

    fn written(&self) -> String {
        let mut text = self.head.trim_end().to_owned() + "\n";
        for Case { title, input, expected } in &self.cases {
            write!(text, "\n= {title}\n< {input}\n> {expected}\n").unwrap();
        }
        text
    }

    /// The items and the steps of the program.
    fn program(&self) -> (String, String) {
        let lines = self.head.lines().filter(|line| !line.starts_with('#'));
        let (steps, items): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("steps: "));
        (items.join("\n"), steps.concat().replace("steps: ", ""))
    }

    /// Runs the program with all inputs, and returns what becomes of each.
    async fn results(&self) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let rows = self.cases.iter().enumerate().map(|(index, case)| {
            let input = hex::encode(unescaped(&case.input));
            json!({ "number": (index + 1).to_string(), "input": input }).to_string() + "\n"
        });
        fs::write(path("inputs.jsonl"), rows.collect::<String>()).unwrap();
        let (items, steps) = self.program();
        let (inputs, out, odd) = (path("inputs.jsonl"), path("out"), path("odd"));
        run(&format!(
            "{items}\nschema OddInput {{ number: Text, input: Text }}\n\
             let inputs = lookup({inputs:?}, key: \"number\", as: OddInput)\n\
             source made = generate {{ count: {count}, content: numbered {{}} }}\n\
             sink out = files {{ path: {out:?}, format: json {{ headers: [@sequence] }} }}\n\
             sink odd = files {{ path: {odd:?}, format: json }}\n\
             flow main {{\n  made -> let found = inputs[\"{{@sequence}}\"]\n    \
             -> set body = hex_decode(if found is not null then found.input else \"\") else bytes(\"\")\n    \
             -> {steps} -> out\n  rejects -> odd\n}}\n",
            count = self.cases.len(),
        ))
        .await;
        self.collect(&lines(&out), &lines(&odd))
    }

    /// Assigns the lines of events to the cases by their number, with which the body of a rejected event begins as it was made.
    fn collect(&self, passed: &[String], rejected: &[String]) -> Vec<String> {
        let mut results = vec![String::new(); self.cases.len()];
        for line in passed {
            let mut event: Value = serde_json::from_str(line).unwrap();
            let number = event.as_object_mut().unwrap().remove("sequence").unwrap();
            results[number.as_u64().unwrap() as usize - 1] = event.to_string();
        }
        for line in rejected {
            let event: Value = serde_json::from_str(line).unwrap();
            let (body, reason) = (event["body"].as_str().unwrap(), event["reason"].as_str().unwrap());
            let number: String = body.chars().take_while(char::is_ascii_digit).collect();
            let result = &mut results[number.parse::<usize>().unwrap() - 1];
            assert!(result.is_empty(), "{number} passed and was rejected: {result}");
            *result = format!("rejected: {reason}");
        }
        results
    }
}

/// Returns the bytes of a text with escapes.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b'r') => bytes.push(b'\r'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'0') => bytes.push(0),
            Some(b'\\') => bytes.push(b'\\'),
            Some(b'x') => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                bytes.extend(hex::decode(digits).unwrap_or_else(|error| panic!("{text}: {error}")));
            }
            other => panic!("{text}: an escape {other:?}"),
        }
    }
    bytes
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/odd_inputs")
}

/// Compares what became of the cases with what the corpus says, or writes it there.
fn check(file: &Path, mut corpus: Corpus, results: Vec<String>) -> Vec<String> {
    let mut differences = Vec::new();
    for (case, result) in corpus.cases.iter_mut().zip(results) {
        if case.expected != result {
            let name = file.file_name().unwrap().display();
            differences.push(format!("{name}: {}: {result}\n  instead of {}", case.title, case.expected));
            case.expected = result;
        }
    }
    if std::env::var_os("ODD_INPUTS").is_some_and(|value| value == "write") {
        fs::write(file, corpus.written()).unwrap();
        return Vec::new();
    }
    differences
}

#[tokio::test]
async fn odd_inputs_become_what_the_corpus_says() {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder().join("bodies")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut count, mut differences) = (0, Vec::new());
    for file in files {
        let corpus = Corpus::read(&file);
        count += corpus.cases.len();
        let results = corpus.results().await;
        differences.extend(check(&file, corpus, results));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(count >= 300, "{count} cases");
}

/// The files of the corpus are read in one run. A file that is delivered is renamed.
#[tokio::test(flavor = "multi_thread")]
async fn odd_files_become_what_the_corpus_says() {
    let directory = tempfile::tempdir().unwrap();
    let corpus = Corpus::read(&folder().join("files.txt"));
    let path = |number: usize| directory.path().join(format!("{number}.log"));
    for (number, case) in corpus.cases.iter().enumerate() {
        fs::write(path(number), unescaped(&case.input)).unwrap();
    }
    let (paths, out) = (directory.path().join("*.log"), directory.path().join("out"));
    run_until_idle(&format!(
        "source files = files {{ paths: [{paths:?}], mode: complete {{ after: rename {{}} }}, decompress: true }}\n\
         sink out = files {{ path: {out:?}, format: json {{ headers: [@file, @offset] }} }}\nflow main {{ files -> out }}\n"
    ))
    .await;
    let mut found: Vec<Vec<(u64, Value)>> = vec![Vec::new(); corpus.cases.len()];
    for line in lines(&out) {
        let event: Value = serde_json::from_str(&line).unwrap();
        let name = Path::new(event["file"].as_str().unwrap()).file_stem().unwrap().to_str().unwrap();
        found[name.parse::<usize>().unwrap()]
            .push((event["offset"].as_u64().unwrap(), event["body"].clone()));
    }
    let result = |(number, mut lines): (usize, Vec<(u64, Value)>)| {
        lines.sort_by_key(|(offset, _)| *offset);
        let bodies: Value = lines.into_iter().map(|(_, body)| body).collect();
        let left = if path(number).exists() { "left where it is, " } else { "" };
        format!("{left}{bodies}")
    };
    let results = found.into_iter().enumerate().map(result).collect();
    let differences = check(&folder().join("files.txt"), corpus, results);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
