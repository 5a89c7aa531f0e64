//! Each request on a program that has every kind of name.

use serde_json::{Value, json};

use super::client::{Client, MemoryDisk, position_of_mark, uri};

const NAME: &str = "/code/main.flow";

const PROGRAM: &str = r#"//! A program.

import "shared.flow" as shared

param topic: Text = "none"

let paths = ["/app.log"]

/// A click.
schema Click {
  /// Where.
  url:  Text
  user: Text? sensitive
}

source app = files { paths: paths, batch: 10 }
channel buffer = memory { capacity: 2_000 }
sink out = files { path: "/out/{topic}/{url}", format: json, allow: sensitive }
sink dead = files { path: "dead", format: json, allow: sensitive }

interceptor tidy(name: field Text?) {
  set name = lower(name ?? "")
}

fn twice(text: Text) -> Text {
  upper(text)
}

quality sane {
  url is not empty
}

flow clicks delivers at_least_once {
  app
    -> parse json as Click else reject
    -> tidy(user)
    -> let known = twice(url)
    -> drop if known == "x"
    -> set page = shared.short(url)
    -> check sane
    -> buffer
    -> out
  rejects -> dead
}
"#;

const SHARED: &str = "fn short(url: Text) -> Text { trim(url) }\n";

/// Starts a server with the program; the mark is where requests ask.
fn started() -> Client {
    let mut client = Client::start(MemoryDisk::with(&[("/code/shared.flow", SHARED)]));
    client.open(NAME, PROGRAM);
    client
}

/// Asks at the mark of a part of the program, which occurs once without the mark.
fn ask(client: &mut Client, method: &str, marked: &str, more: Value) -> Result<Value, i32> {
    let plain = marked.replace('¦', "");
    assert_eq!(PROGRAM.matches(&plain).count(), 1, "{plain} occurs once");
    let text = PROGRAM.replace(&plain, marked);
    let mut params = json!({ "textDocument": { "uri": uri(NAME) }, "position": position_of_mark(&text) });
    params.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    client.request(method, params)
}

fn get(client: &mut Client, method: &str, marked: &str) -> Value {
    ask(client, method, marked, json!({})).unwrap()
}

fn of_document(client: &mut Client, method: &str, more: Value) -> Value {
    let mut params = json!({ "textDocument": { "uri": uri(NAME) } });
    params.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    client.request(method, params).unwrap()
}

/// Returns the text of a range of the program.
fn text(range: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let offset = |position: &Value| {
        let line: usize = PROGRAM.split_inclusive('\n').take(number(&position["line"])).map(str::len).sum();
        line + number(&position["character"])
    };
    PROGRAM[offset(&range["start"])..offset(&range["end"])].to_owned()
}

#[test]
fn the_program_is_right() {
    let mut client = started();
    assert_eq!(client.diagnostics(NAME), [Value::Null; 0]);
}

#[test]
fn hover_tells_types_values_events_and_classes() {
    let mut client = started();
    let mut hover = |marked: &str| {
        let found = get(&mut client, "textDocument/hover", marked);
        found["contents"]["value"].as_str().unwrap_or_default().to_owned()
    };
    let capacity = hover("memory { ¦capacity");
    assert!(capacity.contains("capacity: Int") && capacity.contains("(written)"), "{capacity}");
    assert!(hover("param ¦topic").contains("Value: `\"none\"` (the default)"));
    assert!(hover("= ¦memory {").contains("Delivery class: `volatile`"));
    let buffer = hover("channel ¦buffer");
    assert!(buffer.contains("page: Text") && buffer.contains("user: Text sensitive"), "{buffer}");
    assert!(hover("as Cl¦ick").contains("A click."));
    assert!(hover("known == ¦\"x\"").contains("Type: `Text`"));
    let parse = hover("-> par¦se json");
    assert!(parse.contains("Events after it") && parse.contains("url: Text"), "{parse}");
    assert!(hover("twi¦ce(url)").contains("fn twice(text: Text) -> Text"));
    assert!(hover("set ¦page").contains("page"));
    assert_eq!(hover("//! A ¦program"), "");
}

#[test]
fn names_lead_to_definitions_in_every_file() {
    let mut client = started();
    let links = get(&mut client, "textDocument/definition", "check sa¦ne");
    assert_eq!(text(&links[0]["targetSelectionRange"]), "sane");
    let links = get(&mut client, "textDocument/definition", "shared.sh¦ort(");
    assert_eq!(links[0]["targetUri"], uri("/code/shared.flow"));
    let links = get(&mut client, "textDocument/declaration", "= ¦memory {");
    assert_eq!(links[0]["targetUri"], "weir-library:/library/memory.flow");
    let content = json!({ "uri": "weir-library:/library/memory.flow" });
    let content = client.request("workspace/textDocumentContent", content).unwrap();
    assert!(content["text"].as_str().unwrap().contains("extern channel memory"));
    assert!(client.request("workspace/textDocumentContent", json!({ "uri": "weir-library:/no" })).is_err());
    let found =
        get(&mut client, "textDocument/typeDefinition", "keep¦".replace("keep¦", "drop if ¦known").as_str());
    assert_eq!(found, Value::Null, "a text has no definition");
}

#[test]
fn the_library_can_be_a_folder() {
    let disk = MemoryDisk::with(&[("/cache/library/memory.flow", "extern nonsense")]);
    let disk = MemoryDisk { writable: true, ..disk };
    let mut capabilities = super::client::capabilities("utf-16");
    capabilities["workspace"]["textDocumentContent"] = Value::Null;
    let mut client = Client::start_with(disk, capabilities, Value::Null);
    client.open(NAME, "channel buffer = memory {}\n");
    let links = client.at_mark("textDocument/definition", NAME, "channel buffer = mem¦ory {}\n");
    assert_eq!(links[0]["targetUri"], "file:///cache/library/memory.flow");
    // The file is of the library, so it is no program with mistakes.
    client.open("/cache/library/memory.flow", "extern nonsense");
    let added = json!([{ "uri": "file:///cache", "name": "cache" }]);
    let event = json!({ "event": { "added": added, "removed": [] } });
    client.notify("workspace/didChangeWorkspaceFolders", event);
    let report = client.request("workspace/diagnostic", json!({ "previousResultIds": [] })).unwrap();
    assert_eq!(report["items"].as_array().unwrap().len(), 1, "{report}");
    let symbols = json!({ "textDocument": { "uri": "file:///cache/library/memory.flow" } });
    let symbols = client.request("textDocument/documentSymbol", symbols).unwrap();
    assert_eq!(symbols[0]["name"], "memory");
}

#[test]
fn references_and_highlights_are_complete() {
    let mut client = started();
    let context = |declared: bool| json!({ "context": { "includeDeclaration": declared } });
    let found = ask(&mut client, "textDocument/references", "channel ¦buffer", context(true)).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 2);
    let found = ask(&mut client, "textDocument/references", "shared.¦short", context(true)).unwrap();
    let files: Vec<&str> =
        found.as_array().unwrap().iter().map(|place| place["uri"].as_str().unwrap()).collect();
    assert_eq!(files, [uri(NAME), uri("/code/shared.flow")]);
    let found = get(&mut client, "textDocument/documentHighlight", "let ¦known");
    let kinds: Vec<&Value> = found.as_array().unwrap().iter().map(|found| &found["kind"]).collect();
    assert_eq!(kinds, [3, 2]);
}

/// Returns the texts of a workspace edit's edits with their replacements.
fn edits(edit: &Value) -> Vec<(String, Value, String)> {
    let mut found = Vec::new();
    for document in edit["documentChanges"].as_array().unwrap() {
        let of = document["textDocument"]["uri"].as_str().unwrap();
        for edit in document["edits"].as_array().unwrap() {
            found.push((of.to_owned(), edit["range"].clone(), edit["newText"].as_str().unwrap().to_owned()));
        }
    }
    found.sort_by_key(|(of, range, _)| (of.clone(), range["start"]["line"].as_u64()));
    found
}

#[test]
fn names_of_the_program_can_be_renamed() {
    let mut client = started();
    let range = get(&mut client, "textDocument/prepareRename", "channel buf¦fer");
    assert_eq!(text(&range), "buffer");
    let edit =
        ask(&mut client, "textDocument/rename", "channel buf¦fer", json!({ "newName": "store" })).unwrap();
    let changed = edits(&edit);
    assert_eq!(changed.len(), 2);
    assert!(changed.iter().all(|(_, range, new)| text(range) == "buffer" && new == "store"));
    let edit =
        ask(&mut client, "textDocument/rename", "  /// Where.\n  ¦url", json!({ "newName": "address" }))
            .unwrap();
    assert_eq!(edits(&edit).len(), 5, "the field, the hole, and three uses: {edit}");
    let edit =
        ask(&mut client, "textDocument/rename", "shared.sho¦rt", json!({ "newName": "shortened" })).unwrap();
    assert_eq!(edits(&edit).len(), 2);
}

#[test]
fn renames_that_change_the_meaning_are_refused() {
    let mut client = started();
    for (marked, new) in [
        ("channel buf¦fer", "out"),
        ("channel buf¦fer", "two words"),
        ("channel buf¦fer", "Buffer"),
        ("schema Cli¦ck", "click"),
        ("let ¦known", "url"),
        ("= mem¦ory {", "file"),
        ("param ¦topic", "paths"),
    ] {
        let found = ask(&mut client, "textDocument/rename", marked, json!({ "newName": new }));
        assert!(found.is_err(), "{marked} to {new}: {found:?}");
    }
    assert!(ask(&mut client, "textDocument/prepareRename", "= mem¦ory {", json!({})).is_err());
}

#[test]
fn a_local_name_is_edited_at_all_places() {
    let mut client = started();
    let found = get(&mut client, "textDocument/linkedEditingRange", "let ¦known");
    assert_eq!(found["ranges"].as_array().unwrap().len(), 2);
    assert_eq!(get(&mut client, "textDocument/linkedEditingRange", "channel ¦buffer"), Value::Null);
}

#[test]
fn symbols_are_nested_and_found() {
    let mut client = started();
    let symbols = of_document(&mut client, "textDocument/documentSymbol", json!({}));
    let names: Vec<&str> =
        symbols.as_array().unwrap().iter().map(|symbol| symbol["name"].as_str().unwrap()).collect();
    let expected = [
        "shared", "topic", "paths", "Click", "app", "buffer", "out", "dead", "tidy", "twice", "sane",
        "clicks",
    ];
    assert_eq!(names, expected);
    assert_eq!(symbols[3]["children"][0]["name"], "url");
    let found = client.request("workspace/symbol", json!({ "query": "shrt" })).unwrap();
    assert_eq!(found[0]["name"], "short");
    assert_eq!(client.request("workspace/symbol", json!({ "query": "zzz" })).unwrap(), json!([]));
}

#[test]
fn calls_are_known_in_both_directions() {
    let mut client = started();
    let items = get(&mut client, "textDocument/prepareCallHierarchy", "fn twi¦ce");
    let item = json!({ "item": items[0] });
    let calls = client.request("callHierarchy/incomingCalls", item.clone()).unwrap();
    assert_eq!(calls[0]["from"]["name"], "clicks");
    let calls = client.request("callHierarchy/outgoingCalls", item).unwrap();
    assert_eq!(calls[0]["to"]["name"], "upper");
    assert_eq!(get(&mut client, "textDocument/prepareCallHierarchy", "channel ¦buffer"), Value::Null);
}

#[test]
fn signatures_help_in_open_calls() {
    let mut client = started();
    let opened = "fn twice(text: Text) -> Text {\n  replace(text, ¦\n}\n";
    client.open("/code/open.flow", &opened.replace('¦', ""));
    let found = client.at_mark("textDocument/signatureHelp", "/code/open.flow", opened);
    let signature = &found["signatures"][0];
    assert!(signature["label"].as_str().unwrap().starts_with("fn replace("), "{found}");
    assert_eq!(found["activeParameter"], 1);
    let found = get(&mut client, "textDocument/signatureHelp", "tidy(us¦er)");
    assert!(found["signatures"][0]["label"].as_str().unwrap().starts_with("interceptor tidy("));
    assert_eq!(get(&mut client, "textDocument/signatureHelp", "schema ¦Click"), Value::Null);
}

#[test]
fn lenses_show_the_graph_and_the_plan() {
    let mut client = started();
    let lenses = of_document(&mut client, "textDocument/codeLens", json!({}));
    let commands: Vec<&str> =
        lenses.as_array().unwrap().iter().map(|lens| lens["command"]["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["weir.showGraph", "weir.showPlan"]);
    for (command, begin) in [("weir.showGraph", "flowchart"), ("weir.showPlan", "")] {
        let params = json!({ "command": command, "arguments": [uri(NAME)] });
        let shown = client.request("workspace/executeCommand", params).unwrap();
        assert!(shown["text"].as_str().unwrap().starts_with(begin), "{shown}");
    }
    let params = json!({ "command": "weir.showGraph", "arguments": [] });
    assert!(client.request("workspace/executeCommand", params).is_err());
}

#[test]
fn a_lens_runs_a_test() {
    let mut client = started();
    let program =
        "source a = generate {}\nsink b = stdout {}\nflow c { a -> b }\ntest \"it\" {\n  send a [\"x\"]\n}\n";
    client.open("/code/tested.flow", program);
    let params = json!({ "textDocument": { "uri": uri("/code/tested.flow") } });
    let lenses = client.request("textDocument/codeLens", params).unwrap();
    let all = &lenses[2];
    assert_eq!(all["command"]["command"], "weir.runTests");
    assert_eq!(all["command"]["arguments"], json!([uri("/code/tested.flow")]));
    let lens = &lenses[3];
    assert_eq!(lens["range"]["start"], json!({ "line": 3, "character": 5 }));
    assert_eq!(lens["command"]["command"], "weir.runTest");
    assert_eq!(lens["command"]["arguments"], json!([uri("/code/tested.flow"), "it"]));
    // The disk of these tests runs none.
    let params = json!({ "command": "weir.runTest", "arguments": lens["command"]["arguments"] });
    assert!(client.request("workspace/executeCommand", params).is_err());
}

#[test]
fn hints_show_what_is_derived() {
    let mut client = started();
    let all = json!({ "range": { "start": { "line": 0, "character": 0 }, "end": { "line": 999, "character": 0 } } });
    let hints = of_document(&mut client, "textDocument/inlayHint", all);
    let labels: Vec<&str> =
        hints.as_array().unwrap().iter().map(|hint| hint["label"].as_str().unwrap()).collect();
    assert!(
        labels.iter().any(|label| label.contains("url: Text") && label.contains("user: Text? sensitive")),
        "{labels:?}"
    );
    assert!(labels.iter().any(|label| label.contains("transaction_capacity")), "{labels:?}");
    assert!(labels.contains(&"never lost, may be repeated, ordered"), "{labels:?}");
    assert!(
        labels.iter().any(|label| label.starts_with("at most ") && label.ends_with(" memory")),
        "{labels:?}"
    );
    assert!(
        labels.contains(&"rejects_to_dead ->") || labels.iter().any(|label| label.ends_with("->")),
        "{labels:?}"
    );
}

#[test]
fn tokens_follow_the_edits() {
    let mut client = started();
    let full = of_document(&mut client, "textDocument/semanticTokens/full", json!({}));
    let data: Vec<u64> =
        full["data"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect();
    assert_eq!(data.len() % 5, 0);
    let same = json!({ "previousResultId": full["resultId"] });
    let delta = of_document(&mut client, "textDocument/semanticTokens/full/delta", same);
    assert_eq!(delta["edits"], json!([]));
    client.replace(
        NAME,
        2,
        &PROGRAM.replace("let paths", "let files").replace("paths: paths", "paths: files"),
    );
    let before = json!({ "previousResultId": full["resultId"] });
    let delta = of_document(&mut client, "textDocument/semanticTokens/full/delta", before);
    let now = of_document(&mut client, "textDocument/semanticTokens/full", json!({}));
    let mut patched = data;
    for edit in delta["edits"].as_array().unwrap() {
        let number = |name: &str| edit[name].as_u64().unwrap() as usize;
        let new = edit["data"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap());
        patched.splice(number("start")..number("start") + number("deleteCount"), new);
    }
    assert_eq!(json!(patched), now["data"]);
    let range =
        json!({ "range": { "start": { "line": 4, "character": 0 }, "end": { "line": 4, "character": 5 } } });
    let part = of_document(&mut client, "textDocument/semanticTokens/range", range);
    assert!(part["data"].as_array().unwrap().len() < 50);
}

#[test]
fn texts_are_formatted() {
    let mut client = started();
    let options = json!({ "options": { "tabSize": 2, "insertSpaces": true } });
    assert_eq!(of_document(&mut client, "textDocument/formatting", options.clone()), json!([]));
    let text = "let a=1\nflow f {\n in->out\n}\nlet b=2\n";
    client.replace(NAME, 2, text);
    let edits = of_document(&mut client, "textDocument/formatting", options.clone());
    assert_eq!(edits[0]["newText"], "let a = 1\n\nflow f {\n  in -> out\n}\n\nlet b = 2\n");
    let mut some = options.clone();
    some["range"] = json!({ "start": { "line": 4, "character": 0 }, "end": { "line": 4, "character": 1 } });
    let edits = of_document(&mut client, "textDocument/rangeFormatting", some);
    assert_eq!((edits.as_array().unwrap().len(), &edits[0]["newText"]), (1, &json!("let b = 2")));
    let mut typed = options.clone();
    typed["position"] = json!({ "line": 3, "character": 1 });
    typed["ch"] = json!("}");
    let edits = of_document(&mut client, "textDocument/onTypeFormatting", typed);
    assert_eq!(edits[0]["newText"], "  in -> out\n");
    client.replace(NAME, 3, "let a = \n");
    assert_eq!(of_document(&mut client, "textDocument/formatting", options), Value::Null);
}

#[test]
fn ranges_can_be_folded_selected_and_followed() {
    let mut client = started();
    let folds = of_document(&mut client, "textDocument/foldingRange", json!({}));
    assert!(folds.as_array().unwrap().iter().any(|fold| fold["startLine"] == 9 && fold["endLine"] == 13));
    let full = PROGRAM.replace("== \"x\"", "¦== \"x\"");
    let positions = json!({ "positions": [position_of_mark(&full), { "line": 9_999, "character": 0 }] });
    let selections = of_document(&mut client, "textDocument/selectionRange", positions);
    let mut texts = Vec::new();
    let mut selection = &selections[0];
    while !selection.is_null() {
        texts.push(text(&selection["range"]));
        selection = &selection["parent"];
    }
    assert!(texts.windows(2).all(|pair| pair[1].contains(&pair[0])), "{texts:?}");
    assert!(texts.contains(&"drop if known == \"x\"".to_owned()), "{texts:?}");
    let links = of_document(&mut client, "textDocument/documentLink", json!({}));
    assert_eq!(links[0]["target"], uri("/code/shared.flow"));
}
