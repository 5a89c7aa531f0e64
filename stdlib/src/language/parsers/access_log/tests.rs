use serde_json::Value;

use super::super::tests::ParseStep;

fn row(line: &str) -> Value {
    let parsed = ParseStep::compile("parse access_log", "").row(line);
    parsed.unwrap_or_else(|reason| panic!("{line}: {reason}"))
}

fn reason(line: &[u8]) -> String {
    ParseStep::compile("parse access_log", "").row(line).expect_err("the line is wrong")
}

#[test]
fn the_combined_format_is_read() {
    let line = r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)""#;
    let expected = serde_json::json!({
        "client": "127.0.0.1", "user": "frank", "time": "2000-10-10T20:55:36Z", "method": "GET",
        "path": "/apache_pb.gif", "protocol": "HTTP/1.0", "request": "GET /apache_pb.gif HTTP/1.0",
        "status": 200, "size": 2326, "referrer": "http://www.example.com/start.html",
        "user_agent": "Mozilla/4.08 [en] (Win98; I ;Nav)",
    });
    assert_eq!(row(line), expected);
}

#[test]
fn the_common_format_has_no_referrer_and_a_dash_is_null() {
    let row = row(r#"::1 - - [10/Oct/2000:13:55:36 +0000] "HEAD / HTTP/1.1" 304 -"#);
    assert_eq!(row["client"], "::1");
    for missing in ["user", "size", "referrer", "user_agent"] {
        assert!(row[missing].is_null(), "{missing}");
    }
}

#[test]
fn requests_of_other_protocols_have_no_method() {
    for (logged, request) in [
        (r"\x16\x03\x01\x00\xee", r"\x16\x03\x01\x00\xee"),
        ("-", "-"),
        ("", ""),
        (r"SSH-2.0-Go\r\n", "SSH-2.0-Go\r\n"),
        ("get / HTTP/1.1", "get / HTTP/1.1"),
        ("GET", "GET"),
    ] {
        let row = row(&format!(r#"a - - [10/Oct/2000:13:55:36 +0000] "{logged}" 400 0 "-" "-""#));
        assert_eq!(row["request"], request);
        assert!(row["method"].is_null() && row["path"].is_null() && row["protocol"].is_null(), "{logged}");
    }
}

#[test]
fn escapes_are_undone_in_requests_and_user_agents() {
    let row = row(
        r#"h - "" [10/Oct/2000:13:55:36 +0000] "GET /a\"b?q=\xC3\xA4 x HTTP/1.1" 200 5 "\\ref" "an \"agent\" \xff" 0.003 extra"#,
    );
    assert_eq!(row["method"], "GET");
    assert_eq!(row["path"], "/a\"b?q=ä x");
    assert_eq!(row["protocol"], "HTTP/1.1");
    assert_eq!(row["referrer"], "\\ref");
    // The result would be no text.
    assert_eq!(row["user_agent"], r#"an \"agent\" \xff"#);
    assert_eq!(row["user"], Value::Null);
}

#[test]
fn odd_users_and_old_requests_are_read() {
    let row = row(r#"fe80::1%eth0 ident Jean [x] Müller [10/Oct/2000:13:55:36 +0000] "GET /old" 200 0"#);
    assert_eq!(row["user"], "Jean [x] Müller");
    assert_eq!((&row["method"], &row["path"]), (&"GET".into(), &"/old".into()));
    assert!(row["protocol"].is_null());
}

#[test]
fn a_reason_says_what_is_missing_and_where() {
    let reasons = [
        (&b""[..], "\"\" at byte 0 is not a client"),
        (
            b"www.example.org:80 10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] \"GET / HTTP/1.1\" 200 0",
            "\"- - [10/Oct/2000:13:55:36 +0000] \\\"GET / HTTP/1.1\\\" 200 0\" at byte 28 is not a user and a time in brackets",
        ),
        (b"a - - 10/Oct/2000", "\"- 10/Oct/2000\" at byte 4 is not a user and a time in brackets"),
        (
            br#"a - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1"#,
            "\"\\\"GET / HTTP/1.1\" at byte 35 is not a request in quotes",
        ),
        (
            br#"a - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 2xx 5"#,
            "field `status`: \"2xx\" at byte 52 is not an Int",
        ),
        (
            br#"a - - [10/Foo/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#,
            "field `time`: \"10/Foo/2000:13:55:36 +0000\" at byte 7 is not a Time in the format of the field",
        ),
        (b"a \xff", "\"\u{fffd}\" at byte 2 is not UTF-8"),
    ];
    for (line, expected) in reasons {
        assert_eq!(reason(line), expected);
    }
}
