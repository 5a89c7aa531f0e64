use serde_json::{Value, json};

use super::super::tests::{ParseStep, ParsedRow};

const SCHEMAS: &str = "schema Query { status: Int?, took: Duration?, user: Text?, page: Text? }\n\
                       schema Needed { status: Int }";

fn row(step: &str, body: &str) -> ParsedRow {
    ParseStep::compile(&format!("parse {step}"), SCHEMAS).row(body)
}

fn value(step: &str, body: &str) -> Value {
    row(step, body).unwrap_or_else(|reason| panic!("{body}: {reason}"))
}

#[test]
fn pairs_become_fields_and_the_last_of_a_name_counts() {
    let step = "kv as Query";
    for (body, expected) in [
        (r#"status=200 took=5ms user="a b""#, json!({ "status": 200, "took": "5ms", "user": "a b" })),
        (r#"  user=x   word user=y other="z \" z"  "#, json!({ "user": "y" })),
        (r#"user="a \"b\" \\ \n" page=a=b"#, json!({ "user": "a \"b\" \\ \\n", "page": "a=b" })),
        (r#"user= page="""#, json!({ "page": "" })),
        ("", json!({})),
    ] {
        assert_eq!(value(step, body), expected, "{body}");
    }
}

#[test]
fn separators_and_signs_are_texts() {
    let query = r#"kv(separator: "&") as Query"#;
    assert_eq!(
        value(query, "status=200&user=a b&&page=/"),
        json!({ "status": 200, "user": "a b", "page": "/" })
    );
    let odd = r#"kv(separator: ", ", sign: ": ") as Query"#;
    assert_eq!(
        value(odd, r#"user: a:b, page: "x, y", status: 7"#),
        json!({ "user": "a:b", "page": "x, y", "status": 7 })
    );
}

#[test]
fn wrong_bodies_fail_with_the_place() {
    for (step, body, reason) in [
        ("kv as Query", r#"user="a"#, "\"\\\"a\" at byte 5 is not a value with a closing quote"),
        ("kv as Query", r#"user="a\"#, "\"\\\"a\\\\\" at byte 5 is not a value with a closing quote"),
        ("kv as Query", r#"user="a"b"#, "\"b\" at byte 8 is not a separator after a quoted value"),
        ("kv as Query", "status=x", "field `status`: \"x\" at byte 7 is not an Int"),
        ("kv as Needed", "user=x", "the body has no field `status`"),
        ("kv as Needed", "status=", "field `status`: \"\" at byte 7 is not an Int"),
        ("kv as Needed strict", "status=1 user=x", "\"user\" at byte 9 is not a field of the schema"),
        ("kv as Needed strict", "status=1 x", "\"x\" at byte 9 is not a pair of a name and a value"),
    ] {
        assert_eq!(row(step, body).expect_err(body), reason, "{body}");
    }
}
