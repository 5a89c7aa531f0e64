//! How long the language server takes: from an edit to the diagnostics, for completions, and for a workspace.
//!
//! `cargo run --release -p weir-lsp --example measure_editing` talks to a server in another thread, as an editor does.
//! `benches/RESULTS.md` has the figures.

// An example's output is its purpose; a panic ends it.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../../compiler/tests/language/generated.rs"]
#[allow(dead_code)]
mod generated;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use lsp_server::{Message, Notification, Request, RequestId};
use serde_json::{Value, json};
use weir_compiler::{Library, SourceFiles};
use weir_lsp::{Connection, Disk, serve};

const EDITS: usize = 500;
const EDITS_OF_MEMORY: usize = 10_000;

fn main() {
    let library = library();
    let begun = Instant::now();
    let texts = library.clone();
    let parsed = Library::parse(texts).unwrap();
    println!("the library is parsed in {:.1} ms", milliseconds(begun.elapsed()));
    first_diagnostics(&library);
    editing(parsed.clone());
    workspace(parsed.clone());
    memory(parsed);
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Returns the texts of the library.
fn library() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib/src");
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "flow"));
    files
        .map(|entry| {
            let name = format!("library/{}", entry.file_name().to_string_lossy());
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

/// Files in memory.
#[derive(Default)]
struct Files(BTreeMap<String, String>);

impl SourceFiles for Files {
    fn read(&self, name: &str) -> Result<String, String> {
        self.0.get(name).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

impl Disk for Files {
    fn programs(&self, _: &str, most: usize) -> Vec<String> {
        self.0.keys().take(most).cloned().collect()
    }

    fn entries(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn materialize(&self, _: &[(&str, &str)]) -> Option<String> {
        None
    }
}

/// The client's end of a connection.
struct Client {
    connection: Connection,
    next_id: i32,
    version: i32,
}

impl Client {
    /// Starts a server in another thread.
    fn start(library: impl FnOnce() -> Library + Send + 'static, files: Files) -> Client {
        let (own, other) = Connection::memory();
        std::thread::spawn(move || serve(&other, library(), &files, BTreeMap::new()));
        let mut client = Client { connection: own, next_id: 0, version: 1 };
        let folders = json!([{ "uri": "file:///code", "name": "work" }]);
        let params =
            json!({ "processId": null, "rootUri": null, "capabilities": {}, "workspaceFolders": folders });
        client.request("initialize", params);
        client.notify("initialized", json!({}));
        client
    }

    fn notify(&self, method: &str, params: Value) {
        self.connection.sender.send(Notification { method: method.to_owned(), params }.into()).unwrap();
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = RequestId::from(self.next_id);
        let request = Request { id: id.clone(), method: method.to_owned(), params };
        self.connection.sender.send(request.into()).unwrap();
        loop {
            if let Message::Response(response) = self.connection.receiver.recv().unwrap()
                && response.id == id
            {
                return response.response_result.unwrap();
            }
        }
    }

    fn open(&self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "weir", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
        self.diagnostics(uri);
    }

    /// Inserts a text, and returns the time until the diagnostics arrive.
    fn edit(&mut self, uri: &str, line: usize, text: &str, end: usize) -> Duration {
        self.version += 1;
        let range =
            json!({ "start": { "line": line, "character": 0 }, "end": { "line": line, "character": end } });
        let document = json!({ "uri": uri, "version": self.version });
        let changes = json!([{ "range": range, "text": text }]);
        let begun = Instant::now();
        self.notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
        self.diagnostics(uri);
        begun.elapsed()
    }

    /// Waits for the diagnostics of a document.
    fn diagnostics(&self, uri: &str) {
        loop {
            if let Message::Notification(sent) = self.connection.receiver.recv().unwrap()
                && sent.method == "textDocument/publishDiagnostics"
                && sent.params["uri"] == uri
            {
                return;
            }
        }
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| milliseconds(times[((times.len() - 1) as f64 * share) as usize]);
    println!("{what}: median {:.1} ms, p99 {:.1} ms, {} times", at(0.5), at(0.99), times.len());
}

fn first_diagnostics(texts: &[(String, String)]) {
    let times = (0..20).map(|_| {
        let texts = texts.to_vec();
        let begun = Instant::now();
        let client = Client::start(move || Library::parse(texts).unwrap(), Files::default());
        client.open("file:///code/a.flow", &generated::program(1_000));
        begun.elapsed()
    });
    report("from the start to the first diagnostics", times.collect());
}

fn editing(library: Library) {
    let text = generated::program(1_000);
    let lines = text.lines().count();
    let mut client = Client::start(move || library, Files::default());
    let uri = "file:///code/a.flow";
    client.open(uri, &text);
    let mut random = fastrand::Rng::with_seed(3);
    let mut times = Vec::new();
    let mut completions = Vec::new();
    for _ in 0..EDITS {
        let line = random.usize(0..lines);
        times.push(client.edit(uri, line, "x", 0));
        let position = json!({ "line": line, "character": 1 });
        let params = json!({ "textDocument": { "uri": uri }, "position": position });
        let begun = Instant::now();
        client.request("textDocument/completion", params);
        completions.push(begun.elapsed());
        times.push(client.edit(uri, line, "", 1));
    }
    report(&format!("from an edit to the diagnostics, {lines} lines"), times);
    report("completion", completions);
}

fn workspace(library: Library) {
    let names: Vec<String> = (0..50).map(|index| format!("/code/{index}.flow")).collect();
    let text = generated::program(500);
    let files = Files(names.iter().map(|name| (name.clone(), text.clone())).collect());
    let begun = Instant::now();
    let mut client = Client::start(move || library, files);
    client.request("workspace/symbol", json!({ "query": "no such name" }));
    println!("all 50 programs of {} lines: {:.0} ms", text.lines().count(), milliseconds(begun.elapsed()));
    let uri = "file:///code/7.flow";
    client.open(uri, &text);
    let times = (0..200).map(|_| {
        client.edit(uri, 3, "x", 0);
        client.edit(uri, 3, "", 1)
    });
    report("from an edit to the diagnostics, in this workspace", times.collect());
}

fn memory(library: Library) {
    let text = generated::program(1_000);
    let mut client = Client::start(move || library, Files::default());
    let uri = "file:///code/a.flow";
    client.open(uri, &text);
    let mut sizes = Vec::new();
    for edit in 0..=EDITS_OF_MEMORY {
        if edit % 1_000 == 0 {
            sizes.push(resident_mebibytes());
        }
        let (new, end) = if edit % 2 == 0 { ("x", 0) } else { ("", 1) };
        client.edit(uri, edit / 2 % 900, new, end);
    }
    println!("resident MiB, after each 1,000 edits: {sizes:?}");
}

/// Returns the resident memory of this process, from `/proc/self/status`.
fn resident_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1_024
}
