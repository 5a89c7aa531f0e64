//! Other files where known ones lay: the same inode, written anew.

use super::packed::{gzip, text};
use super::*;

#[tokio::test]
async fn a_packed_file_in_the_place_of_another_is_read_from_its_beginning() {
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
async fn what_is_packed_may_become_plain_and_packed_again() {
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
async fn what_lies_in_the_place_of_a_copy_that_waited_is_read() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", text(0..1_000));
    setting.write("b.log", gzip(text(0..1_000).as_bytes()));
    let mut trial = setting.begin().await;
    trial.lines(1_000).await;
    trial.looked_through().await;
    trial.write("b.log", "other\n");
    assert_eq!(trial.lines(1).await, ["other"]);
    trial.end().await;
}

#[tokio::test]
async fn what_lay_there_before_is_still_known_in_its_copy() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("a.log", text(0..1_000));
    let mut trial = setting.begin().await;
    trial.lines(1_000).await;
    let mut trial = trial.end().await.begin().await;
    trial.looked_through().await;
    // At rest since the start; and of what is there now, nothing can be put yet.
    trial.write("a.log", "half a line");
    trial.looked_through().await;
    trial.write("b.log.gz", gzip(text(0..1_000).as_bytes()));
    trial.looked_through().await;
    trial.append("a.log", ", and its end\n");
    assert_eq!(trial.lines(1).await, ["half a line, and its end"]);
    trial.end().await;
}

#[test]
fn packed_files_are_promised_to_come_once_where_hashes_are_kept() {
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
