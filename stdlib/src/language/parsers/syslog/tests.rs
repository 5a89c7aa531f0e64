use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::super::tests::ParseStep;

fn row(message: &str) -> Value {
    let parsed = ParseStep::compile("parse syslog", "").row(message);
    parsed.unwrap_or_else(|reason| panic!("{message}: {reason}"))
}

fn reason(message: &str) -> String {
    ParseStep::compile("parse syslog", "").row(message).expect_err(message)
}

/// The examples of RFC 5424, section 6.5.
#[test]
fn messages_of_rfc_5424_are_read() {
    let first = "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8";
    let expected = json!({
        "facility": 4, "severity": 2, "time": "2003-10-11T22:14:15.003Z", "host": "mymachine.example.com",
        "application": "su", "message_id": "ID47", "data": {}, "message": "'su root' failed for lonvick on /dev/pts/8",
    });
    assert_eq!(row(first), expected);
    let second = row(
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
    );
    assert_eq!(
        (&second["time"], &second["process"]),
        (&json!("2003-08-24T12:14:15.000003Z"), &json!("8710"))
    );
    let third = row(
        r#"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] An application event log entry"#,
    );
    let data = json!({
        "exampleSDID@32473.iut": "3", "exampleSDID@32473.eventSource": "Application", "exampleSDID@32473.eventID": "1011",
    });
    assert_eq!((&third["data"], &third["message"]), (&data, &json!("An application event log entry")));
    let fourth = row(
        r#"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3"][examplePriority@32473 class="high"]"#,
    );
    assert_eq!(
        fourth["data"],
        json!({ "exampleSDID@32473.iut": "3", "examplePriority@32473.class": "high" })
    );
    assert_eq!(fourth["message"], "");
}

#[test]
fn escapes_of_values_are_undone_and_the_last_of_a_name_counts() {
    let row = row(r#"<0>1 - - - - - [a b="q \" b \\ c \] \n" b="2" c="1"][a c="2"][e] m"#);
    assert_eq!(row["data"], json!({ "a.b": "2", "a.c": "2" }));
    assert_eq!(
        row,
        json!({ "facility": 0, "severity": 0, "data": { "a.b": "2", "a.c": "2" }, "message": "m" })
    );
    let escaped = super::message::plain(br#"q \" b \\ c \] \n"#);
    assert_eq!(escaped, br#"q " b \ c ] \n"#);
}

/// The examples of RFC 3164, section 5.4, and the forms that programs write.
#[test]
fn messages_of_rfc_3164_are_read() {
    let parts = |message: &str| {
        let row = row(message);
        ["host", "application", "process", "message"].map(|name| row[name].as_str().map(str::to_owned))
    };
    let some = |parts: [&str; 4]| parts.map(|part| Some(part.to_owned()).filter(|part| part != "-"));
    for (message, expected) in [
        ("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", ["mymachine", "su", "-", "'su root' failed"]),
        ("<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", ["10.0.0.99", "-", "-", "Use the BFG!"]),
        ("<13>Feb  5 17:32:18 web sshd[4711]: Accepted\n", ["web", "sshd", "4711", "Accepted"]),
        ("<13>2026-01-01T10:00:00+02:00 web-1 app: hello", ["web-1", "app", "-", "hello"]),
        ("<13>2026-01-01T10:00:00Z web-1", ["web-1", "-", "-", ""]),
        ("<189>123: *Mar  1 18:46:11: %SYS-5", ["-", "-", "-", "%SYS-5"]),
        ("<13>hello world", ["-", "-", "-", "hello world"]),
        ("<13>", ["-", "-", "-", ""]),
    ] {
        assert_eq!(parts(message), some(expected), "{message}");
    }
}

#[test]
fn a_time_without_a_year_is_the_nearest_one_in_the_zone() {
    let now = Timestamp::now();
    let then = now - 3.hours();
    let local = then.in_tz("Asia/Tokyo").expect("the zone exists");
    let message = format!("<13>{} host a: b", local.strftime("%b %e %H:%M:%S"));
    let step = ParseStep::compile(r#"parse syslog(zone: "Asia/Tokyo")"#, "");
    let row = step.row(&message).expect("it is a message");
    let read: Timestamp = row["time"].as_str().and_then(|time| time.parse().ok()).expect("it is a time");
    assert_eq!(read.as_second(), then.as_second());
}

#[test]
fn other_texts_fail_with_the_place() {
    for (message, expected) in [
        ("", "\"\" at byte 0 is not a message with a priority"),
        ("<192>x", "\"<192>x\" at byte 0 is not a message with a priority"),
        ("<34>1 yesterday h a p i -", "field `time`: \"yesterday\" at byte 6 is not a Time"),
        ("<34>1 - h a p", "\"p\" at byte 12 is not a process"),
        ("<34>1 - h a p i x", "\"x\" at byte 16 is not structured data"),
        ("<34>1 - h a p i -x", "\"x\" at byte 17 is not a space after the structured data"),
        ("<34>1 - h a p i [a b=\"c", "\"\\\"c\" at byte 21 is not a value with a closing quote"),
        ("<34>1 - h a p i [a b=c]", "\"=c]\" at byte 20 is not a value in quotes"),
        ("<34>1 - h a p i []", "\"]\" at byte 17 is not the name of an element"),
    ] {
        assert_eq!(reason(message), expected, "{message}");
    }
    let many: String = (0..300).map(|number| format!(" p{number}=\"1\"")).collect();
    assert!(reason(&format!("<34>1 - h a p i [a{many}] m")).contains("at most 256 parameters"));
}
