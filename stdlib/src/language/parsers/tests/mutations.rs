//! Damaged bodies: no parser panics, and each returns a value or a failure for each row.

use arrow_array::{Array, BinaryViewArray};
use fastrand::Rng;

use super::ParseStep;

/// The steps, with a body that they can parse.
const STEPS: &[(&str, &str)] = &[
    (
        "parse json as Every",
        r#"{"flag": true, "count": -12, "code": 404, "ratio": 1.5e3, "price": 10.25, "name": "a \u00e4 \"b\"", "raw": "base64:AP8=", "at": "2026-01-31T12:00:00.5Z", "day": "31/Jan/2026", "took": "1500ms", "ms": 12.5, "size": "2KiB", "peer": "10.0.0.1", "extra": {"a": [1, {"b": null}]}, "tags": ["a", "b"], "numbers": {"a": 1, "b": 2}, "place": {"city": "x", "stays": [{"nights": 2}, {}]}}"#,
    ),
    (
        "parse access_log",
        r#"::1 - a b [10/Oct/2000:13:55:36 -0700] "GET /a\"b\x41 HTTP/1.1" 200 23 "http://a" "b (c)""#,
    ),
    (r#"parse csv(quote: "'", absent: "-", trim: true) as Line"#, "'a ''b''', 12, - ,true ,5s"),
    (
        "parse syslog",
        r#"<165>1 2003-10-11T22:14:15.003Z host app 12 ID47 [a@1 b="c \] d" e="f"][g h="i"] An application"#,
    ),
    ("parse syslog", "<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed"),
    (r#"parse grok(r"^%{WORD:name} %{INT:count}( %{IP:peer})?$") as Few"#, "name 12 ::1"),
    ("parse kv as Line", r#"name="a \\ \"b\"" count=12 flag=true took=5s"#),
    ("parse logfmt as Line", r#"name="a \n \"b\"" count=12 flag took=5s"#),
    (r#"parse regex r"^(?<name>\w+) (?<count>\d+)" as Few"#, "name 12"),
];

const SCHEMAS: &str = r#"
schema Every {
  flag: Bool?, count: Int?, code: Int? in 100..=599, ratio: Float?, price: Decimal(10, 2)?, name: Text?, raw: Bytes?
  at: Time?, day: Time? as "%d/%b/%Y", took: Duration?, ms: Duration? in ms, size: Size?, peer: Ip?, extra: Json?
  tags: [Text], numbers: Map<Int>, place: Place?
}
schema Place { city: Text, stays: [Stay] }
schema Stay { nights: Int?, price: Decimal(5, 1)? }
schema Few { name: Text, count: Int }
schema Line { name: Text, count: Int, ratio: Float?, flag: Bool?, took: Duration? }
"#;

/// Returns the body after a few random edits.
pub(in super::super) fn damaged(body: &[u8], random: &mut Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 16] = [
        b"\"", b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\\u", b"\\ud800", b"1e999", b"\xff",
        b"\x00", b"null", b"=",
    ];
    let mut body = body.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=body.len());
        let end = (at + random.usize(..6)).min(body.len());
        match random.u8(..5) {
            0 => drop(body.drain(at..end)),
            1 => drop(body.splice(at..at, PIECES[random.usize(..PIECES.len())].iter().copied())),
            2 => body.truncate(at),
            3 if at < body.len() => body[at] = random.u8(..),
            _ => {
                let copy = body[at..end].to_vec();
                let to = random.usize(..=body.len());
                drop(body.splice(to..to, copy));
            }
        }
    }
    body
}

#[test]
fn damaged_bodies_are_values_or_failures_of_their_rows() {
    for (number, (step, body)) in STEPS.iter().enumerate() {
        let step = ParseStep::compile(step, SCHEMAS);
        assert!(step.row(body).is_ok(), "{body}: {:?}", step.row(body));
        let parser = step.parser();
        let mut random = Rng::with_seed(number as u64);
        let mut failed = 0;
        for _ in 0..200 {
            let bodies: Vec<Vec<u8>> = (0..20).map(|_| damaged(body.as_bytes(), &mut random)).collect();
            let batch = BinaryViewArray::from_iter_values(&bodies);
            let parsed = parser.parse(&batch).expect("only rows fail");
            assert!(parsed.columns.iter().all(|column| column.len() == bodies.len()));
            failed += parsed.failures.rows().count();
        }
        assert!((100..4_000).contains(&failed), "{failed} of 4,000 bodies of {:?} failed", STEPS[number].0);
    }
}
