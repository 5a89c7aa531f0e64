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

/// Returns the labels at the mark.
fn offered(marked: &str) -> Vec<String> {
    labels(&items(marked)).into_iter().map(str::to_owned).collect()
}

/// Returns the place of a label, which has to be offered.
fn rank(labels: &[String], label: &str) -> usize {
    labels.iter().position(|known| known == label).unwrap_or_else(|| panic!("no `{label}` in {labels:?}"))
}

fn assert_lacks(marked: &str, unwanted: &[&str]) {
    let found = offered(marked);
    for label in unwanted {
        assert!(!found.iter().any(|known| known == label), "{marked}: {label} in {found:?}");
    }
}

#[test]
fn words_that_a_program_cannot_have_are_left_out() {
    assert_lacks("¦", &["extern", "enum", "record"]);
    assert!(offered("¦").contains(&"interceptor".to_owned()));
    assert_lacks("param x: Int ¦\n", &["exclusive"]);
    assert!(offered("param x: Int ¦\n").contains(&"in".to_owned()));
    assert_lacks("schema S { a: Text ¦ }\n", &["as", "in"]);
    assert!(offered("schema S { a: Text ¦ }\n").contains(&"sensitive".to_owned()));
    assert!(offered("schema S {\n  a: Time? ¦\n}\n").contains(&"as".to_owned()));
    assert!(offered("schema S {\n  a: Int ¦\n}\n").contains(&"in".to_owned()));
    assert_lacks("param a: ¦\n", &["Group"]);
    assert_lacks("schema S { a: ¦ }\n", &["S"]);
    assert_lacks("let a = secret ¦\n", &["is", "and", "or"]);
    assert_lacks("let a = \"{¦}\"\n", &["a"]);
    assert_lacks("sink out = files { path: ¦ }\n", &["match"]);
    assert_lacks("let a = ¦\n", &["match", "lower", "a"]);
    assert!(offered("let a = ¦\n").contains(&"env".to_owned()));
}

#[test]
fn settings_come_before_words_that_go_on_with_a_value() {
    let found = offered("sink out = files {\n  path: \"a\"\n  ¦\n}\n");
    let first_word = found.iter().position(|label| label == "and" || label == "or");
    assert!(first_word.is_none_or(|word| rank(&found, "format") < word && rank(&found, "compress") < word));
}

#[test]
fn types_with_arguments_are_snippets() {
    let found = items("schema S { a: ¦ }\n");
    let text = |label: &str| {
        let item = found.iter().find(|item| item["label"] == label).unwrap();
        item["textEdit"]["newText"].as_str().unwrap().to_owned()
    };
    assert_eq!(text("Decimal"), "Decimal($1, $2)$0");
    assert_eq!(text("Map"), "Map<$1>$0");
}

/// A program with a step at the mark.
fn step(step: &str) -> String {
    format!(
        "schema User {{\n  user: Text\n  age: Int\n}}\nparam least: Int = 1\nparam word: Text = \"a\"\n\
         interceptor tidy(who: field, most: Int = 5) {{\n  keep if length(\"a\") < most\n  unset who\n}}\n\
         source in = files {{ paths: [\"a\"] }}\nsink out = stdout {{ format: json }}\n\
         flow f {{\n  in -> parse json as User else drop -> {step} -> out\n}}\n"
    )
}

#[test]
fn arguments_that_fit_the_parameter_come_first() {
    for call in ["tidy(user, ¦)", "tidy(user, most: ¦)"] {
        let found = offered(&step(call));
        assert!(rank(&found, "least") < rank(&found, "word"), "{call}: {found:?}");
        assert!(rank(&found, "age") < rank(&found, "user"), "{call}: {found:?}");
        assert!(rank(&found, "length") < rank(&found, "lower"), "{call}: {found:?}");
    }
    let found = offered(&step("tidy(user, ¦)"));
    assert!(rank(&found, "most") < rank(&found, "length"), "{found:?}");
    assert_lacks(&step("tidy(user, most: ¦)"), &["most"]);
    let found = offered(&step("tidy(¦)"));
    assert!(rank(&found, "user") < 2 && rank(&found, "who") > 0, "{found:?}");
    assert!(!found.contains(&"lower".to_owned()), "{found:?}");
    let found = offered("schema Row { code: Text }\nlet rows = lookup(\"x.csv\", ¦)\n");
    assert!(rank(&found, "key") < 2 && rank(&found, "as") < 2, "{found:?}");
    let found = offered("schema Row { code: Text }\nlet rows = lookup(\"x.csv\", key: \"code\", as: ¦)\n");
    assert_eq!(found[0], "Row", "{found:?}");
}

#[test]
fn units_fit_their_step_and_the_other_side() {
    assert_eq!(offered(&step("throttle 5¦")), ["/s", "KiB/s", "MiB/s", "GiB/s"]);
    assert_eq!(offered(&step("sample 5¦")), ["%"]);
    assert!(offered(&step("keep if age > 5¦")).is_empty());
    assert_eq!(offered(&step("dedupe by user within 5¦")), ["ms", "s", "min", "h", "d"]);
}

#[test]
fn fields_of_events_are_offered_in_tests() {
    let program = step("keep if true");
    let test = format!("{program}\ntest \"one\" {{\n  send in [json {{ ¦ }}]\n}}\n");
    let found = offered(&test);
    assert!(rank(&found, "user") < 5 && rank(&found, "age") < 5, "{found:?}");
}
