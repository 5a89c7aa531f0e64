//! Messages that no good client sends: each is answered, and the server goes on.

use lsp_server::{ErrorCode, Message, Notification, Request, RequestId};
use serde_json::{Value, json};

use super::client::{Client, MemoryDisk, uri};
use crate::Ended;

#[test]
fn unknown_requests_and_malformed_parameters_are_refused() {
    let mut client = Client::start(MemoryDisk::default());
    assert_eq!(client.request("textDocument/teleport", json!({})), Err(ErrorCode::MethodNotFound as i32));
    for params in
        [json!(null), json!([]), json!({ "textDocument": 5 }), json!({ "textDocument": { "uri": 1 } })]
    {
        assert_eq!(client.request("textDocument/hover", params), Err(ErrorCode::InvalidParams as i32));
    }
    for method in ["textDocument/didChange", "textDocument/didOpen", "exitt", "$/setTrace"] {
        client.notify(method, json!({ "textDocument": null }));
    }
    client.send(lsp_server::Response::new_ok(RequestId::from(99), Value::Null));
    assert_eq!(client.end(), Ended::Orderly);
}

#[test]
fn positions_outside_of_the_text_are_answered() {
    let mut client = Client::start(MemoryDisk::default());
    client.open("/code/a.flow", "let a = 1\n// 🦀");
    for (line, character) in [(0_u32, 4_000_000_000_u32), (4_000_000_000, 0), (1, 4), (1, 5)] {
        let position = json!({ "line": line, "character": character });
        for document in ["/code/a.flow", "/code/closed.flow"] {
            let params = json!({ "textDocument": { "uri": uri(document) }, "position": position });
            client.request("textDocument/hover", params).unwrap();
        }
    }
    let range = json!({ "start": { "line": 9, "character": 9 }, "end": { "line": 0, "character": 0 } });
    let changes = json!([{ "range": range, "text": "let b = 2\n" }]);
    let document = json!({ "uri": uri("/code/a.flow"), "version": 2 });
    client.notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
    assert_eq!(client.end(), Ended::Orderly);
}

#[test]
fn a_cancelled_request_is_answered_as_cancelled() {
    let mut client = Client::start(MemoryDisk::default());
    client.open("/code/a.flow", &"let a = [1, 2, 3]\n".repeat(2_000));
    // The check of the document keeps the server busy, so the messages below wait together.
    let first = client.ask(
        "textDocument/hover",
        json!({ "textDocument": { "uri": uri("/code/a.flow") }, "position": { "line": 0, "character": 4 } }),
    );
    let second = client.ask(
        "textDocument/hover",
        json!({ "textDocument": { "uri": uri("/code/a.flow") }, "position": { "line": 0, "character": 4 } }),
    );
    client.notify("$/cancelRequest", json!({ "id": 3 }));
    client.notify("$/cancelRequest", json!({ "id": "no such request" }));
    client.notify("$/cancelRequest", json!(null));
    client.response(&first).unwrap();
    match client.response(&second) {
        Ok(_) => {}
        Err(code) => assert_eq!(code, ErrorCode::RequestCanceled as i32),
    }
}

#[test]
fn waiting_requests_know_what_follows_them() {
    use crate::queue::{Next, Queue};
    let request = |id: i32| Request { id: RequestId::from(id), method: "a".to_owned(), params: Value::Null };
    let cancel = |id: i32| Notification { method: "$/cancelRequest".to_owned(), params: json!({ "id": id }) };
    let change = || Notification { method: "textDocument/didChange".to_owned(), params: Value::Null };
    let mut queue = Queue::default();
    queue.push(Message::Request(request(1)));
    queue.push(Message::Request(request(2)));
    queue.push(Message::Notification(change()));
    queue.push(Message::Notification(cancel(1)));
    queue.push(Message::Notification(cancel(3)));
    assert!(matches!(queue.pop(), Some(Next::Cancelled(id)) if id == RequestId::from(1)));
    assert!(matches!(queue.pop(), Some(Next::Message(Message::Request(_)))));
    assert!(queue.has_changes(), "the answer to the second request would be stale");
    assert!(matches!(queue.pop(), Some(Next::Message(Message::Notification(_)))));
    assert!(!queue.has_changes() && queue.pop().is_none() && queue.is_empty());
}

#[test]
fn a_connection_may_end_at_any_time() {
    let mut client = Client::start(MemoryDisk::default());
    client.notify("exit", Value::Null);
    let mut client = Client::connect(MemoryDisk::default());
    assert_eq!(client.request("textDocument/hover", json!({})), Err(ErrorCode::ServerNotInitialized as i32));
    // Parameters that can't be read are those of a client without capabilities.
    assert!(client.request("initialize", json!({ "capabilities": 5 })).unwrap()["capabilities"].is_object());
    drop(client);
}

#[test]
fn nothing_but_the_exit_follows_a_shutdown() {
    let mut client = Client::start(MemoryDisk::default());
    client.request("shutdown", Value::Null).unwrap();
    assert_eq!(client.request("textDocument/hover", json!({})), Err(ErrorCode::InvalidRequest as i32));
}
