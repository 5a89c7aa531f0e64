//! Steps with state and `sample` in complete agents.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::agents::{lines, passed, passed_with, run};

/// The sequence numbers of the events that pass.
async fn numbers(source: &str, steps: &str) -> Vec<i64> {
    let events = passed(source, &format!("{steps} -> select {{ }}"), "@sequence").await;
    events.iter().map(|event| event["sequence"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn dedupe_keeps_the_first_event_of_each_value() {
    let made = "generate { count: 10_000, batch: 100 }";
    assert_eq!(numbers(made, "dedupe by @sequence % 7 within 1h").await, [1, 2, 3, 4, 5, 6, 7]);
}

/// Two sinks behind a channel each have all values.
#[tokio::test]
async fn each_sink_behind_a_channel_gets_the_first_event_of_each_value() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let program = format!(
        "source made = generate {{ count: 5_000, batch: 100 }}\n\
         channel buffer = memory {{}}\n\
         sink left = files {{ path: {:?}, format: json {{ headers: [@sequence] }} }}\n\
         sink right = files {{ path: {:?}, format: json {{ headers: [@sequence] }} }}\n\
         flow main {{\n  made -> buffer\n  buffer -> dedupe by @sequence % 3 within 1h -> unset body -> copy {{ left, right }}\n}}\n",
        path("left"),
        path("right"),
    );
    run(&program).await;
    let expected: Vec<String> = (1..=3).map(|number| json!({ "sequence": number }).to_string()).collect();
    assert_eq!(lines(&path("left")), expected);
    assert_eq!(lines(&path("right")), expected);
}

/// Each source numbers its events if a step asks for it, so that the same events pass again.
#[tokio::test]
async fn sample_keeps_the_same_events_whatever_the_batches_are() {
    let sampled = |batch: u32| {
        let made = format!("generate {{ count: 20_000, batch: {batch} }}");
        async move { numbers(&made, "sample 10%").await }
    };
    let kept = sampled(1_000).await;
    assert!((1_800..2_200).contains(&kept.len()), "{} of 20,000", kept.len());
    assert_eq!(sampled(77).await, kept);
}

#[tokio::test(start_paused = true)]
async fn throttle_limits_the_rate_before_a_channel_and_behind_it() {
    let by_bytes = "generate { count: 40, content: numbered { size: 100B } }";
    let by_events = "generate { count: 40 }";
    for (made, chain) in [
        (by_events, "made -> throttle 10/s -> out"),
        (by_events, "made -> buffer -> throttle 10/s -> out"),
        (by_bytes, "made -> throttle 1KB/s -> keep if @sequence % 2 == 0 -> out"),
        (by_bytes, "made -> buffer -> throttle 1KB/s -> keep if @sequence % 2 == 0 -> out"),
    ] {
        let begun = Instant::now();
        let buffer = if chain.contains("buffer") { "channel buffer = memory {}" } else { "" };
        run(&format!("source made = {made}\n{buffer}\nsink out = null {{}}\nflow main {{ {chain} }}\n"))
            .await;
        let took = begun.elapsed();
        // 40 events at 10/s: the last second begins after 3 seconds.
        assert!(
            took >= Duration::from_millis(2_900) && took < Duration::from_millis(4_500),
            "{chain}: {took:?}"
        );
    }
}

const ORDERS: &str = "schema Order { id: Int, lines: [Line], place: Place? }\n\
                      schema Line { item: Text, number: Int }\n\
                      schema Place { city: Text, zip: Text? }\n";

#[tokio::test]
async fn explode_and_flatten_make_rows_of_nested_events() {
    let body =
        r#"{"id":7,"lines":[{"item":"a","number":1},{"item":"b","number":2}],"place":{"city":"Kiel"}}"#;
    let steps = format!(
        "set body = bytes({:?}) -> parse json as Order else drop -> explode lines -> flatten lines -> flatten place",
        body.replace('{', "{{").replace('}', "}}")
    );
    let events = passed_with(ORDERS, "generate { count: 1 }", &steps, "").await;
    let row = |item: &str, number: i64| json!({ "id": 7, "lines_item": item, "lines_number": number, "place_city": "Kiel" });
    assert_eq!(events, [row("a", 1), row("b", 2)]);
}

/// The part of a put with many elements is divided at events, and an event with too many elements is refused.
#[tokio::test]
async fn the_elements_of_a_batch_are_put_in_parts_that_fit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let program = format!(
        "source made = generate {{ count: 50, batch: 10 }}\n\
         channel buffer = memory {{ transaction_capacity: 12 }}\n\
         sink out = files {{ path: {path:?}, format: json {{ headers: [@sequence] }} }}\n\
         flow main {{\n  made -> set side = [1, 2, 3, 4, 5] -> explode side -> unset body -> buffer\n  buffer -> out\n}}\n"
    );
    run(&program).await;
    let expected = (1..=50).flat_map(|sequence| {
        (1..=5).map(move |side| json!({ "sequence": sequence, "side": side }).to_string())
    });
    assert_eq!(lines(&path), expected.collect::<Vec<_>>());
}
