//! Sentences of Flume's user guide about its interceptors, each tested with the interceptor or the steps of this language.

use serde_json::{Value, json};

use super::agents::{NOW, passed};

/// One event with this body, a host and a tenant.
async fn of_body(body: &str, steps: &str, headers: &str) -> Vec<Value> {
    let before = format!(
        "set body = bytes({body:?}) -> set @host = \"first\" -> set @tenant = \"t\" -> set @trace = \"x\""
    );
    passed("generate { count: 1 }", &format!("{before} -> {steps}"), headers).await
}

/// The time of the agent's clock.
const NOW_TEXT: &str = "2026-01-31T12:00:00Z";

/// "inserts into the event headers, the time in millis at which it processes the event"
#[tokio::test]
async fn timestamp_sets_the_time_at_which_the_event_passes() {
    let events = of_body("a", "timestamp()", "@timestamp").await;
    assert_eq!(events, [json!({ "timestamp": NOW_TEXT, "body": "a" })]);
    let millis = of_body("a", "timestamp() -> set millis = unix_milliseconds(@timestamp)", "").await;
    assert_eq!(millis, [json!({ "body": "a", "millis": NOW / 1_000 })]);
}

/// `headerName`: "The name of the header in which to place the generated timestamp."
#[tokio::test]
async fn timestamp_goes_into_another_header_by_set() {
    let events = of_body("a", "set @received = now()", "@received, @timestamp").await;
    let expected = json!({ "received": NOW_TEXT, "timestamp": "2026-01-01T00:00:00Z", "body": "a" });
    assert_eq!(events, [expected]);
}

/// `preserveExisting`: "If the timestamp already exists, should it be preserved - true or false"
#[tokio::test]
async fn an_existing_value_is_preserved_by_a_replacement_for_null() {
    let kept =
        "let given = if @sequence % 2 == 0 then @timestamp else null -> set @timestamp = given ?? now()";
    let events =
        passed("generate { count: 2, every: 1h }", &format!("{kept} -> unset body"), "@timestamp").await;
    assert_eq!(events, [json!({ "timestamp": NOW_TEXT }), json!({ "timestamp": "2026-01-01T01:00:00Z" })]);
    let optional = "set @host = if @tenant == \"other\" then @host else null";
    let events = of_body("a", &format!("{optional} -> set @host = @host ?? hostname()"), "@host").await;
    assert_eq!(events, [json!({ "host": hostname(), "body": "a" })]);
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// "inserts the hostname or IP address of the host that this agent is running on. It inserts a header with key host or a
/// configured key"
#[tokio::test]
async fn host_sets_the_name_of_the_machine() {
    let events = of_body("a", "host()", "@host").await;
    assert_eq!(events, [json!({ "host": hostname(), "body": "a" })]);
    let events = of_body("a", "set @agent = hostname()", "@host, @agent").await;
    assert_eq!(events, [json!({ "host": "first", "agent": hostname(), "body": "a" })]);
}

/// "allows user to append a static header with static value to all events"; `preserveExisting` is true there.
#[tokio::test]
async fn static_sets_a_header_of_all_events() {
    let events =
        of_body("a", "static(@datacenter, \"NYC\") -> static(@host, \"other\")", "@datacenter, @host").await;
    assert_eq!(events, [json!({ "datacenter": "NYC", "host": "other", "body": "a" })]);
    // The current implementation of Flume needs one static interceptor for each header; so does this one.
    let preserved = "set @zone = if @sequence == 1 then null else \"own\" -> set @zone = @zone ?? \"NYC\"";
    let events = passed("generate { count: 2 }", &format!("{preserved} -> unset body"), "@zone").await;
    assert_eq!(events, [json!({ "zone": "NYC" }), json!({ "zone": "own" })]);
}

/// `withName` and `fromList`: "manipulates Flume event headers, by removing one or many headers"
#[tokio::test]
async fn remove_header_removes_by_name_and_several_uses_remove_a_list() {
    let events = of_body("a", "remove_header(@trace) -> remove_header(@tenant)", "@host").await;
    assert_eq!(events, [json!({ "host": "first", "body": "a" })]);
}

/// "sets a universally unique identifier on all events that are intercepted", e.g. b5755073-77a9-43c1-8fad-b7a586fc1b97,
/// "which represents a 128-bit value"
#[tokio::test]
async fn uuid_sets_an_identifier_for_each_event() {
    let events = passed("generate { count: 100 }", "uuid(@id) -> unset body", "@id").await;
    let ids: std::collections::BTreeSet<&str> =
        events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 100);
    let form =
        regex::Regex::new("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$").unwrap();
    assert!(ids.iter().all(|id| form.is_match(id)), "{ids:?}");
}

/// `prefix`: "The prefix string constant to prepend to each generated UUID"
#[tokio::test]
async fn uuid_has_a_prefix_by_set() {
    let events = of_body("a", "set @id = \"web-\" + uuid()", "@id").await;
    let id = events[0]["id"].as_str().unwrap();
    assert!(id.starts_with("web-") && id.len() == 40, "{id}");
}

/// "remove leading alphanumeric characters in an event body"
#[tokio::test]
async fn search_replace_removes_what_matches() {
    let events = of_body("abc_1 rest", r#"search_replace(r"^[A-Za-z0-9_]+", "")"#, "").await;
    assert_eq!(events, [json!({ "body": " rest" })]);
}

/// "Use grouping operators to reorder and munge words on a line"
#[tokio::test]
async fn search_replace_reorders_groups() {
    let body = "The quick brown fox jumped over the lazy dog";
    let pattern = r"The quick brown ([a-z]+) jumped over the lazy ([a-z]+)";
    let step = format!("search_replace(r\"{pattern}\", \"The hungry $2 ate the careless $1\")");
    assert_eq!(of_body(body, &step, "").await, [json!({ "body": "The hungry dog ate the careless fox" })]);
}

/// Java's `replaceAll`: every match, and what has no match stays.
#[tokio::test]
async fn search_replace_replaces_every_match() {
    let step = r#"search_replace(r"password=\S+", "password=***")"#;
    let events = of_body("password=a x password=bc", step, "").await;
    assert_eq!(events, [json!({ "body": "password=*** x password=***" })]);
    assert_eq!(of_body("nothing", step, "").await, [json!({ "body": "nothing" })]);
}

/// "The supplied regular expression can be used to include events or exclude events"; it has to match a part of the body.
#[tokio::test]
async fn regex_filter_includes_events_whose_body_matches_somewhere() {
    for (body, passes) in [("an ERROR here", true), ("ERROR", true), ("error", false), ("", false)] {
        assert_eq!(of_body(body, r#"regex_filter(r"ERROR")"#, "").await.len(), usize::from(passes), "{body}");
    }
}

/// `excludeEvents`: "If true, regex determines events to exclude, otherwise regex determines events to include."
#[tokio::test]
async fn regex_filter_excludes_events() {
    for (body, passes) in [("DEBUG a", false), ("a DEBUG", true), ("", true)] {
        let events = of_body(body, r#"regex_filter(r"^(DEBUG|TRACE)", exclude: true)"#, "").await;
        assert_eq!(events.len(), usize::from(passes), "{body}");
    }
}

/// "1:2:3.4foobar5" with `(\d):(\d):(\d)` has the headers one=>1, two=>2, three=>3, and the same body.
#[tokio::test]
async fn regex_extractor_sets_a_header_for_each_group() {
    let use_of =
        |header: &str, group: u8| format!("regex_extractor(@{header}, r\"(\\d):(\\d):(\\d)\", {group})");
    let steps = [use_of("one", 1), use_of("two", 2), use_of("three", 3)].join(" -> ");
    let events = of_body("1:2:3.4foobar5", &steps, "@one, @two, @three").await;
    assert_eq!(events, [json!({ "one": "1", "two": "2", "three": "3", "body": "1:2:3.4foobar5" })]);
    let events = of_body("no digits", &steps, "@one").await;
    assert_eq!(events, [json!({ "body": "no digits" })]);
}

/// A `serializer` converts what a group matched: the guide's example with the pattern `yyyy-MM-dd HH:mm`.
#[tokio::test]
async fn regex_extractor_with_a_serializer_for_times() {
    let steps = "regex_extractor(@text, r\"^(?:\\n)?(\\d\\d\\d\\d-\\d\\d-\\d\\d\\s\\d\\d:\\d\\d)\") \
                 -> set @timestamp = time(@text ?? \"\", \"%Y-%m-%d %H:%M\") else drop";
    let events = of_body("2012-10-18 18:47:57,614 some log line", steps, "@timestamp").await;
    assert_eq!(
        events,
        [json!({ "timestamp": "2012-10-18T18:47:00Z", "body": "2012-10-18 18:47:57,614 some log line" })]
    );
}
