//! Hover texts of words, values and params, and the places that definitions lead to.

use serde_json::{Value, json};

use super::client::{Client, MemoryDisk, capabilities, uri};

const NAME: &str = "/code/main.flow";

const PROGRAM: &str = "import \"shared.flow\"\nparam most: Int = 3\nlet hour = 1h\nlet day = 24 * hour\n\
    schema Click {\n  url: Text\n  user: Text? sensitive\n  price: Decimal(10, 2)\n  took: Duration in ms\n}\n\
    source in = generate { every: day, count: most }\nsink out = stdout {}\nsink lake = stdout {}\nchannel buffer = file { path: \"b\" }\n\
    flow f delivers at_least_once, ordered {\n  in -> buffer -> copy {\n    out\n    optional match { _ -> lake }\n  }\n}\n\
    test \"one\" {\n  fail buffer disk_full\n}\n";

/// Asks at the mark in a part of the program, which occurs once without the mark.
fn ask(method: &str, marked: &str) -> Value {
    let plain = marked.replace('¦', "");
    assert_eq!(PROGRAM.matches(&plain).count(), 1, "{plain} occurs once");
    let disk = MemoryDisk::with(&[("/code/shared.flow", "let unused = 1\n")]);
    let options = json!({ "params": { "most": "7" } });
    let mut client = Client::start_with(disk, capabilities("utf-16"), options);
    client.open(NAME, PROGRAM);
    client.at_mark(method, NAME, &PROGRAM.replace(&plain, marked))
}

fn hover(marked: &str) -> String {
    ask("textDocument/hover", marked)["contents"]["value"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn words_have_the_sentences_of_the_reference() {
    for (marked, expected) in [
        ("delivers at_le¦ast_once", "No event is lost"),
        ("at_least_once, ord¦ered", "The order of the events of each partition"),
        ("url: Te¦xt", "Text in UTF-8."),
        ("price: Dec¦imal", "exact numbers"),
        ("Text? sensi¦tive", "must not be shown"),
        ("Duration ¦in ms", "as a number of this unit"),
        ("Duration in m¦s", "as a number of this unit"),
        ("-> co¦py {", "every event to every branch"),
        ("opti¦onal match", "does not fail the event"),
        ("optional ma¦tch", "the first case"),
        ("buffer disk¦_full", "as if the disk were full"),
        ("param most: In¦t", "Integers of 64 bits."),
    ] {
        assert!(hover(marked).contains(expected), "{marked}: {:?}", hover(marked));
    }
}

#[test]
fn values_are_computed_and_name_their_origin() {
    let day = hover("let da¦y");
    assert!(day.contains("let day = 24 * hour") && day.contains("Value: `1d`"), "{day}");
    let most = hover("param mo¦st");
    assert!(most.contains("Value: `7` (from setting weir.params.most)"), "{most}");
}

#[test]
fn paths_of_imports_and_kinds_of_components_are_places() {
    let found = ask("textDocument/definition", "import \"sha¦red.flow\"");
    assert_eq!(found[0]["targetUri"], uri("/code/shared.flow"), "{found}");
    let found = ask("textDocument/typeDefinition", "source i¦n = ");
    assert!(found[0]["uri"].as_str().unwrap().ends_with("generate.flow"), "{found}");
}
