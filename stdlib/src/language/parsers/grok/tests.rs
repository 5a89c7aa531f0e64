use serde_json::{Value, json};

use super::super::tests::ParseStep;

fn row(pattern: &str, body: &str) -> Option<Value> {
    ParseStep::compile(&format!("parse grok(r\"{pattern}\")"), "").row(body).ok()
}

#[test]
fn each_named_part_becomes_a_field() {
    let pattern = "^%{IPORHOST:client} %{WORD:method} %{URIPATHPARAM:path} %{NUMBER:took}(?<rest>.*)$";
    let expected =
        json!({ "client": "::1", "method": "GET", "path": "/a?b=c", "took": "-1.5", "rest": " x" });
    assert_eq!(row(pattern, "::1 GET /a?b=c -1.5 x"), Some(expected));
    assert_eq!(row(pattern, "::1 GET /a?b=c x"), None);
}

#[test]
fn fields_have_the_types_of_a_schema() {
    let step = ParseStep::compile(
        r#"parse grok(r"%{HTTPDATE:at} %{INT:status}( %{IP:peer})?") as Answer"#,
        r#"schema Answer { at: Time as "%d/%b/%Y:%H:%M:%S %z", status: Int, peer: Ip? }"#,
    );
    let expected = json!({ "at": "2000-10-10T20:55:36Z", "status": 404, "peer": "10.0.0.1" });
    assert_eq!(step.row("at 10/Oct/2000:13:55:36 -0700 404 10.0.0.1"), Ok(expected));
}

/// Logstash's documented examples of its patterns.
#[test]
fn common_logs_are_read_as_by_logstash() {
    let line =
        r#"203.0.113.5 - - [18/Jan/2021:10:01:13 +0100] "GET /favicon.ico HTTP/1.1" 404 - "-" "curl \"x\"""#;
    let row = row("%{COMBINEDAPACHELOG}", line).expect("it matches");
    let expected = json!({
        "clientip": "203.0.113.5", "ident": "-", "auth": "-", "timestamp": "18/Jan/2021:10:01:13 +0100", "verb": "GET",
        "request": "/favicon.ico", "httpversion": "1.1", "response": "404", "referrer": "\"-\"", "agent": "\"curl \\\"x\\\"\"",
    });
    assert_eq!(row, expected);
    let row = super::tests::row("^%{SYSLOGLINE}$", "Oct  1 22:14:15 mymachine su[12]: 'su root' failed")
        .expect("it matches");
    let expected = json!({
        "timestamp": "Oct  1 22:14:15", "logsource": "mymachine", "program": "su", "pid": "12", "message": "'su root' failed",
    });
    assert_eq!(row, expected);
}

#[test]
fn every_pattern_matches_what_it_names() {
    let samples = [
        ("USERNAME", "a.b-c_1"),
        ("INT", "-12"),
        ("BASE10NUM", "-.5"),
        ("NUMBER", "1.25"),
        ("BASE16NUM", "0xFf"),
        ("BASE16FLOAT", "0xF.8"),
        ("POSINT", "12"),
        ("NONNEGINT", "0"),
        ("WORD", "w\u{f6}rd_1"),
        ("NOTSPACE", "a:b"),
        ("QS", r"'a \' b'"),
        ("UUID", "123e4567-e89b-12d3-a456-426614174000"),
        ("URN", "urn:isbn:0451450523"),
        ("LOGLEVEL", "WARNING"),
        ("MAC", "00-1A-2b-3C-4D-5E"),
        ("MAC", "001a.2b3c.4d5e"),
        ("IPV6", "2001:db8::8a2e:370:7334"),
        ("IPV6", "::"),
        ("IPV6", "::ffff:10.0.0.1"),
        ("IPV6", "fe80::1%eth0"),
        ("IPV6", "1:2:3:4:5:6:7:8"),
        ("IPV6", "1::"),
        ("IP", "255.249.199.99"),
        ("HOSTNAME", "www.example.com."),
        ("HOSTPORT", "localhost:9092"),
        ("EMAILADDRESS", "a.b+c@example.com"),
        ("PATH", "/usr/lib/a-b.so"),
        ("WINPATH", r"C:\Windows\a b"),
        ("TTY", "/dev/pts/8"),
        ("URI", "https://user@example.com:8080/a/b?c=d&e"),
        ("MONTH", "September"),
        ("MONTHNUM", "12"),
        ("MONTHDAY", "31"),
        ("DAY", "Wednesday"),
        ("YEAR", "2026"),
        ("TIME", "23:59:60.123"),
        ("DATE_US", "12/31/2026"),
        ("DATE_EU", "31.12.2026"),
        ("DATESTAMP", "31-12-2026 23:59:59"),
        ("TIMESTAMP_ISO8601", "2026-12-31T23:59:59.123+01:00"),
        ("TZ", "PST"),
        ("DATESTAMP_RFC2822", "Mon, 15 Aug 2005 15:52:01 +0000"),
        ("DATESTAMP_EVENTLOG", "20050815155201"),
        ("HTTPDATE", "10/Oct/2000:13:55:36 -0700"),
        ("SYSLOGTIMESTAMP", "Oct 11 22:14:15"),
        ("PROG", "postfix/smtpd"),
    ];
    for (name, sample) in samples {
        let expected = json!({ "all": sample });
        assert_eq!(row(&format!("^%{{{name}:all}}$"), sample), Some(expected), "{name}");
        assert_eq!(row(&format!("^%{{{name}:all}}$"), &format!("{sample}?\n")), None, "{name}");
    }
    // A part that is found within a text is as long as it can be.
    for (name, sample) in
        [("IPV4", "10.0.0.255"), ("IP", "2001:db8::10.0.0.255"), ("NUMBER", "12.75"), ("MONTHNUM", "12")]
    {
        let expected = json!({ "all": sample });
        assert_eq!(row(&format!("%{{{name}:all}}"), &format!("x {sample} x")), Some(expected), "{name}");
    }
}
