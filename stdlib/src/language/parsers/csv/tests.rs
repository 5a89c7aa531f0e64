use serde_json::{Value, json};

use super::super::tests::{ParseStep, ParsedRow};

const SCHEMAS: &str = "schema Order { id: Int, name: Text?, price: Decimal(10, 2)?, note: Text }\n\
                       schema Texts { a: Text, b: Text?, c: Text? }";

fn row(step: &str, body: &str) -> ParsedRow {
    ParseStep::compile(&format!("parse {step}"), SCHEMAS).row(body)
}

fn value(step: &str, body: &str) -> Value {
    row(step, body).unwrap_or_else(|reason| panic!("{body}: {reason}"))
}

/// The examples of RFC 4180, section 2.
#[test]
fn values_are_read_as_by_rfc_4180() {
    let step = "csv as Texts";
    for (body, expected) in [
        ("aaa,bbb,ccc", json!({ "a": "aaa", "b": "bbb", "c": "ccc" })),
        ("aaa,bbb,ccc\r\n", json!({ "a": "aaa", "b": "bbb", "c": "ccc" })),
        (r#""aaa","bbb","ccc""#, json!({ "a": "aaa", "b": "bbb", "c": "ccc" })),
        ("\"aaa\",\"b\r\nbb\",\"ccc\"", json!({ "a": "aaa", "b": "b\r\nbb", "c": "ccc" })),
        (r#""aaa","b""bb","ccc""#, json!({ "a": "aaa", "b": "b\"bb", "c": "ccc" })),
        (r#" a , b"b ,"#, json!({ "a": " a ", "b": " b\"b " })),
        (r#","","""""#, json!({ "a": "", "b": "", "c": "\"" })),
    ] {
        assert_eq!(value(step, body), expected, "{body}");
    }
}

#[test]
fn values_have_the_types_and_the_order_of_the_schema() {
    assert_eq!(
        value("csv as Order", "7,x,1.50,n"),
        json!({ "id": 7, "name": "x", "price": 1.5, "note": "n" })
    );
    assert_eq!(value("csv as Order", "7,,,"), json!({ "id": 7, "note": "" }));
    assert_eq!(value("csv as Order", r#""7","","",""more"#.replace("\"more", "\",x").as_str())["id"], 7);
    assert_eq!(value("csv as Order", "7,x,1,n,more,\"unclosed")["note"], "n");
    let refused = [
        ("csv as Order", "x,,,", "field `id`: \"x\" at byte 0 is not an Int"),
        ("csv as Order", ",,,", "field `id`: \"\" at byte 0 is not an Int"),
        ("csv as Order", "7,x,1", "the body has no field `note`"),
        ("csv as Order strict", "7,x,1,n,more", "\"more\" at byte 8 is not the end of the line"),
        ("csv as Order", "7,\"x", "\"x\" at byte 3 is not a value with a closing quote"),
        ("csv as Order", "7,\"x\"y,1,n", "\"y,1,n\" at byte 5 is not a delimiter after a quoted value"),
        (
            "csv as Order",
            "7,x,1.005,n",
            "field `price`: \"1.005\" at byte 4 is not a Decimal with the digits of the field",
        ),
    ];
    for (step, body, reason) in refused {
        assert_eq!(row(step, body).expect_err(body), reason, "{body}");
    }
}

#[test]
fn settings_choose_the_characters_the_missing_value_and_blanks() {
    let all = r#"csv(delimiter: "→", quote: "'", absent: "NULL", trim: true) as Texts"#;
    assert_eq!(value(all, " 'it''s' →NULL→ \t"), json!({ "a": "it's" }));
    assert_eq!(value(all, "a→ 'NULL' → b c "), json!({ "a": "a", "b": "NULL", "c": "b c" }));
    assert_eq!(row(all, "NULL→b→c").expect_err("it is missing"), "the body has no field `a`");
    assert_eq!(value(r#"csv(delimiter: "\t") as Texts"#, "a\tb,c\t"), json!({ "a": "a", "b": "b,c" }));
}

#[test]
fn values_of_fields_that_nothing_reads_are_passed_over() {
    let mut step = ParseStep::compile("parse csv as Order", SCHEMAS);
    let all: Vec<String> = step.fields.iter().map(|field| field.name.clone()).collect();
    let third = all[2].clone();
    step.fields.retain(|field| field.name == third);
    let read = step.row(r#"no number,"x,y",1.50,unread,"unread"quotes"#).expect("the third value is right");
    assert_eq!(read, json!({ third.as_str(): 1.5 }));
    assert!(step.row(r#"no number,"x,y",1.50,"unread"quotes"#).is_err(), "the line has not the form of CSV");
    assert!(step.row("7,x,one,n").is_err());
    assert_eq!(step.row("7,x"), Ok(json!({})), "the field may be null");
}
