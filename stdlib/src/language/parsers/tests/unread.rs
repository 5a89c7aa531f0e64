//! Fields that nothing reads: whether a body has the form of the parser does not depend on which fields are read.

use arrow_array::BinaryViewArray;
use fastrand::Rng;
use weir_runtime::parsers::Parser;

use super::ParseStep;
use super::mutations::damaged;

/// Every text of a body is a value of these fields, so a body fails by its form alone.
const SCHEMAS: &str = "schema Texts { a: Text?, b: Text?, c: Text?, d: Text? }\n\
                       schema Documents { a: Json?, b: Json?, c: Json?, d: Json? }\n\
                       schema Avro { a: Text?, b: [Int], c: Bool?, d: [Text]?, e: Text? }";

fn failed(parser: &dyn Parser, bodies: &[Vec<u8>]) -> Vec<usize> {
    let parsed = parser.parse(&BinaryViewArray::from_iter_values(bodies)).expect("only rows fail");
    parsed.failures.rows().collect()
}

/// Compares a step that reads all fields with steps that read some, over damaged copies of a body.
fn compare(step: &str, body: &[u8]) {
    let all = ParseStep::compile(step, SCHEMAS);
    assert!(all.row(body).is_ok(), "{step}: {:?}", all.row(body));
    let fields = all.fields.len();
    let mut random = Rng::with_seed(7);
    let bodies: Vec<Vec<u8>> = (0..4_000).map(|_| damaged(body, &mut random)).collect();
    let expected = failed(&*all.parser(), &bodies);
    assert!((100..3_900).contains(&expected.len()), "{step}: {} of 4,000 failed", expected.len());
    for read in 1..(1_u32 << fields) - 1 {
        let mut some = ParseStep::compile(step, SCHEMAS);
        let mut number = 0;
        some.fields.retain(|_| {
            number += 1;
            read & (1 << (number - 1)) != 0
        });
        let found = failed(&*some.parser(), &bodies);
        if let Some(row) = (0..bodies.len()).find(|row| expected.contains(row) != found.contains(row)) {
            let body = String::from_utf8_lossy(&bodies[row]).into_owned();
            panic!("{step}, fields {read:b}: {body:?}: {:?}", all.row(&bodies[row]));
        }
    }
}

#[test]
fn a_line_of_csv_has_the_same_form_whatever_is_read() {
    compare("parse csv as Texts", br#"1,"two ""quoted"", one",,"four""#);
    compare(r#"parse csv(quote: "'", trim: true) as Texts"#, b" 'a ''b''' , 12 ,  - , 'end' ");
}

#[test]
fn a_json_object_has_the_same_form_whatever_is_read() {
    let body =
        br#"{"a": {"x": [1, null, "t\u00e4"]}, "b": -1.5e3, "c": "text \" \\", "d": [true, {}], "e": [[]]}"#;
    compare("parse json as Documents", body);
}

#[test]
fn pairs_have_the_same_form_whatever_is_read() {
    compare("parse kv as Texts", br#"a="x \\ \"y\"" b=12 c= d=z"#);
    compare("parse logfmt as Texts", br#"a="x \n \"y\"" b=12 c d=z"#);
}

#[test]
fn a_datum_of_avro_has_the_same_form_whatever_is_read() {
    const SCHEMA: &str = r#"{"type": "record", "name": "r", "fields": [
        {"name": "a", "type": "string"}, {"name": "b", "type": {"type": "array", "items": "long"}},
        {"name": "c", "type": "boolean"}, {"name": "d", "type": ["null", {"type": "array", "items": "string"}]},
        {"name": "further", "type": {"type": "map", "values": "double"}},
        {"name": "e", "type": {"type": "enum", "name": "x", "symbols": ["one", "two"]}}]}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.avsc");
    std::fs::write(&path, SCHEMA).unwrap();
    let mut body = b"\x06abc".to_vec();
    // Two items in three bytes, then one in a block without a length.
    body.extend([3, 6, 2, 0x80, 1, 2, 4, 0]);
    body.push(1);
    body.extend(b"\x02\x04\x04de\x02f\x00");
    body.extend(b"\x01\x14\x02k");
    body.extend(1.5_f64.to_le_bytes());
    body.extend([0, 2]);
    compare(&format!("parse avro(schema: {path:?}) as Avro"), &body);
}
