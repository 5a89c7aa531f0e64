//! Code actions: the result of each is checked, and has no new error.

use std::collections::HashMap;

use serde_json::{Value, json};
use weir_compiler::{Options, Severity, analyse};

use super::client::{Client, MemoryDisk, flow_files, library, uri};
use crate::positions::{Encoding, Lines};

const NAME: &str = "/code/a.flow";

/// Returns the actions for a part of a text.
fn actions(client: &mut Client, text: &str, part: &str) -> Vec<Value> {
    let start = text.find(part).unwrap_or_else(|| panic!("{part}"));
    let lines = Lines::of(text);
    let range = lines.range(text, start..start + part.len(), Encoding::Utf16);
    let params = json!({
        "textDocument": { "uri": uri(NAME) }, "range": range, "context": { "diagnostics": [] },
    });
    client.request("textDocument/codeAction", params).unwrap().as_array().cloned().unwrap_or_default()
}

/// Returns the text after an action.
fn applied(text: &str, action: &Value) -> String {
    let lines = Lines::of(text);
    let mut edits = Vec::new();
    for document in action["edit"]["documentChanges"].as_array().unwrap() {
        assert_eq!(document["textDocument"]["uri"], uri(NAME));
        for edit in document["edits"].as_array().unwrap() {
            let range: gen_lsp_types::Range = serde_json::from_value(edit["range"].clone()).unwrap();
            let start = lines.offset(text, range.start, Encoding::Utf16);
            let end = lines.offset(text, range.end, Encoding::Utf16);
            edits.push((start..end, edit["newText"].as_str().unwrap().to_owned()));
        }
    }
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = text.to_owned();
    edits.into_iter().for_each(|(range, new)| text.replace_range(range, &new));
    text
}

/// Returns the codes of a program's errors with their messages.
fn errors(text: &str) -> HashMap<(String, String), usize> {
    let analysis = analyse(&(NAME, text), NAME, &library(), &Options::default());
    let mut errors = HashMap::new();
    for error in analysis.diagnostics.iter().filter(|found| found.severity() == Severity::Error) {
        *errors.entry((error.code().to_owned(), error.describe().message)).or_default() += 1;
    }
    errors
}

fn assert_no_new_error(before: &str, after: &str, title: &str) {
    let known = errors(before);
    for (error, count) in errors(after) {
        assert!(known.get(&error).is_some_and(|before| count <= *before), "{title}: {error:?}\n{after}");
    }
}

/// Opens a text, takes the action with this title for a part of it, and returns the result.
fn taken(text: &str, part: &str, title: &str) -> String {
    let found = offered(MemoryDisk::default(), text, part);
    let action = found.iter().find(|action| action["title"] == title);
    let titles: Vec<&Value> = found.iter().map(|action| &action["title"]).collect();
    let result = applied(text, action.unwrap_or_else(|| panic!("no `{title}` in {titles:?}")));
    assert_no_new_error(text, &result, title);
    result
}

/// Opens a text, and returns the actions for a part of it.
fn offered(disk: MemoryDisk, text: &str, part: &str) -> Vec<Value> {
    let mut client = Client::start(disk);
    client.open(NAME, text);
    actions(&mut client, text, part)
}

#[test]
fn required_settings_are_added() {
    let text = "source in = generate {}\nsink out = kafka {}\nflow f { in -> out }\n";
    let result = taken(text, "kafka", "add the required settings");
    assert!(result.contains("brokers: [\"localhost:9000\"]"), "{result}");
    assert!(errors(&result).is_empty(), "{result}");
    let text = "source in = generate {}\nsink out = kafka { topic: \"a\" }\nflow f { in -> out }\n";
    assert!(errors(&taken(text, "kafka", "add the required settings")).is_empty());
    // A rule of the source requires topics or a pattern.
    let text = "source in = kafka {}\nsink out = null {}\nflow f { in -> out }\n";
    let result = taken(text, "kafka", "add the required settings");
    assert!(result.contains("topics:") && errors(&result).is_empty(), "{result}");
    let text = "source in = kafka { topic_pattern: \"a.*\" }\nsink out = null {}\nflow f { in -> out }\n";
    let result = taken(text, "kafka", "add the required settings");
    assert!(!result.contains("topics:") && errors(&result).is_empty(), "{result}");
}

#[test]
fn rejects_are_routed() {
    let text = "source in = generate {}\nsink out = null {}\n\n// Moves.\nflow f {\n  in -> reject if @sequence > 1 -> out\n}\n";
    let result = taken(text, "reject if", "route the rejected events to a new sink `rejected`");
    assert!(result.contains("  rejects -> rejected\n}") && errors(&result).is_empty(), "{result}");
    let result = taken(text, "reject if", "drop the rejected events");
    assert!(errors(&result).is_empty(), "{result}");
}

#[test]
fn rejects_of_a_flow_on_one_line_are_written_as_the_formatter_does() {
    let head = "source in = generate {}\nsink out = null {}\n\n";
    let text = format!("{head}// Moves.\nflow f {{ in -> reject if @sequence > 1 -> out }} // all\n");
    let flow = |to: &str| {
        format!(
            "// Moves.\nflow f {{\n  in -> reject if @sequence > 1 -> out\n  rejects -> {to}\n}} // all\n"
        )
    };
    let result = taken(&text, "reject if", "drop the rejected events");
    assert_eq!(result, format!("{head}{}", flow("drop")));
    let result = taken(&text, "reject if", "route the rejected events to a new sink `rejected`");
    let sink = "sink rejected = files { path: \"rejected\", format: json }\n\n";
    assert_eq!(result, format!("{head}{sink}{}", flow("rejected")));
}

#[test]
fn missing_arms_are_inserted() {
    let text = "fn f(a: Int) -> Text {\n  match a {\n    1 => \"one\"\n  }\n}\n";
    let result = taken(text, "match a", "insert the missing arms");
    assert!(result.contains("    _ => \"one\"\n  }"), "{result}");
    assert!(errors(&result).is_empty(), "{result}");
    let text = "fn f(a: Int) -> Text { match a { 1 => \"one\" } }\n";
    assert!(errors(&taken(text, "match a", "insert the missing arms")).is_empty());
}

#[test]
fn steps_are_extracted_and_lets_inlined() {
    let text = "source in = generate {}\nsink out = null {}\nflow f {\n  in\n    -> set a = 1\n    -> set b = a + 2 else drop\n    -> out\n}\n";
    let result = taken(text, "set a = 1\n    -> set b = a + 2 else drop", "extract an interceptor");
    assert!(
        result.contains("interceptor extracted() {\n  set a = 1\n  set b = a + 2 else drop\n}"),
        "{result}"
    );
    assert!(result.contains("    -> extracted()\n    -> out"), "{result}");
    let text = "let most = 1 + 2\nsource in = generate {}\nsink out = null {}\nflow f { in -> keep if @sequence < most -> out }\n";
    let result = taken(text, "most", "inline `most`");
    assert!(result.starts_with("source") && result.contains("< (1 + 2)"), "{result}");
}

#[test]
fn extracted_steps_keep_their_comments() {
    let text = "source in = generate {}\nsink out = null {}\nflow f {\n  in\n    -> keep if @sequence > 1  // trailing one\n    // why it is set\n    -> set x = 1 // one\n    -> set y = match x {\n         1 => 2\n         _ => 3\n       }\n    -> out  // the end\n}\n";
    let part = "keep if @sequence > 1  // trailing one\n    // why it is set\n    -> set x = 1 // one\n    -> set y = match x {\n         1";
    let result = taken(text, part, "extract an interceptor");
    let interceptor = "interceptor extracted() {\n  keep if @sequence > 1  // trailing one\n  // why it is set\n  set x = 1  // one\n  set y = match x {\n    1 => 2\n    _ => 3\n  }\n}\n\n";
    assert!(result.contains(interceptor), "{result}");
    assert!(result.contains("  in\n    -> extracted()\n    -> out  // the end\n"), "{result}");
}

#[test]
fn an_inlined_let_takes_its_documentation_along_and_leaves_comments() {
    let rest = "source in = generate {}\nsink out = null {}\nflow f { in -> keep if @sequence < ";
    let text = format!("// The limits.\n/// The most.\nlet most = 5 /// few\n{rest}most -> out }}\n");
    let result = taken(&text, "most =", "inline `most`");
    assert_eq!(result, format!("// The limits.\n// few\n{rest}5 -> out }}\n"));
}

#[test]
fn no_action_breaks_another_program() {
    let other = "import \"a.flow\"\nlet extracted = 1\nsource other = generate { every: pause }\nsink end = null {}\nflow g { other -> end }\n";
    let text = "let pause = 1s\nsource in = generate { every: pause }\nsink out = null {}\nflow f {\n  in -> set a = 1 -> out\n}\n";
    let titles = |disk: MemoryDisk, part: &str| {
        let found = offered(disk, text, part);
        found.iter().map(|action| action["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let with_other = || MemoryDisk::with(&[("/code/b.flow", other)]);
    assert_eq!(titles(MemoryDisk::default(), "pause"), ["inline `pause`"]);
    assert!(titles(with_other(), "pause").is_empty());
    assert_eq!(titles(MemoryDisk::default(), "set a = 1"), ["extract an interceptor"]);
    // The other program has the name of the interceptor already.
    assert!(titles(with_other(), "set a = 1").is_empty());
}

#[test]
fn unknown_names_are_declared() {
    let text = "source in = generate {}\nflow f { in -> lake }\n";
    let result = taken(text, "lake", "declare the sink `lake`");
    assert!(errors(&result).is_empty(), "{result}");
    let text = "source in = files { paths: places }\nsink out = stdout {}\nflow f { in -> out }\n";
    let result = taken(text, "places", "declare the let `places`");
    assert!(errors(&result).is_empty(), "{result}");
    let text = "source in = generate {}\nsink out = null {}\nflow f { in -> tidy() -> out }\n";
    let result = taken(text, "tidy", "declare the interceptor `tidy`");
    assert!(errors(&result).is_empty(), "{result}");
}

#[test]
fn a_format_is_added() {
    let text = "schema Click {\n  url: Text\n}\nsource in = files { paths: [\"a\"] }\nsink out = files { path: \"out\" }\nflow f { in -> parse json as Click else drop -> out }\n";
    let result = taken(text, "-> out", "add `format: json`");
    assert!(errors(&result).is_empty(), "{result}");
}

#[test]
fn all_fixes_are_one_action() {
    let text = "source in = generate {}\nsink out = null {}\nflow Main { in -> keep if @sequence > 1 && true -> out }\n";
    let result = all_fixed(text);
    assert_eq!(result, text.replace("&&", "and").replace("Main", "main"));
    assert!(errors(&result).is_empty());
}

#[test]
fn a_new_line_begins_without_blanks() {
    let text = "source in = generate {};  sink out = null {}\nflow f { in -> out }\n";
    assert_eq!(taken(text, ";", "begin a new line"), text.replace(";  ", "\n"));
}

#[test]
fn guesses_are_no_part_of_all_fixes() {
    // The quotes may be missing, or the declaration.
    let text =
        "source in = generate {}\nsink out = files { path: folder, fromat: json }\nflow Main { in -> out }\n";
    assert_eq!(all_fixed(text), text.replace("Main", "main"));
    let titles: Vec<Value> =
        offered(MemoryDisk::default(), text, "folder").iter().map(|action| action["title"].clone()).collect();
    assert!(titles.contains(&json!("put it in quotes")), "{titles:?}");
}

/// Returns a text after the action that an editor takes when it saves.
fn all_fixed(text: &str) -> String {
    let mut client = Client::start(MemoryDisk::default());
    client.open(NAME, text);
    let params = json!({
        "textDocument": { "uri": uri(NAME) },
        "range": { "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 0 } },
        "context": { "diagnostics": [], "only": ["source.fixAll"] },
    });
    let found = client.request("textDocument/codeAction", params).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    applied(text, &found[0])
}

#[test]
fn every_action_of_every_wrong_program_leaves_no_new_error() {
    let mut client = Client::start(MemoryDisk::default());
    let mut seen = 0;
    let mut version = 1;
    client.open(NAME, "");
    for path in flow_files("tests/language/wrong") {
        let text = std::fs::read_to_string(&path).unwrap();
        // Programs with imports and settings of the command line are no single files.
        if text.contains("import ") || text.contains("//! set") || text.len() > 4_000 {
            continue;
        }
        version += 1;
        client.replace(NAME, version, &text);
        for action in actions(&mut client, &text, &text) {
            let result = applied(&text, &action);
            // A fix repairs its own mistake, and may uncover a further one.
            if action["kind"] != "quickfix" || action["isPreferred"].is_null() {
                assert_no_new_error(&text, &result, &format!("{}: {}", path.display(), action["title"]));
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen} actions");
}
