//! Files whose inode now holds another text.

use super::compressed::{gzip, text};
use super::*;

#[tokio::test]
async fn a_compressed_file_that_is_overwritten_by_another_is_read_from_its_beginning() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log.gz", gzip(text(0..1_000).as_bytes()));
    let mut harness = environment.begin().await;
    harness.lines(1_000).await;
    for length in [10, 3_000] {
        let other: String = (0..length).map(|number| format!("other {length} {number}\n")).collect();
        harness.write("a.log.gz", gzip(other.as_bytes()));
        assert_eq!(harness.lines(length).await.join("\n") + "\n", other);
    }
    harness.end().await;
}

#[tokio::test]
async fn a_compressed_file_may_become_plain_and_compressed_again() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", gzip(text(0..1_000).as_bytes()));
    let mut harness = environment.begin().await;
    harness.lines(1_000).await;
    harness.write("a.log", "plain\n");
    assert_eq!(harness.lines(1).await, ["plain"]);
    harness.write("a.log", gzip(b"packed\n"));
    assert_eq!(harness.lines(1).await, ["packed"]);
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_overwrites_a_waiting_copy_is_read() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", text(0..1_000));
    environment.write("b.log", gzip(text(0..1_000).as_bytes()));
    let mut harness = environment.begin().await;
    harness.lines(1_000).await;
    harness.all_identified().await;
    harness.write("b.log", "other\n");
    assert_eq!(harness.lines(1).await, ["other"]);
    harness.end().await;
}

#[tokio::test]
async fn a_copy_of_an_overwritten_text_is_still_recognised() {
    let environment = Environment::new(follow("beginning")).with_positions();
    environment.write("a.log", text(0..1_000));
    let mut harness = environment.begin().await;
    harness.lines(1_000).await;
    let mut harness = harness.end().await.begin().await;
    harness.all_identified().await;
    // The file was not opened since the start, and nothing of its new text can be put yet.
    harness.write("a.log", "half a line");
    harness.all_identified().await;
    harness.write("b.log.gz", gzip(text(0..1_000).as_bytes()));
    harness.all_identified().await;
    harness.append("a.log", ", and its end\n");
    assert_eq!(harness.lines(1).await, ["half a line, and its end"]);
    harness.end().await;
}

#[test]
fn decompress_keeps_exactly_once_only_with_positions() {
    let keeps = |environment: Environment| {
        let source = environment.source(&Arc::default()).unwrap();
        assert_eq!(source.keeps_exactly_once(), source.exactly_once_lacks().is_none());
        source.keeps_exactly_once()
    };
    let environment = || Environment::new(follow("beginning"));
    assert!(!keeps(environment()));
    assert!(keeps(environment().with_positions()));
    assert!(keeps(environment().with("decompress", Value::Bool(false))));
}
