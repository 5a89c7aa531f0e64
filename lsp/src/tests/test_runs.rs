//! Tests of programs that run while the server answers other requests.

use serde_json::json;

use super::client::{Client, MemoryDisk, uri};

const NAME: &str = "/code/tested.flow";
const PROGRAM: &str = "source a = generate {}\nsink b = stdout {}\nflow c { a -> b }\n";
/// The error code of a cancelled request.
const CANCELLED: i32 = -32800;

fn started() -> Client {
    let mut client = Client::start(MemoryDisk { runs_tests: true, ..MemoryDisk::default() });
    client.open(NAME, PROGRAM);
    client
}

fn command(title: &str) -> serde_json::Value {
    json!({ "command": "weir.runTest", "arguments": [uri(NAME), title] })
}

#[test]
fn a_test_that_runs_holds_up_no_other_request() {
    let mut client = started();
    let endless = client.ask("workspace/executeCommand", command("endless"));
    let lenses = json!({ "textDocument": { "uri": uri(NAME) } });
    assert!(client.request("textDocument/codeLens", lenses).is_ok());
    let other = client.request("workspace/executeCommand", command("short")).unwrap();
    assert_eq!(other, json!({ "title": "short", "language": "text", "text": "short: ok" }));
    client.notify("$/cancelRequest", json!({ "id": endless }));
    assert_eq!(client.response(&endless), Err(CANCELLED));
}

#[test]
fn more_tests_than_may_run_are_refused() {
    let mut client = started();
    let running: Vec<_> =
        (0..4).map(|_| client.ask("workspace/executeCommand", command("endless"))).collect();
    assert!(client.request("workspace/executeCommand", command("short")).is_err());
    for id in &running {
        client.notify("$/cancelRequest", json!({ "id": id }));
        assert_eq!(client.response(id), Err(CANCELLED));
    }
    assert!(client.request("workspace/executeCommand", command("short")).is_ok());
}

#[test]
fn the_end_of_the_connection_ends_a_test() {
    let mut client = started();
    client.ask("workspace/executeCommand", command("endless"));
    assert_eq!(client.end(), crate::Ended::Orderly);
}
