//! Files whose inode now holds another text.

use super::packed::{gzip, text};
use super::*;

#[tokio::test]
async fn a_packed_file_that_is_overwritten_by_another_is_read_from_its_beginning() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log.gz", gzip(text(0..1_000).as_bytes()));
    let mut trial = setting.begin().await;
    trial.lines(1_000).await;
    for length in [10, 3_000] {
        let other: String = (0..length).map(|number| format!("other {length} {number}\n")).collect();
        trial.write("a.log.gz", gzip(other.as_bytes()));
        assert_eq!(trial.lines(length).await.join("\n") + "\n", other);
    }
    trial.end().await;
}

#[tokio::test]
async fn a_packed_file_may_become_plain_and_packed_again() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", gzip(text(0..1_000).as_bytes()));
    let mut trial = setting.begin().await;
    trial.lines(1_000).await;
    trial.write("a.log", "plain\n");
    assert_eq!(trial.lines(1).await, ["plain"]);
    trial.write("a.log", gzip(b"packed\n"));
    assert_eq!(trial.lines(1).await, ["packed"]);
    trial.end().await;
}

#[tokio::test]
async fn a_file_that_overwrites_a_waiting_copy_is_read() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", text(0..1_000));
    setting.write("b.log", gzip(text(0..1_000).as_bytes()));
    let mut trial = setting.begin().await;
    trial.lines(1_000).await;
    trial.all_identified().await;
    trial.write("b.log", "other\n");
    assert_eq!(trial.lines(1).await, ["other"]);
    trial.end().await;
}

#[tokio::test]
async fn a_copy_of_an_overwritten_text_is_still_recognised() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("a.log", text(0..1_000));
    let mut trial = setting.begin().await;
    trial.lines(1_000).await;
    let mut trial = trial.end().await.begin().await;
    trial.all_identified().await;
    // The file was not opened since the start, and nothing of its new text can be put yet.
    trial.write("a.log", "half a line");
    trial.all_identified().await;
    trial.write("b.log.gz", gzip(text(0..1_000).as_bytes()));
    trial.all_identified().await;
    trial.append("a.log", ", and its end\n");
    assert_eq!(trial.lines(1).await, ["half a line, and its end"]);
    trial.end().await;
}

#[test]
fn decompress_keeps_exactly_once_only_with_positions() {
    let keeps = |setting: Setting| {
        let source = setting.source(&Arc::default()).unwrap();
        assert_eq!(source.keeps_exactly_once(), source.exactly_once_lacks().is_none());
        source.keeps_exactly_once()
    };
    let setting = || Setting::new(follow("beginning"));
    assert!(!keeps(setting()));
    assert!(keeps(setting().with_positions()));
    assert!(keeps(setting().with("decompress", Value::Bool(false))));
}
