//! Diagnostics: pushed and asked for, across imports and roots.

use serde_json::{Value, json};

use super::client::{Client, MemoryDisk, capabilities, uri};

const WRONG: &str =
    "source in = files { paths: [\"*.log\"], topik: 1 }\nsink out = stdout {}\nflow main { in -> out }\n";

const RIGHT: &str =
    "source in = files { paths: [\"*.log\"] }\nsink out = stdout {}\nflow main { in -> out }\n";

fn codes(diagnostics: &[Value]) -> Vec<&str> {
    diagnostics.iter().map(|diagnostic| diagnostic["code"].as_str().unwrap()).collect()
}

#[test]
fn an_open_document_gets_its_diagnostics() {
    let mut client = Client::start(MemoryDisk::default());
    client.open("/code/a.flow", WRONG);
    let diagnostics = client.diagnostics("/code/a.flow");
    assert_eq!(codes(&diagnostics), ["E0203"]);
    let diagnostic = &diagnostics[0];
    assert_eq!(diagnostic["severity"], 1);
    let range = json!({ "start": { "line": 0, "character": 38 }, "end": { "line": 0, "character": 43 } });
    assert_eq!(diagnostic["range"], range);
    let page = diagnostic["codeDescription"]["href"].as_str().unwrap();
    assert!(page.ends_with("docs/diagnostics/E0203.md"));
    client.replace("/code/a.flow", 2, RIGHT);
    assert_eq!(codes(&client.diagnostics("/code/a.flow")), [""; 0]);
    assert_eq!(client.end(), crate::Ended::Orderly);
}

/// Whatever checks a program, a request or the time in between: the client gets what has changed.
#[test]
fn a_check_for_a_request_is_published_too() {
    let importing = "import \"shared.flow\"\nsource in = files { paths: paths }\nsink out = stdout {}\nflow main { in -> out }\n";
    let disk = MemoryDisk::with(&[
        ("/code/main.flow", importing),
        ("/code/shared.flow", "let paths = [\"*.log\"]\n"),
    ]);
    let mut client = Client::start(disk);
    client.open("/code/a.flow", RIGHT);
    let place = json!({ "line": 0, "character": 0 });
    for round in 1..20 {
        for (version, text) in [(2 * round, WRONG), (2 * round + 1, RIGHT)] {
            client.replace("/code/a.flow", version, text);
            let params = json!({ "textDocument": { "uri": uri("/code/a.flow") }, "position": place });
            // The server reads the change and the request together, or one after the other.
            client.request("textDocument/hover", params.clone()).unwrap();
            client.request("workspace/symbol", json!({ "query": "" })).unwrap();
            let last = client.published("/code/a.flow");
            assert_eq!(last.unwrap()["version"], version);
        }
    }
    client.open("/code/shared.flow", "let paths = 5\n");
    client.request("workspace/symbol", json!({ "query": "" })).unwrap();
    client.request("workspace/symbol", json!({ "query": "" })).unwrap();
    let last = client.published("/code/main.flow").unwrap();
    assert_eq!(codes(last["diagnostics"].as_array().unwrap()), ["E0301"]);
}

#[test]
fn a_change_without_a_version_counts() {
    let mut client = Client::start(MemoryDisk::default());
    client.open("/code/a.flow", RIGHT);
    client.diagnostics("/code/a.flow");
    for document in
        [json!({ "uri": uri("/code/a.flow") }), json!({ "uri": uri("/code/a.flow"), "version": null })]
    {
        let changes = json!([{ "text": WRONG }]);
        client
            .notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
        assert_eq!(codes(&client.diagnostics("/code/a.flow")), ["E0203"]);
        client.replace("/code/a.flow", 3, RIGHT);
        assert_eq!(codes(&client.diagnostics("/code/a.flow")), [""; 0]);
    }
}

#[test]
fn a_deleted_folder_takes_its_programs_along() {
    let disk = MemoryDisk::with(&[("/code/sub/a.flow", WRONG), ("/code/b.flow", WRONG)]);
    let mut client = Client::start(disk);
    assert_eq!(codes(&client.diagnostics("/code/b.flow")), ["E0203"]);
    assert_eq!(codes(&client.diagnostics("/code/sub/a.flow")), ["E0203"]);
    let changes = json!([{ "uri": uri("/code/sub"), "type": 3 }]);
    client.notify("workspace/didChangeWatchedFiles", json!({ "changes": changes }));
    assert_eq!(codes(&client.diagnostics("/code/sub/a.flow")), [""; 0]);
}

#[test]
fn other_places_and_unused_names_are_told() {
    let text = format!("let unused = 1\nsource in = stdin {{}}\n{RIGHT}");
    let mut client = Client::start(MemoryDisk::default());
    client.open("/code/a.flow", &text);
    let diagnostics = client.diagnostics("/code/a.flow");
    assert_eq!(codes(&diagnostics)[0], "E0204");
    let first = &diagnostics[0]["relatedInformation"][0]["location"];
    assert_eq!((&first["uri"], &first["range"]["start"]["line"]), (&json!(uri("/code/a.flow")), &json!(1)));
    client.replace("/code/a.flow", 2, &format!("let unused = 1\n{RIGHT}"));
    let diagnostics = client.diagnostics("/code/a.flow");
    assert_eq!(codes(&diagnostics), ["E0206"]);
    assert_eq!((&diagnostics[0]["severity"], &diagnostics[0]["tags"]), (&json!(2), &json!([1])));
}

#[test]
fn only_programs_that_import_a_changed_file_are_checked_again() {
    let importing = "import \"shared.flow\"\nsource in = files { paths: paths }\nsink out = stdout {}\nflow main { in -> out }\n";
    let shared = "let paths = [\"*.log\"]\n";
    let disk = MemoryDisk::with(&[
        ("/code/main.flow", importing),
        ("/code/other.flow", RIGHT),
        ("/code/shared.flow", shared),
    ]);
    let reads = disk.reads.clone();
    let mut client = Client::start(disk);
    // Nothing has a mistake, so nothing is published. An answer shows that everything has been checked.
    let report = client.request("workspace/diagnostic", json!({ "previousResultIds": [] })).unwrap();
    assert_eq!(report["items"].as_array().unwrap().len(), 3);
    reads.lock().unwrap().clear();
    client.open("/code/shared.flow", "let paths = 5\n");
    assert_eq!(codes(&client.diagnostics("/code/main.flow")), ["E0301"]);
    assert_eq!(
        *reads.lock().unwrap(),
        ["/code/main.flow"],
        "the open document is not read, nor the other program"
    );
    // The text on the disk counts again.
    client.notify("textDocument/didClose", json!({ "textDocument": { "uri": uri("/code/shared.flow") } }));
    assert_eq!(codes(&client.diagnostics("/code/main.flow")), [""; 0]);
}

#[test]
fn a_client_may_ask_for_diagnostics() {
    let mut wanted = capabilities("utf-16");
    wanted["textDocument"]["diagnostic"] = json!({ "relatedInformation": true });
    let mut client = Client::start_with(MemoryDisk::default(), wanted, Value::Null);
    client.open("/outside/a.flow", WRONG);
    let document = json!({ "uri": uri("/outside/a.flow") });
    let report = client.request("textDocument/diagnostic", json!({ "textDocument": document })).unwrap();
    assert_eq!(report["kind"], "full");
    assert_eq!(report["items"][0]["code"], "E0203");
    let again = json!({ "textDocument": document, "previousResultId": report["resultId"] });
    assert_eq!(client.request("textDocument/diagnostic", again).unwrap()["kind"], "unchanged");
    let params =
        json!({ "previousResultIds": [{ "uri": uri("/outside/a.flow"), "value": report["resultId"] }] });
    let workspace = client.request("workspace/diagnostic", params).unwrap();
    assert_eq!(workspace["items"][0]["kind"], "unchanged");
    assert!(client.received.iter().all(|message| !format!("{message:?}").contains("publishDiagnostics")));
}

#[test]
fn settings_give_values_to_params() {
    let text = "param topic: Text\nparam of_server: Text\nsource in = generate {}\nsink out = files { path: \"{topic}/{of_server}\" }\nflow main { in -> out }\n";
    let options = json!({ "params": { "topic": "clicks" } });
    let mut client = Client::start_with(MemoryDisk::default(), capabilities("utf-16"), options);
    client.open("/code/a.flow", text);
    assert_eq!(codes(&client.diagnostics("/code/a.flow")), [""; 0]);
    client.notify("workspace/didChangeConfiguration", json!({ "settings": { "weir": {} } }));
    assert_eq!(codes(&client.diagnostics("/code/a.flow")), ["E0306"]);
}

#[test]
fn files_of_several_roots_are_watched() {
    let disk = MemoryDisk::with(&[("/code/a.flow", WRONG), ("/more/b.flow", WRONG)]);
    let files = disk.files.clone();
    let mut client = Client::start(disk);
    assert_eq!(codes(&client.diagnostics("/code/a.flow")), ["E0203"]);
    let added = json!([{ "uri": "file:///more", "name": "more" }]);
    let event = json!({ "event": { "added": added, "removed": [] } });
    client.notify("workspace/didChangeWorkspaceFolders", event);
    assert_eq!(codes(&client.diagnostics("/more/b.flow")), ["E0203"]);
    files.lock().unwrap().insert("/code/a.flow".to_owned(), RIGHT.to_owned());
    let changes = json!([{ "uri": uri("/code/a.flow"), "type": 2 }]);
    client.notify("workspace/didChangeWatchedFiles", json!({ "changes": changes }));
    assert_eq!(codes(&client.diagnostics("/code/a.flow")), [""; 0]);
    let event = json!({ "event": { "added": [], "removed": added } });
    client.notify("workspace/didChangeWorkspaceFolders", event);
    assert_eq!(codes(&client.diagnostics("/more/b.flow")), [""; 0]);
}

#[test]
fn a_large_workspace_shows_progress() {
    let names: Vec<String> = (0..40).map(|index| format!("/code/{index}.flow")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), WRONG)).collect();
    let mut client = Client::start(MemoryDisk::with(&files));
    // Diagnostics of all programs arrive, whether the client answers or not.
    let seen: Vec<usize> = names
        .iter()
        .map(|name| {
            client.received.iter().filter(|message| format!("{message:?}").contains(&uri(name))).count()
        })
        .collect();
    assert_eq!(seen.len(), 40);
    client.request("workspace/diagnostic", json!({ "previousResultIds": [] })).unwrap();
    let text = format!("{:?}", client.received);
    assert!(text.contains("window/workDoneProgress/create") && text.contains("client/registerCapability"));
}
