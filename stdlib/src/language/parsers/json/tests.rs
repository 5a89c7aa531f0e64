use serde_json::{Value, json};

use super::super::tests::{ParseStep, ParsedRow};

const SCHEMAS: &str = r#"
schema Numbers { int: Int?, code: Int? in 100..=599, float: Float?, price: Decimal(10, 2)?, size: Size?, ms: Duration? in ms }
schema Texts {
  text: Text?, bytes: Bytes?, at: Time?, day: Time? as "%d/%b/%Y", seconds: Time? as "%s", took: Duration?, peer: Ip?
  price: Decimal(10, 2)?, size: Size?, flag: Bool?
}
schema Nested { tags: [Text]?, counts: Map<Int>?, place: Place?, places: [Place]?, by_name: Map<Place>?, grid: [[Int]]? }
schema Place { city: Text, country: Text?, since: Time? as "%Y-%m-%d", took: Duration? in s }
schema Open { detail: Json, more: Json?, all: [Json]? }
schema Needed { id: Int, name: Text }
"#;

fn row(schema: &str, body: &str) -> ParsedRow {
    ParseStep::compile(&format!("parse json as {schema}"), SCHEMAS).row(body)
}

fn value(schema: &str, body: &str) -> Value {
    row(schema, body).unwrap_or_else(|reason| panic!("{body}: {reason}"))
}

#[track_caller]
fn fails(schema: &str, body: &str, reason: &str) {
    assert_eq!(row(schema, body).expect_err(body), reason, "{body}");
}

#[test]
fn numbers_are_read_exactly_or_not_at_all() {
    let body = r#"{"int": -12, "code": 404, "float": 1.5e3, "price": 10.25, "size": 18446744073709551615, "ms": 12.5}"#;
    let expected =
        json!({ "int": -12, "code": 404, "float": 1500.0, "price": 10.25, "size": u64::MAX, "ms": "12.5ms" });
    assert_eq!(value("Numbers", body), expected);
    assert_eq!(value("Numbers", r#"{"int": 5.0, "float": 7, "price": 1e3}"#)["int"], 5);
    assert_eq!(value("Numbers", r#"{"int": 9.223372036854775807e18}"#)["int"], i64::MAX);
    fails("Numbers", r#"{"int": 5.5}"#, "field `int`: \"5.5\" at byte 8 is not an Int");
    fails("Numbers", r#"{"int": "5"}"#, "field `int`: \"\\\"5\\\"\" at byte 8 is not an Int");
    fails(
        "Numbers",
        r#"{"int": 9223372036854775808}"#,
        "field `int`: \"9223372036854775808\" at byte 8 is not an Int",
    );
    fails(
        "Numbers",
        r#"{"code": 600}"#,
        "field `code`: \"600\" at byte 9 is not an Int in the range of the field",
    );
    fails("Numbers", r#"{"float": 1e999}"#, "field `float`: \"1e999\" at byte 10 is not a Float");
    fails(
        "Numbers",
        r#"{"price": 1.005}"#,
        "field `price`: \"1.005\" at byte 10 is not a Decimal with the digits of the field",
    );
    fails("Numbers", r#"{"size": -1}"#, "field `size`: \"-1\" at byte 9 is not a Size");
    let digits = "9".repeat(10_000);
    let reason = row("Numbers", &format!("{{\"int\": {digits}}}")).expect_err("it is too large");
    assert!(reason.len() < 150 && reason.contains('…'), "{reason}");
}

#[test]
fn a_byte_order_mark_before_the_document_is_ignored() {
    assert_eq!(value("Numbers", "\u{feff} {\"int\": 5}")["int"], 5);
    assert_eq!(value("Texts", "\u{feff}{\"text\": \"a\"}")["text"], "a");
    fails("Numbers", "\u{feff}{\"int\": 5.5}", "field `int`: \"5.5\" at byte 11 is not an Int");
}

#[test]
fn texts_are_read_as_the_types_of_the_schema() {
    let body = r#"{"text": "a \u00e4 \ud83c\udf0a \"x\"\n", "bytes": "base64:AP8=", "at": "2026-01-31T12:00:00.000001+01:00",
        "day": "31/Jan/2026", "seconds": 1718800000, "took": "1.5s", "peer": "::ffff:10.0.0.1", "price": "10.20",
        "size": "2KiB", "flag": true}"#;
    let expected = json!({
        "text": "a ä 🌊 \"x\"\n", "bytes": "base64:AP8=", "at": "2026-01-31T11:00:00.000001Z", "day": "2026-01-31T00:00:00Z",
        "seconds": "2024-06-19T12:26:40Z", "took": "1500ms", "peer": "10.0.0.1", "price": 10.2, "size": 2048, "flag": true,
    });
    assert_eq!(value("Texts", body), expected);
    fails("Texts", r#"{"text": 5}"#, "field `text`: \"5\" at byte 9 is not a Text");
    fails("Texts", r#"{"text": "\ud800"}"#, "field `text`: \"\\\"\\\\ud800\\\"\" at byte 9 is not a Text");
    fails("Texts", r#"{"bytes": "base64:!"}"#, "field `bytes`: \"\\\"base64:!\\\"\" at byte 10 is not Bytes");
    fails("Texts", r#"{"flag": 1}"#, "field `flag`: \"1\" at byte 9 is not a Bool");
    fails("Texts", r#"{"at": "yesterday"}"#, "field `at`: \"\\\"yesterday\\\"\" at byte 7 is not a Time");
    fails("Texts", r#"{"took": 5}"#, "field `took`: \"5\" at byte 9 is not a Duration");
}

#[test]
fn lists_maps_and_records_are_read_into_their_columns() {
    let body = r#"{"tags": ["a long enough tag", "b\tc"], "counts": {"x": 1, "y": 2, "x": 3},
        "place": {"city": "Ulm", "since": "2020-02-03", "other": [1], "took": 2}, "grid": [[1, 2], [], [3]],
        "places": [{"city": "A"}, {"city": "B", "country": null}], "by_name": {"home": {"country": "DE", "city": "C"}}}"#;
    let expected = json!({
        "tags": ["a long enough tag", "b\tc"], "counts": { "y": 2, "x": 3 },
        "place": { "city": "Ulm", "since": "2020-02-03T00:00:00Z", "took": "2s" }, "grid": [[1, 2], [], [3]],
        "places": [{ "city": "A" }, { "city": "B" }], "by_name": { "home": { "city": "C", "country": "DE" } },
    });
    assert_eq!(value("Nested", body), expected);
    assert_eq!(value("Nested", "{}"), json!({}));
    fails("Nested", r#"{"tags": ["a", null]}"#, "field `tags[]`: \"null\" at byte 15 is not a Text");
    fails("Nested", r#"{"tags": {}}"#, "field `tags`: \"{}\" at byte 9 is not a list");
    fails("Nested", r#"{"counts": {"a": "x"}}"#, "field `counts[]`: \"\\\"x\\\"\" at byte 17 is not an Int");
    fails("Nested", r#"{"place": {"country": "x"}}"#, "the body has no field `place.city`");
    fails(
        "Nested",
        r#"{"places": [{"city": null}]}"#,
        "field `places[].city`: \"null\" at byte 21 is not a Text",
    );
}

/// A row that fails leaves the other rows of its batch as they are, in nested columns too.
#[test]
fn a_failing_row_does_not_change_the_others() {
    let step = ParseStep::compile("parse json as Nested", SCHEMAS);
    let good: &[u8] =
        br#"{"tags": ["a", "b"], "places": [{"city": "A"}], "counts": {"a": 1}, "grid": [[1]]}"#;
    let bad: [&[u8]; 5] = [
        br#"{"tags": ["a", "b", 5], "places": [{"city": "A"}, {"city": 1}], "counts": {"a": 1, "b": []}}"#,
        b"{",
        br#"{"grid": [[1, 2], [3, "x"], [4]]}"#,
        b"\xff",
        br#"{"places": [{"country": "x"}, 5]}"#,
    ];
    let bodies: Vec<&[u8]> = bad.iter().flat_map(|bad| [good, bad]).chain([good]).collect();
    let rows = step.rows(&bodies);
    let alone = step.row(good).expect("it is right");
    for (row, parsed) in rows.iter().enumerate() {
        match row % 2 {
            0 => assert_eq!(parsed.as_ref().expect("it is right"), &alone, "row {row}"),
            _ => assert!(parsed.is_err(), "row {row}"),
        }
    }
}

#[test]
fn json_of_any_kind_is_kept_as_its_text() {
    let body = r#"{"detail": {"a": [1, 2.50]}, "more": null, "all": ["x", null, 1e400]}"#;
    let row = value("Open", body);
    assert_eq!(row["detail"], r#"{"a": [1, 2.50]}"#);
    assert_eq!(row["all"], json!([r#""x""#, "null", "1e400"]));
    assert_eq!(value("Open", r#"{"detail": null}"#)["detail"], "null");
}

#[test]
fn missing_members_are_null_and_unknown_ones_are_ignored_unless_the_step_is_strict() {
    fails("Needed", r#"{"id": 1}"#, "the body has no field `name`");
    fails("Needed", r#"{"id": null, "name": "x"}"#, "field `id`: \"null\" at byte 7 is not an Int");
    let body = r#"{"other": [{"id": 7}], "id": 1, "id": 2, "name": "x", "x": "\u00e4"}"#;
    assert_eq!(value("Needed", body), json!({ "id": 2, "name": "x" }));
    fails("Needed strict", body, "\"other\" at byte 2 is not a field of the schema");
    assert_eq!(value("Needed strict", r#"{"n\u0061me": "x", "id": 1}"#), json!({ "id": 1, "name": "x" }));
    let nested = r#"{"place": {"city": "x", "since": null, "zip": 5}}"#;
    fails("Nested strict", nested, "field `place`: \"zip\" at byte 40 is not a field of the schema");
}

#[test]
fn bodies_that_are_no_object_fail_with_the_place() {
    let reasons = [
        ("", "\"\" at byte 0 is not a JSON object"),
        ("[1]", "\"[1]\" at byte 0 is not a JSON object"),
        ("null", "\"null\" at byte 0 is not a JSON object"),
        ("{} x", "\"x\" at byte 3 is not the end of the object"),
        (r#"{"id": 1} {"id": 2}"#, "\"{\\\"id\\\": 2}\" at byte 10 is not the end of the object"),
    ];
    for (body, reason) in reasons {
        fails("Nested", body, reason);
    }
    for body in [
        r#"{"id": 1"#,
        r#"{"id": 1,}"#,
        r#"{"id" 1}"#,
        r#"{"id": 01}"#,
        r#"{'id': 1}"#,
        r#"{"id": tru}"#,
        r#"{"x": "\u12g4"}"#,
    ] {
        let reason = row("Nested", body).expect_err(body);
        assert!(reason.contains("is not JSON"), "{body}: {reason}");
    }
    let step = ParseStep::compile("parse json as Nested", SCHEMAS);
    let reason = step.row(b"{\"a\": \"\xc3\"}").expect_err("it is no UTF-8");
    assert_eq!(reason, "\"\u{fffd}\\\"}\" at byte 7 is not UTF-8");
}

#[test]
fn deep_bodies_do_not_fill_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |name: &str, levels: usize, closed: usize| {
            format!("{{\"{name}\": {}1{}}}", open.repeat(levels), close.repeat(closed))
        };
        assert_eq!(value("Nested", &deep("x", 1_000_000, 1_000_000)), json!({}));
        assert!(row("Nested", &deep("x", 1_000_000, 999_999)).is_err());
        let wanted = row("Nested", &deep("places", 1_000_000, 1_000_000)).expect_err("it has another type");
        assert!(wanted.starts_with("field `places"), "{wanted}");
        assert!(row("Open", &deep("detail", 1_000_000, 1_000_000)).is_ok());
    }
}
