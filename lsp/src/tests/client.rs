//! A client that talks to a server in another thread, and the files that both know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use lsp_server::{Connection, Message, Notification, Request, RequestId, Response};
use serde_json::{Value, json};
use weir_compiler::{Library, SourceFiles};

use crate::{Disk, Ended, MissedPart, RanTests, RunTest, serve};

/// The longest time for which a test waits for a message: only a server that hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the `.flow` files below a folder of the repository, sorted.
pub(crate) fn flow_files(folder: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(root().join(folder)).sort_by_file_name().into_iter();
    let paths = entries.map(|entry| entry.unwrap().into_path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "flow")).collect()
}

/// Returns the library's text.
pub(crate) fn library() -> Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    let read = || {
        let files = flow_files("stdlib/src");
        let texts = files.iter().map(|path| {
            let name = format!("library/{}", path.file_name().unwrap().to_string_lossy());
            (name, std::fs::read_to_string(path).unwrap())
        });
        Library::parse(texts).unwrap()
    };
    LIBRARY.get_or_init(read).clone()
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryDisk {
    pub(crate) files: Arc<Mutex<BTreeMap<String, String>>>,
    /// The names of the files that were read, in order.
    pub(crate) reads: Arc<Mutex<Vec<String>>>,
    /// Whether the library can be written.
    pub(crate) writable: bool,
    /// Whether tests can be run: one with the title "endless" ends only when it is cancelled.
    pub(crate) runs_tests: bool,
}

impl MemoryDisk {
    pub(crate) fn with(files: &[(&str, &str)]) -> MemoryDisk {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        MemoryDisk { files: Arc::new(Mutex::new(files.collect())), ..MemoryDisk::default() }
    }
}

impl SourceFiles for MemoryDisk {
    fn read(&self, name: &str) -> Result<String, String> {
        self.reads.lock().unwrap().push(name.to_owned());
        self.files.lock().unwrap().get(name).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

impl Disk for MemoryDisk {
    fn programs(&self, folder: &str, most: usize) -> Vec<String> {
        let files = self.files.lock().unwrap();
        files.keys().filter(|name| name.starts_with(folder)).take(most).cloned().collect()
    }

    fn entries(&self, folder: &str) -> Vec<String> {
        let files = self.files.lock().unwrap();
        let inside = files.keys().filter_map(|name| name.strip_prefix(folder)?.strip_prefix('/'));
        let mut names: Vec<String> = inside
            .map(|name| match name.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => name.to_owned(),
            })
            .collect();
        names.dedup();
        names
    }

    fn materialize(&self, _: &[(&str, &str)]) -> Option<String> {
        self.writable.then(|| "/cache".to_owned())
    }

    fn test_runner(&self) -> Option<RunTest> {
        let run: RunTest = |test, cancelled| {
            let Some(title) = &test.title else {
                let missed = MissedPart { file: test.entry.clone(), bytes: 0..6, what: "nothing came" };
                return RanTests { text: "all".to_owned(), missed: Some(vec![missed]) };
            };
            while title == "endless" && !cancelled.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            RanTests { text: format!("{title}: ok"), missed: None }
        };
        self.runs_tests.then_some(run)
    }
}

/// The client's end of a connection.
pub(crate) struct Client {
    connection: Option<Connection>,
    server: Option<JoinHandle<Ended>>,
    next_id: i32,
    /// The messages that arrived while the client waited for another one.
    pub(crate) received: Vec<Message>,
    /// The answer to the first request.
    pub(crate) initialized: Value,
}

impl Client {
    /// Starts a server with these files, for a client that has all capabilities and counts in UTF-16.
    pub(crate) fn start(disk: MemoryDisk) -> Client {
        Client::start_with(disk, capabilities("utf-16"), json!(null))
    }

    pub(crate) fn start_with(disk: MemoryDisk, capabilities: Value, options: Value) -> Client {
        let mut client = Client::connect(disk);
        let folders = json!([{ "uri": "file:///code", "name": "work" }]);
        let params = json!({
            "processId": null, "rootUri": null, "capabilities": capabilities, "workspaceFolders": folders,
            "initializationOptions": options,
        });
        client.initialized = client.request("initialize", params).unwrap();
        client.notify("initialized", json!({}));
        client
    }

    /// Starts a server without a first request.
    pub(crate) fn connect(disk: MemoryDisk) -> Client {
        let (own, other) = Connection::memory();
        let server = std::thread::spawn(move || {
            let environment = BTreeMap::from([("WEIR_OF_SERVER".to_owned(), "server".to_owned())]);
            serve(&other, library(), &disk, environment).unwrap_or(Ended::Abruptly)
        });
        Client {
            connection: Some(own),
            server: Some(server),
            next_id: 0,
            received: Vec::new(),
            initialized: Value::Null,
        }
    }

    fn connection(&self) -> &Connection {
        self.connection.as_ref().unwrap()
    }

    pub(crate) fn send(&mut self, message: impl Into<Message>) {
        self.connection().sender.send(message.into()).unwrap();
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.send(Notification { method: method.to_owned(), params });
    }

    /// Sends a request, and returns its id.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> RequestId {
        self.next_id += 1;
        let id = RequestId::from(self.next_id);
        self.send(Request { id: id.clone(), method: method.to_owned(), params });
        id
    }

    /// Returns the next message.
    pub(crate) fn receive(&mut self) -> Message {
        self.connection().receiver.recv_timeout(PATIENCE).expect("the server answers")
    }

    /// Returns the response to a request: its result, or the code of its error.
    pub(crate) fn response(&mut self, id: &RequestId) -> Result<Value, i32> {
        loop {
            match self.receive() {
                Message::Response(Response { id: of, response_result }) if of == *id => {
                    return response_result.map_err(|error| error.code);
                }
                other => self.received.push(other),
            }
        }
    }

    /// Sends a request and returns its result, or the code of its error.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Result<Value, i32> {
        let id = self.ask(method, params);
        self.response(&id)
    }

    /// Opens a document.
    pub(crate) fn open(&mut self, name: &str, text: &str) {
        let document = json!({ "uri": uri(name), "languageId": "weir", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    /// Replaces the complete text of a document.
    pub(crate) fn replace(&mut self, name: &str, version: i32, text: &str) {
        let document = json!({ "uri": uri(name), "version": version });
        let changes = json!([{ "text": text }]);
        self.notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
    }

    /// Waits until diagnostics of a file arrive, and returns them.
    pub(crate) fn diagnostics(&mut self, name: &str) -> Vec<Value> {
        loop {
            let message = self.receive();
            if let Message::Notification(sent) = &message
                && sent.method == "textDocument/publishDiagnostics"
                && sent.params["uri"] == uri(name)
            {
                return sent.params["diagnostics"].as_array().unwrap().clone();
            }
            self.received.push(message);
        }
    }

    /// Returns the last diagnostics of a file that arrived while the client waited for answers.
    pub(crate) fn published(&self, name: &str) -> Option<&Value> {
        self.received.iter().rev().find_map(|message| match message {
            Message::Notification(sent)
                if sent.method == "textDocument/publishDiagnostics" && sent.params["uri"] == uri(name) =>
            {
                Some(&sent.params)
            }
            _ => None,
        })
    }

    /// Sends a request about the mark `¦` in a text, which is the text of the document.
    pub(crate) fn at_mark(&mut self, method: &str, name: &str, marked: &str) -> Value {
        let params = json!({ "textDocument": { "uri": uri(name) }, "position": position_of_mark(marked) });
        self.request(method, params).unwrap()
    }

    /// Ends the connection, and returns how it ended.
    pub(crate) fn end(mut self) -> Ended {
        let shut_down = self.request("shutdown", Value::Null);
        assert_eq!(shut_down, Ok(Value::Null));
        self.notify("exit", Value::Null);
        self.server.take().unwrap().join().unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The server ends when the connection is gone.
        self.connection = None;
        if let Some(server) = self.server.take() {
            let _ended = server.join();
        }
    }
}

/// Returns the URI of a file.
pub(crate) fn uri(name: &str) -> String {
    crate::uris::uri(name)
}

/// Returns the position of the mark `¦` in UTF-16.
pub(crate) fn position_of_mark(marked: &str) -> Value {
    let (before, _) = marked.split_once('¦').expect("a mark");
    let line = before.matches('\n').count();
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    json!({ "line": line, "character": before[start..].encode_utf16().count() })
}

/// Returns the capabilities of a client that has everything, except that it gets diagnostics without asking.
pub(crate) fn capabilities(encoding: &str) -> Value {
    let diagnostics = json!({
        "relatedInformation": true, "tagSupport": { "valueSet": [1, 2] }, "codeDescriptionSupport": true,
        "versionSupport": true,
    });
    json!({
        "general": { "positionEncodings": [encoding] },
        "window": { "workDoneProgress": true },
        "workspace": {
            "configuration": false, "didChangeWatchedFiles": { "dynamicRegistration": true },
            "workspaceEdit": { "documentChanges": true }, "textDocumentContent": {},
        },
        "textDocument": {
            "publishDiagnostics": diagnostics,
            "completion": { "completionItem": { "snippetSupport": true } },
            "definition": { "linkSupport": true },
        },
    })
}
