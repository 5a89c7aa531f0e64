use serde_json::{Value, json};

use super::super::tests::{ParseStep, ParsedRow};

const SCHEMAS: &str = "schema Entry { level: Text?, msg: Text?, took: Duration?, cached: Bool?, n: Int? }";

fn row(step: &str, body: &str) -> ParsedRow {
    ParseStep::compile(&format!("parse {step}"), SCHEMAS).row(body)
}

fn value(body: &str) -> Value {
    row("logfmt as Entry", body).unwrap_or_else(|reason| panic!("{body}: {reason}"))
}

#[test]
fn pairs_become_fields_and_a_key_alone_is_true() {
    for (body, expected) in [
        (
            r#"level=info msg="a b" cached took=5ms"#,
            json!({ "level": "info", "msg": "a b", "cached": true, "took": "5ms" }),
        ),
        ("\t level=a\tlevel=b  cached=false", json!({ "level": "b", "cached": false })),
        (r#"msg="line\nnext \"q\" \u00e4" n=7"#, json!({ "msg": "line\nnext \"q\" ä", "n": 7 })),
        (r#"msg=a=b"c level= n="#, json!({ "msg": "a=b\"c" })),
        ("level msg=\"\"", json!({ "msg": "" })),
        ("", json!({})),
    ] {
        assert_eq!(value(body), expected, "{body}");
    }
}

#[test]
fn wrong_bodies_fail_with_the_place() {
    for (step, body, reason) in [
        ("logfmt as Entry", "=x", "\"=x\" at byte 0 is not a key"),
        ("logfmt as Entry", "a\"b", "\"a\\\"b\" at byte 0 is not a key"),
        ("logfmt as Entry", "msg=\"a", "\"\\\"a\" at byte 4 is not a value with a closing quote"),
        ("logfmt as Entry", "msg=\"a\"b", "\"b\" at byte 7 is not a space after a quoted value"),
        (
            "logfmt as Entry",
            r#"msg="\q""#,
            "\"\\\"\\\\q\\\"\" at byte 4 is not a value with the escapes of JSON",
        ),
        ("logfmt as Entry", "n=x", "field `n`: \"x\" at byte 2 is not an Int"),
        ("logfmt as Entry strict", "n=1 other=2", "\"other\" at byte 4 is not a field of the schema"),
    ] {
        assert_eq!(row(step, body).expect_err(body), reason, "{body}");
    }
}
