//! Tests of programs that run while the server answers other requests.

use serde_json::json;

use super::client::{Client, MemoryDisk, capabilities, uri};

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

fn run_all(client: &mut Client) {
    let all = json!({ "command": "weir.runTests", "arguments": [uri(NAME)] });
    let answer = client.request("workspace/executeCommand", all).unwrap();
    assert_eq!(answer, json!({ "title": "all tests", "language": "text", "text": "all" }));
}

#[test]
fn what_the_tests_have_not_reached_is_marked_until_the_text_changes() {
    let mut client = started();
    assert_eq!(client.diagnostics(NAME), [json!(null); 0]);
    run_all(&mut client);
    let marks = client.published(NAME).unwrap()["diagnostics"].clone();
    let [mark] = marks.as_array().unwrap().as_slice() else { panic!("{marks}") };
    let range = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 6 } });
    assert_eq!((&mark["range"], &mark["severity"], &mark["tags"]), (&range, &json!(4), &json!([1])));
    assert_eq!(mark["message"], "nothing came in the tests of the program");
    // A file that is saved with the same text keeps its marks.
    let saved = json!({ "changes": [{ "uri": uri(NAME), "type": 2 }] });
    client.notify("workspace/didChangeWatchedFiles", saved);
    client.replace(NAME, 2, PROGRAM);
    assert_eq!(client.diagnostics(NAME).len(), 1);
    client.replace(NAME, 3, &format!("\n{PROGRAM}"));
    assert_eq!(client.diagnostics(NAME), [json!(null); 0]);
}

#[test]
fn a_setting_turns_the_marks_off() {
    let disk = MemoryDisk { runs_tests: true, ..MemoryDisk::default() };
    let options = json!({ "coverage": false });
    let mut client = Client::start_with(disk, capabilities("utf-16"), options);
    client.open(NAME, PROGRAM);
    client.diagnostics(NAME);
    run_all(&mut client);
    client.replace(NAME, 2, PROGRAM);
    assert_eq!(client.diagnostics(NAME), [json!(null); 0]);
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
