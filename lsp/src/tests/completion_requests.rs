//! Completion as an editor gets it: edits, snippets and paths of imports.

use serde_json::Value;

use super::client::{Client, MemoryDisk};

const NAME: &str = "/code/main.flow";

/// Opens the text without its mark, and returns the items at the mark.
fn items(marked: &str) -> Vec<Value> {
    let disk = MemoryDisk::with(&[
        ("/code/shared/types.flow", ""),
        ("/code/other.flow", ""),
        ("/code/notes.txt", ""),
    ]);
    let mut client = Client::start(disk);
    client.open(NAME, &marked.replace('¦', ""));
    let found = client.at_mark("textDocument/completion", NAME, marked);
    found["items"].as_array().cloned().unwrap_or_default()
}

fn labels(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["label"].as_str().unwrap()).collect()
}

#[test]
fn required_settings_come_first_and_are_written_with_a_colon() {
    let found = items("sink out = kafka {\n  ¦\n}\n");
    assert_eq!(labels(&found)[..2], ["brokers", "topic"]);
    assert_eq!(found[0]["textEdit"]["newText"], "brokers: $0");
    let found = items("source in = kafka { brokers: [\"a:1\"], gr¦ }\n");
    assert!(labels(&found)[0] == "group" && !labels(&found).contains(&"brokers"), "{:?}", labels(&found));
}

#[test]
fn whole_components_are_snippets() {
    let found = items("¦");
    let component = found.iter().find(|item| item["label"] == "source kafka").unwrap();
    let text = component["textEdit"]["newText"].as_str().unwrap();
    assert!(text.starts_with("source ${1:name} = kafka {\n\tbrokers: [\"$2\"]"), "{text}");
    let found = items("sink out = ¦\n");
    assert!(labels(&found).contains(&"hdfs"), "{:?}", labels(&found));
}

#[test]
fn fields_that_exist_and_names_of_other_tools_are_offered() {
    let program = "schema Click {\n  url: Text\n}\nsource in = files { paths: [\"a\"] }\nsink out = stdout { format: json }\nflow f {\n  in -> parse json as Click else drop -> keep if ¦\n}\n";
    let found = items(program);
    assert_eq!(labels(&found)[0], "url");
    assert!(!labels(&found).contains(&"body"), "the parse has replaced the body");
    let lower = found.iter().find(|item| item["label"] == "lower").unwrap();
    assert!(lower["filterText"].as_str().unwrap().contains("downcase"), "{lower}");
    assert_eq!(lower["textEdit"]["newText"], "lower(${1:text})$0");
}

#[test]
fn units_follow_numbers() {
    let found = items("channel c = memory { keep_alive: 5¦ }\n");
    assert_eq!(labels(&found), ["ms", "s", "min", "h", "d"]);
}

#[test]
fn variants_and_components_that_fit_are_offered() {
    let found = items("sink out = files { path: \"a\", format: ¦ }\n");
    assert!(labels(&found).contains(&"json"), "{:?}", labels(&found));
    let found = items("source in = generate {}\nsink out = null {}\nflow f { in -> ¦ }\n");
    assert_eq!(labels(&found)[0], "out");
    assert!(!labels(&found).contains(&"in") && labels(&found).contains(&"keep"));
}

#[test]
fn paths_of_imports_are_files_and_folders() {
    assert_eq!(labels(&items("import \"¦\"\n")), ["other.flow", "shared/"]);
    assert_eq!(labels(&items("import \"shared/t¦\n")), ["types.flow"]);
}

#[test]
fn comments_and_texts_have_no_completions() {
    assert!(items("// a ¦\n").is_empty() && items("let a = \"b¦\"\n").is_empty());
    assert_eq!(labels(&items("let a = \"b\"\nlet c = \"{¦}\"\n"))[0], "a");
}
