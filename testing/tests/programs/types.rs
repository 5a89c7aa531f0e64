//! Values of every type in the tables of tests.

use weir_testing::RunSettings;

use crate::{failure_in, results_of};

const SCHEMAS: &str = r#"
schema Item { name: Text, price: Decimal(10, 2)? }
schema Order {
  id: Int
  at: Time
  total: Decimal(10, 2)
  items: [Item]
  from: Ip?
  tags: Map<Text>
  raw: Json?
  took: Duration?
  size: Size?
  first: Item?
  ok: Bool
  rate: Float
}
"#;

/// Checks that a function which returns its argument of this type returns each of these values.
fn returns(value_type: &str, rows: &[(&str, &str)]) {
    let rows: String = rows.iter().map(|(given, out)| format!("    in: {given}, out: {out}\n")).collect();
    let text = format!(
        "{SCHEMAS}\nfn same(x: {value_type}) -> {value_type} {{ x }}\ntest \"t\" of same {{\n  for each {{\n{rows}  }}\n}}\n"
    );
    assert_eq!(failure_in(&text), "", "{value_type}");
}

#[test]
fn functions_take_and_give_values_of_every_type() {
    let time = r#""2026-01-31T12:00:00Z""#;
    returns("Time", &[(time, time), (time, r#""2026-01-31T13:00:00+01:00""#)]);
    returns("Decimal(10, 2)", &[("1.50", "1.5"), ("-3", "-3.0"), ("12345678.91", "12345678.91")]);
    returns(
        "Decimal(38, 2)",
        &[("123456789012345678901234567890123456.78", "123456789012345678901234567890123456.78")],
    );
    returns("Duration", &[("5s", "5_000ms"), ("-5s", "-5s")]);
    returns("Size", &[("1KiB", "1024B")]);
    returns("Ip", &[(r#""10.0.0.1""#, r#""10.0.0.1""#), (r#""::1""#, r#""0:0:0:0:0:0:0:1""#)]);
    returns("Bool", &[("true", "true")]);
    returns("Float", &[("1", "1.0"), ("-0.5", "-0.5")]);
    returns("Bytes", &[(r#""x\u{ff}""#, r#""x\u{ff}""#)]);
    returns("Time?", &[("null", "null"), (time, time)]);
    returns("[Time]", &[(&format!("[{time}]"), &format!("[{time}]")), ("[]", "[]")]);
    returns("Map<Int>", &[("{ a: 1 }", "{ a: 1 }"), ("{}", "{}")]);
}

#[test]
fn functions_take_and_give_json_and_records() {
    let document = r#"{ a: [1, 2.5, null, "x", true], b: { c: "d" } }"#;
    returns("Json", &[(document, document), (document, r#"{ b: { c: "d" } }"#)]);
    returns("Json", &[(r#""x""#, r#""x""#), ("1", "1"), ("[1]", "[1]"), ("true", "true")]);
    let item = r#"{ name: "a", price: 1.5 }"#;
    returns("Item", &[(item, item), (item, r#"{ price: 1.50 }"#), (r#"{ name: "a" }"#, r#"{ name: "a" }"#)]);
    returns("[Item]", &[(&format!("[{item}]"), &format!("[{item}]"))]);
    returns("Map<Item>", &[(&format!("{{ x: {item} }}"), &format!("{{ x: {item} }}"))]);
}

#[test]
fn a_schema_gives_the_types_of_what_goes_into_an_interceptor() {
    let text = format!(
        r#"{SCHEMAS}
interceptor dear(least: Decimal(10, 2)) {{
  keep if total >= least
  set late = at > now()
  set vat = total * 0.19
}}
test "dear orders" of dear(10) as Order {{
  for each {{
    in: {{
      id: 1, at: "2026-01-02T00:00:00Z", total: 10.00, items: [{{ name: "a", price: 3 }}], tags: {{ x: "y" }}, ok: true, rate: 0.5,
      raw: {{ a: [1] }}, first: {{ name: "b" }}, took: 3ms, size: 2KiB, from: "10.0.0.1"
    }}, out: {{
      late: true, total: 10, vat: 1.9, items: [{{ name: "a" }}], raw: {{ a: [1] }}, first: {{ name: "b" }}, took: 3ms
    }}
    in: {{ id: 2, at: "2025-01-02T00:00:00Z", total: 9.99, items: [], tags: {{}}, ok: true, rate: 0.5 }}, out: []
  }}
}}
"#
    );
    assert_eq!(failure_in(&text), "");
}

#[test]
fn decimals_are_compared_exactly() {
    let text = r#"
fn same(x: Decimal(38, 2)) -> Decimal(38, 2) { x }
test "t" of same { for each { in: 123456789012345678901234567890123456.78, out: 123456789012345678901234567890123456.79 } }
"#;
    let (_, results) = results_of(text, RunSettings::default());
    assert!(results[0].failure.is_some());
}
