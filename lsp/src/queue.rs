//! The messages of the client that wait to be handled.

use std::collections::{HashMap, HashSet, VecDeque};

use gen_lsp_types::{CancelNotification, DidChangeTextDocumentNotification, Notification as _};
use lsp_server::{Message, RequestId};

/// The most messages that are read before the first of them is handled.
pub(crate) const MESSAGES_MAX: usize = 1_000;

/// Waiting messages in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: VecDeque<Message>,
    /// The waiting requests, each with the number of its messages.
    requests: HashMap<RequestId, usize>,
    /// The waiting requests that the client has cancelled.
    cancelled: HashSet<RequestId>,
    /// The number of waiting changes of documents.
    changes: usize,
}

/// The next message.
#[derive(Debug)]
pub(crate) enum Next {
    Message(Message),
    /// A request that the client has cancelled.
    Cancelled(RequestId),
}

impl Queue {
    pub(crate) fn push(&mut self, message: Message) {
        match &message {
            Message::Request(request) => *self.requests.entry(request.id.clone()).or_default() += 1,
            Message::Notification(sent) if sent.method == CancelNotification::METHOD.as_str() => {
                let id = sent.params.get("id").cloned().and_then(|id| serde_json::from_value(id).ok());
                self.cancelled.extend(id.filter(|id| self.requests.contains_key(id)));
                return;
            }
            Message::Notification(sent) if is_change(&sent.method) => self.changes += 1,
            _ => {}
        }
        self.messages.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<Next> {
        let message = self.messages.pop_front()?;
        match &message {
            Message::Request(request) => {
                let id = request.id.clone();
                if let Some(count) = self.requests.get_mut(&id) {
                    *count -= 1;
                    if *count == 0 {
                        self.requests.remove(&id);
                    }
                }
                if self.cancelled.remove(&id) {
                    return Some(Next::Cancelled(id));
                }
            }
            Message::Notification(sent) if is_change(&sent.method) => self.changes -= 1,
            _ => {}
        }
        Some(Next::Message(message))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns whether a waiting message changes a document, so that an answer about the text would be stale.
    pub(crate) fn has_changes(&self) -> bool {
        self.changes > 0
    }
}

fn is_change(method: &str) -> bool {
    method == DidChangeTextDocumentNotification::METHOD.as_str()
}
