//! The loop of the server: reads messages, answers requests, and checks programs while no message waits.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use gen_lsp_types::{self as types, Notification as _, Request as _};
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use serde_json::Value;
use weir_compiler::Library;

use crate::disk::Disk;
use crate::dispatch::{Failure, answer, is_about_text};
use crate::initialization::{Beginning, configuration, requests};
use crate::progress::Progress;
use crate::publishing::Published;
use crate::queue::{MESSAGES_MAX, Next, Queue};
use crate::requests::code_lenses::requested_test;
use crate::running::{EndedTest, RunningTests};
use crate::session::Session;
use crate::settings::Settings;
use crate::uris;

/// The most requests whose answers are awaited.
const ASKED_MAX: usize = 100;

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client has shut the server down before it ended the connection.
    Orderly,
    /// The client has ended the connection without a shutdown.
    Abruptly,
}

/// The error for a client that does not begin as the protocol says.
#[derive(Debug)]
pub struct ServeError {
    message: String,
}

impl std::fmt::Display for ServeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ServeError {}

/// Serves one client until it ends the connection. `environment` has the environment variables that give values to params.
///
/// # Errors
/// Returns an error if the client's first request does not initialize the connection.
pub fn serve(
    connection: &Connection,
    library: Library,
    disk: &dyn Disk,
    environment: BTreeMap<String, String>,
) -> Result<Ended, ServeError> {
    let (id, params) =
        connection.initialize_start().map_err(|error| ServeError { message: error.to_string() })?;
    let beginning = Beginning::read(params);
    let result = beginning.result();
    let mut session = Session::new(beginning.client, library, disk, environment);
    session.set(beginning.settings.clone());
    let mut server = Server {
        connection,
        session,
        initial: beginning.settings,
        roots: beginning.roots,
        queue: Queue::default(),
        asked: HashMap::new(),
        next_id: 0,
        published: Published::default(),
        progress: Progress::default(),
        tests: RunningTests::default(),
        is_shut_down: false,
    };
    server.send(Response::new_ok(id, result));
    Ok(server.run())
}

struct Server<'s> {
    connection: &'s Connection,
    session: Session<'s>,
    /// The settings that the client has initialized the connection with.
    initial: Settings,
    /// The folders whose programs have not been looked for.
    roots: Vec<String>,
    queue: Queue,
    /// The requests that the client has not answered, with their methods.
    asked: HashMap<RequestId, &'static str>,
    next_id: i32,
    published: Published,
    progress: Progress,
    tests: RunningTests,
    is_shut_down: bool,
}

impl Server<'_> {
    fn run(&mut self) -> Ended {
        loop {
            if !self.receive() {
                return Ended::Abruptly;
            }
            match self.queue.pop() {
                Some(Next::Message(Message::Notification(sent)))
                    if sent.method == types::ExitNotification::METHOD.as_str() =>
                {
                    return if self.is_shut_down { Ended::Orderly } else { Ended::Abruptly };
                }
                Some(Next::Message(message)) => self.handle(message),
                Some(Next::Cancelled(id)) => {
                    let message = "the client has cancelled the request".to_owned();
                    self.send(Failure { code: ErrorCode::RequestCanceled, message }.response(id));
                }
                None => self.check_next(),
            }
            self.publish();
        }
    }

    /// Moves the arrived messages to the queue. Waits for one if there is nothing else to do. Returns whether the
    /// connection is open or messages are left.
    fn receive(&mut self) -> bool {
        let is_idle = self.queue.is_empty() && self.session.programs.stale_count() == 0;
        if is_idle {
            crossbeam_channel::select! {
                recv(self.connection.receiver) -> message => match message {
                    Ok(message) => self.arrived(message),
                    Err(_) => return false,
                },
                recv(self.tests.results) -> ended => {
                    if let Ok(ended) = ended {
                        self.answer_test(ended);
                    }
                }
            }
        }
        while let Ok(ended) = self.tests.results.try_recv() {
            self.answer_test(ended);
        }
        while self.queue.len() < MESSAGES_MAX {
            match self.connection.receiver.try_recv() {
                Ok(message) => self.arrived(message),
                Err(error) => return !error.is_disconnected() || !self.queue.is_empty(),
            }
        }
        true
    }

    /// Puts a message into the queue. A cancelled test ends at once.
    fn arrived(&mut self, message: Message) {
        if let Message::Notification(sent) = &message
            && sent.method == types::CancelNotification::METHOD.as_str()
            && let Some(id) = sent.params.get("id")
            && let Ok(id) = serde_json::from_value(id.clone())
        {
            self.tests.cancel(&id);
        }
        self.queue.push(message);
    }

    /// Answers the request of tests that have ended, and shows what they have not reached.
    fn answer_test(&mut self, mut ended: EndedTest) {
        if let Some(missed) = ended.ran.missed.take()
            && self.session.note_missed(&ended.entry, &ended.reads, &missed)
        {
            self.ask_to_refresh();
            self.publish();
        }
        let response = self.tests.answer(ended);
        self.send(response);
    }

    /// Checks the next program and tells the client what has changed.
    fn check_next(&mut self) {
        let Some(entry) = self.session.programs.next_stale(&self.session.documents) else { return };
        self.refresh(&entry);
        let left = self.session.programs.stale_count();
        if let Some(message) = self.progress.advance(left) {
            self.send(message);
        }
    }

    /// Checks a program. A failure of the compiler leaves the program without an analysis.
    fn refresh(&mut self, entry: &str) {
        let session = &mut self.session;
        if catch_unwind(AssertUnwindSafe(|| session.refresh(entry))).is_err() {
            self.session.checked(entry, Default::default());
        }
    }

    /// Sends the diagnostics that have changed, whichever message or check has changed them.
    fn publish(&mut self) {
        let files = self.session.take_unpublished();
        if self.session.client.pulls_diagnostics {
            return;
        }
        for file in files {
            if let Some((uri, version, diagnostics)) = self.published.news(&self.session, &file) {
                let params = types::PublishDiagnosticsParams { uri: uri.into(), version, diagnostics };
                self.notify::<types::PublishDiagnosticsNotification>(params);
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Request(request) => self.request(request),
            Message::Notification(sent) => self.notification(sent),
            Message::Response(response) => self.response(response),
        }
    }

    fn request(&mut self, request: Request) {
        let id = request.id.clone();
        if self.is_shut_down {
            let message = "the server is shut down".to_owned();
            return self.send(Failure { code: ErrorCode::InvalidRequest, message }.response(id));
        }
        if request.method == types::ShutdownRequest::METHOD.as_str() {
            self.is_shut_down = true;
            return self.send(Response::new_ok(id, Value::Null));
        }
        if self.queue.has_changes() && is_about_text(&request.method) {
            let message = "the text has changed since the request".to_owned();
            return self.send(Failure { code: ErrorCode::ContentModified, message }.response(id));
        }
        if request.method == types::ExecuteCommandRequest::METHOD.as_str()
            && let Some(requested) = requested_test(&mut self.session, &request.params)
        {
            let started = requested.and_then(|(test, run)| self.tests.start(&id, test, run));
            if let Err(failure) = started {
                self.send(failure.response(id));
            }
            return;
        }
        let response = answer(&mut self.session, request);
        self.send(response);
    }

    fn response(&mut self, response: Response) {
        let Some(method) = self.asked.remove(&response.id) else { return };
        let Ok(result) = response.response_result else { return };
        if method == types::ConfigurationRequest::METHOD.as_str()
            && let Some(settings) = result.get(0)
        {
            // A client without the section answers with null.
            let settings = match settings {
                Value::Null => self.initial.clone(),
                settings => Settings::read(settings),
            };
            self.set(&settings);
        }
        if method == types::WorkDoneProgressCreateRequest::METHOD.as_str() {
            let left = self.session.programs.stale_count();
            if let Some(message) = self.progress.begin(left) {
                self.send(message);
            }
        }
    }

    fn set(&mut self, settings: &Settings) {
        if self.session.set(settings.clone()) {
            self.ask_to_refresh();
        }
    }

    /// Asks the client to ask again for what depends on files that it has not changed itself.
    fn ask_to_refresh(&mut self) {
        let client = &self.session.client;
        let methods = [
            (
                client.pulls_diagnostics && client.refreshes_diagnostics,
                types::DiagnosticRefreshRequest::METHOD,
            ),
            (client.refreshes_tokens, types::SemanticTokensRefreshRequest::METHOD),
            (client.refreshes_hints, types::InlayHintRefreshRequest::METHOD),
            (client.refreshes_lenses, types::CodeLensRefreshRequest::METHOD),
        ];
        for (is_wanted, method) in methods {
            if is_wanted {
                self.ask(method.as_str(), Value::Null);
            }
        }
    }

    /// Asks the client to ask again for what depends on a document whose text has become another one, if other programs read
    /// it.
    fn ask_readers_to_refresh(&mut self, name: &str) {
        if self.session.programs.readers(name).iter().any(|entry| entry != name) {
            self.ask_to_refresh();
        }
    }

    fn notification(&mut self, sent: Notification) {
        let Notification { method, params } = sent;
        let method = method.as_str();
        if method == types::InitializedNotification::METHOD.as_str() {
            self.initialized();
        } else if let Some(params) = read::<types::DidOpenTextDocumentNotification>(method, &params) {
            self.open(params);
        } else if let Some(params) = read_change(method, &params) {
            self.change(params);
        } else if let Some(params) = read::<types::DidCloseTextDocumentNotification>(method, &params) {
            self.close(params.text_document.uri.as_ref());
        } else if let Some(params) = read::<types::DidChangeWatchedFilesNotification>(method, &params) {
            self.watched(params);
        } else if let Some(params) = read::<types::DidChangeWorkspaceFoldersNotification>(method, &params) {
            self.folders(params);
        } else if let Some(params) = read::<types::DidChangeConfigurationNotification>(method, &params) {
            // Clients that answer requests for settings send no settings with the notification.
            match self.session.client.has_settings {
                true => self.ask(types::ConfigurationRequest::METHOD.as_str(), configuration()),
                false => self.set(&Settings::read(&params.settings)),
            }
        }
    }

    fn initialized(&mut self) {
        for (method, params) in requests(&self.session.client) {
            self.ask(method, params);
        }
        for root in std::mem::take(&mut self.roots) {
            self.session.add_root(root);
        }
        let count = self.session.programs.stale_count();
        if self.session.client.shows_progress
            && let Some(params) = self.progress.create(count)
        {
            self.ask(types::WorkDoneProgressCreateRequest::METHOD.as_str(), params);
        }
    }

    fn open(&mut self, params: types::DidOpenTextDocumentParams) {
        let types::TextDocumentItem { uri, version, text, .. } = params.text_document;
        if self.session.library_documents.name(uri.as_ref()).is_some() {
            return;
        }
        let name = uris::name(uri.as_ref());
        self.session.documents.open(name.clone(), uri.to_string(), version, text);
        self.session.programs.add(&name);
        self.session.programs.changed(&name);
        self.ask_readers_to_refresh(&name);
    }

    fn change(&mut self, params: types::DidChangeTextDocumentParams) {
        let name = uris::name(params.text_document.text_document_identifier.uri.as_ref());
        let (version, encoding) = (params.text_document.version, self.session.client.encoding);
        if self.session.documents.change(&name, version, params.content_changes, encoding) {
            self.session.programs.changed(&name);
        }
    }

    fn close(&mut self, uri: &str) {
        let name = uris::name(uri);
        if !self.session.documents.close(&name) {
            return;
        }
        self.session.forget(&name);
        // From now on, the text of the file on the disk counts.
        self.session.programs.changed(&name);
        if !self.session.is_wanted(&name) {
            self.session.remove_program(&name);
        }
        self.ask_readers_to_refresh(&name);
    }

    fn watched(&mut self, params: types::DidChangeWatchedFilesParams) {
        for change in params.changes {
            let name = uris::name(change.uri.as_ref());
            self.session.changed_on_disk(&name, change.kind == types::FileChangeType::Deleted);
        }
        self.ask_to_refresh();
    }

    fn folders(&mut self, params: types::DidChangeWorkspaceFoldersParams) {
        for folder in params.event.removed {
            self.session.remove_root(&uris::name(folder.uri.as_ref()));
        }
        for folder in params.event.added {
            self.session.add_root(uris::name(folder.uri.as_ref()));
        }
    }

    fn ask(&mut self, method: &'static str, params: Value) {
        self.next_id += 1;
        let id = RequestId::from(self.next_id);
        // The answers to other requests are not used, and a client may never send them.
        let is_used = [types::ConfigurationRequest::METHOD, types::WorkDoneProgressCreateRequest::METHOD]
            .iter()
            .any(|used| used.as_str() == method);
        if is_used && self.asked.len() < ASKED_MAX {
            self.asked.insert(id.clone(), method);
        }
        self.send(Request { id, method: method.to_owned(), params });
    }

    fn notify<N: types::Notification>(&self, params: N::Params) {
        let params = serde_json::to_value(params).unwrap_or_default();
        self.send(Notification { method: N::METHOD.as_str().to_owned(), params });
    }

    /// Sends a message. A client that has ended the connection gets none: the next reading ends the loop.
    fn send(&self, message: impl Into<Message>) {
        let _closed = self.connection.sender.send(message.into());
    }
}

/// Returns the parameters of a change of a document. A change without a version counts: without it, all later answers would be
/// about another text.
fn read_change(method: &str, params: &Value) -> Option<types::DidChangeTextDocumentParams> {
    type Change = types::DidChangeTextDocumentNotification;
    read::<Change>(method, params).or_else(|| {
        let mut params = params.clone();
        let document = params.get_mut("textDocument")?.as_object_mut()?;
        if document.get("version").is_some_and(|version| !version.is_null()) {
            return None;
        }
        document.insert("version".to_owned(), Value::from(0));
        read::<Change>(method, &params)
    })
}

/// Returns the parameters of a notification of this kind. Malformed notifications are ignored, as the protocol says.
fn read<N: types::Notification>(method: &str, params: &Value) -> Option<N::Params> {
    if method != N::METHOD.as_str() {
        return None;
    }
    serde_json::from_value(params.clone()).ok()
}
