//! Renames: those that are refused, and the places that they change.

use serde_json::{Value, json};

use super::client::{Client, MemoryDisk, position_of_mark, uri};

const NAME: &str = "/code/main.flow";

/// Renames the name at the mark. Returns the text after it; `None` if the rename is refused.
fn renamed(marked: &str, new: &str) -> Option<String> {
    let mut client = Client::start(MemoryDisk::default());
    client.open(NAME, &marked.replace('¦', ""));
    let params = json!({
        "textDocument": { "uri": uri(NAME) }, "position": position_of_mark(marked), "newName": new,
    });
    let edit = client.request("textDocument/rename", params).ok()?;
    let mut lines: Vec<String> = marked.replace('¦', "").split('\n').map(str::to_owned).collect();
    let mut edits: Vec<&Value> = edit["documentChanges"][0]["edits"].as_array().unwrap().iter().collect();
    let number = |edit: &Value, end: &str, part: &str| edit["range"][end][part].as_u64().unwrap() as usize;
    edits.sort_by_key(|edit| std::cmp::Reverse(number(edit, "start", "character")));
    for edit in edits {
        let columns = number(edit, "start", "character")..number(edit, "end", "character");
        lines[number(edit, "start", "line")].replace_range(columns, edit["newText"].as_str().unwrap());
    }
    Some(lines.join("\n"))
}

const PROGRAM: &str = "let most = 3\nschema Click {\n  url: Text\n  user: Text?\n}\n\
    source in = files { paths: [\"a\"] }\nsink out = stdout { format: json }\n\
    flow f {\n  in -> parse json as Click else drop -> keep if @offset < most -> out\n}\n\
    test \"one\" {\n  send in [json { url: \"a\", user: \"b\" }]\n  expect out [{ user: \"b\" }]\n}\n";

#[test]
fn names_of_types_and_the_wildcard_are_no_new_names() {
    for new in ["Text", "Map", "Decimal", "Json"] {
        assert_eq!(renamed(&PROGRAM.replace("schema Cl", "schema ¦Cl"), new), None, "{new}");
    }
    for new in ["_", "__", "``", "`"] {
        assert_eq!(renamed(&PROGRAM.replace("let most", "let ¦most"), new), None, "{new}");
    }
    let visit = renamed(&PROGRAM.replace("schema Cl", "schema ¦Cl"), "Visit");
    assert_eq!(visit, Some(PROGRAM.replace("Click", "Visit")));
}

#[test]
fn reserved_words_may_be_given_in_backticks() {
    for new in ["match", "`match`"] {
        let result = renamed(&PROGRAM.replace("let most", "let ¦most"), new);
        assert_eq!(result, Some(PROGRAM.replace("most", "`match`")), "{new}");
    }
    let result = renamed(&PROGRAM.replace("let most", "let ¦most"), "`least`");
    assert_eq!(result, Some(PROGRAM.replace("most", "least")));
}

#[test]
fn a_field_is_renamed_in_the_events_that_tests_send() {
    let marked = PROGRAM.replace("  user:", "  ¦user:");
    assert_eq!(renamed(&marked, "person"), Some(PROGRAM.replace("user", "person")));
    // The sent field may be that of the other schema.
    let other = "schema View {\n  user: Text\n}\nflow g {\n  more -> parse json as View else drop -> out\n}\nsource more = files { paths: [\"b\"] }\n";
    assert_eq!(renamed(&format!("{marked}{other}"), "person"), None);
}
