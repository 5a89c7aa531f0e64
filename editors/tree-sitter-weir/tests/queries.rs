//! The queries of editors compile, and find what they should.

use tree_sitter::{Parser, Query, QueryCursor, StreamingIterator};
use tree_sitter_weir::{FOLDS, HIGHLIGHTS, INDENTS, INJECTIONS, LANGUAGE, LOCALS};

const PROGRAM: &str = r##"//! A file.
import "limits.flow" as limits

param topic: Text = "clicks" // the topic
let letters = r"^[a-z]+$"

schema Click {
  user: Text? sensitive
  took: Duration in ms
}

source clicks = kafka { topics: ["{topic}-{@host:x}"], mode: complete { after: 5min } }

flow main delivers at_least_once {
  clicks
    -> parse regex r"^(?<user>\w+)$" as Click else reject
    -> keep if user matches letters and user matches r"\d" or lower(user) is not null
    -> limits.tidy(user, most: 3)
    -> copy {
      optional lake
    }
}
"##;

/// Returns the captured texts with the name of each capture, in the order of the text.
fn captures(query: &str) -> Vec<(String, String)> {
    let language = LANGUAGE.into();
    let mut parser = Parser::new();
    parser.set_language(&language).unwrap();
    let tree = parser.parse(PROGRAM, None).unwrap();
    let query = Query::new(&language, query).unwrap();
    let mut cursor = QueryCursor::new();
    let mut found = Vec::new();
    let mut captures = cursor.captures(&query, tree.root_node(), PROGRAM.as_bytes());
    while let Some((matched, at)) = captures.next() {
        let capture = matched.captures()[*at];
        let name = query.capture_names()[capture.index as usize];
        found.push((PROGRAM[capture.node.byte_range()].to_owned(), name.to_owned()));
    }
    found
}

fn assert_has(query: &str, expected: &[(&str, &str)]) {
    let found = captures(query);
    for (text, name) in expected {
        let of_text: Vec<_> = found.iter().filter(|(found, _)| found == text).map(|(_, name)| name).collect();
        assert!(of_text.iter().any(|found| found == name), "`{text}` is {of_text:?}, not {name}");
    }
}

#[test]
fn words_are_highlighted_by_their_meaning() {
    assert_has(
        HIGHLIGHTS,
        &[
            ("//! A file.", "comment.documentation"),
            ("// the topic", "comment"),
            ("import", "keyword"),
            ("topic", "constant"),
            ("Text", "type.builtin"),
            ("Click", "type"),
            ("sensitive", "keyword"),
            ("ms", "constant"),
            ("source", "keyword"),
            ("kafka", "type"),
            ("topics", "property"),
            ("@host", "variable.special"),
            ("complete", "constant"),
            ("5min", "number"),
            ("at_least_once", "constant"),
            ("parse", "keyword"),
            ("regex", "function"),
            ("else", "keyword.conditional"),
            ("matches", "keyword.operator"),
            ("lower", "function"),
            ("tidy", "function"),
            ("most", "variable.parameter"),
            ("optional", "keyword"),
            ("lake", "variable"),
            ("->", "operator"),
        ],
    );
}

#[test]
fn raw_text_is_a_regular_expression_where_one_is_expected() {
    let expected = [r"^[a-z]+$", r"^(?<user>\w+)$", r"\d"].map(|text| (text, "injection.content"));
    assert_has(INJECTIONS, &expected);
}

#[test]
fn declarations_are_definitions() {
    let expected = ["topic", "letters", "Click", "clicks", "limits"].map(|text| (text, "local.definition"));
    assert_has(LOCALS, &expected);
    assert_has(LOCALS, &[("user", "local.reference")]);
}

#[test]
fn braces_fold_and_indent() {
    let branches = PROGRAM[PROGRAM.find("copy {").unwrap()..].split('}').next().unwrap().to_owned() + "}";
    assert_has(FOLDS, &[(&branches, "fold")]);
    assert_has(INDENTS, &[(&branches, "indent")]);
}
