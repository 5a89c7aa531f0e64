//! Tests of programs that run, each in a thread of its own, so that the server answers other requests meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use lsp_server::{ErrorCode, RequestId, Response};
use serde_json::json;

use crate::disk::{RanTests, RequestedTest, RunTest};
use crate::dispatch::Failure;
use crate::programs::hash_of;

/// The most tests that run at the same time.
const RUNNING_MAX: usize = 4;

/// A test that has ended, or all tests of a program.
#[derive(Debug)]
pub(crate) struct EndedTest {
    id: RequestId,
    title: String,
    /// The name of the program.
    pub(crate) entry: String,
    /// The files of the program, each with the hash of its text.
    pub(crate) reads: BTreeMap<String, Option<u64>>,
    pub(crate) ran: RanTests,
}

/// The tests that run.
pub(crate) struct RunningTests {
    /// Whoever wants no result sets the flag.
    cancelled: HashMap<RequestId, Arc<AtomicBool>>,
    ended: Sender<EndedTest>,
    /// The tests that have ended and are not answered.
    pub(crate) results: Receiver<EndedTest>,
}

impl Default for RunningTests {
    fn default() -> RunningTests {
        let (ended, results) = unbounded();
        RunningTests { cancelled: HashMap::new(), ended, results }
    }
}

impl RunningTests {
    /// Starts a test.
    ///
    /// # Errors
    /// When too many tests run, or the system can't start a thread.
    pub(crate) fn start(&mut self, id: &RequestId, test: RequestedTest, run: RunTest) -> Result<(), Failure> {
        if self.cancelled.len() >= RUNNING_MAX {
            return Err(Failure::refused(format!("{RUNNING_MAX} tests run already")));
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        self.cancelled.insert(id.clone(), cancelled.clone());
        let (ended, id_of_thread) = (self.ended.clone(), id.clone());
        let thread = std::thread::Builder::new().name("weir-test".to_owned());
        let spawned = thread.spawn(move || {
            let ran = run(&test, &cancelled);
            let reads = test.texts.iter().map(|(name, text)| (name.clone(), Some(hash_of(text.as_str()))));
            let (reads, entry) = (reads.collect(), test.entry);
            let title = test.title.unwrap_or_else(|| "all tests".to_owned());
            // The server may have ended.
            drop(ended.send(EndedTest { id: id_of_thread, title, entry, reads, ran }));
        });
        if let Err(error) = spawned {
            self.cancelled.remove(id);
            return Err(Failure::refused(format!("a thread for the test can't be started: {error}")));
        }
        Ok(())
    }

    /// Ends the test of a request, if one runs. Its answer says that it was cancelled.
    pub(crate) fn cancel(&self, id: &RequestId) {
        if let Some(cancelled) = self.cancelled.get(id) {
            cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the answer to the request of a test that has ended.
    pub(crate) fn answer(&mut self, test: EndedTest) -> Response {
        let EndedTest { id, title, ran: RanTests { text, .. }, .. } = test;
        let cancelled = self.cancelled.remove(&id);
        if cancelled.is_some_and(|cancelled| cancelled.load(Ordering::Relaxed)) {
            let message = "the client has cancelled the request".to_owned();
            return Failure { code: ErrorCode::RequestCanceled, message }.response(id);
        }
        Response::new_ok(id, json!({ "title": title, "language": "text", "text": text }))
    }
}

impl Drop for RunningTests {
    fn drop(&mut self) {
        self.cancelled.values().for_each(|cancelled| cancelled.store(true, Ordering::Relaxed));
    }
}
