//! Follow mode.

use std::os::unix::fs::FileExt;

use super::*;

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

#[tokio::test]
async fn lines_are_read_as_they_are_appended_and_a_partial_line_waits_for_its_end() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\n2\nhal");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(2).await, ["1", "2"]);
    harness.append("a.log", "f\n3\n");
    assert_eq!(harness.lines(2).await, ["half", "3"]);
    harness.end().await;
}

#[tokio::test]
async fn rotation_by_renaming_neither_loses_nor_repeats_lines() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["1"]);
    // The writer continues in the open file, and then begins the new one.
    harness.append("a.log", "2\n");
    harness.rename("a.log", "a.log.1");
    harness.append("a.log.1", "3\n");
    harness.write("a.log", "4\n");
    let mut lines = harness.lines(3).await;
    lines.sort();
    assert_eq!(lines, ["2", "3", "4"]);
    harness.rename("a.log.1", "a.log.2");
    harness.rename("a.log", "a.log.1");
    harness.write("a.log", "5\n");
    assert_eq!(harness.lines(1).await, ["5"]);
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_is_renamed_to_a_name_that_does_not_match_is_read_to_its_end() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    harness.rename("a.log", "old");
    harness.append("old", "2\n");
    assert_eq!(harness.lines(1).await, ["2"]);
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_is_deleted_while_it_is_open_is_read_to_its_end() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\n");
    let mut writer = OpenOptions::new().append(true).open(environment.path("a.log")).unwrap();
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    writer.write_all(b"2\n").unwrap();
    fs::remove_file(harness.path("a.log")).unwrap();
    writer.write_all(b"3\n").unwrap();
    assert_eq!(harness.lines(2).await, ["2", "3"]);
    harness.end().await;
}

#[tokio::test]
async fn a_truncated_file_is_read_from_its_beginning() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", numbers(0..50));
    let mut harness = environment.begin().await;
    harness.lines(50).await;
    // As logrotate's `copytruncate` does.
    OpenOptions::new().write(true).open(harness.path("a.log")).unwrap().set_len(0).unwrap();
    harness.append("a.log", "anew\n");
    assert_eq!(harness.lines(1).await, ["anew"]);
    harness.append("a.log", "more\n");
    assert_eq!(harness.lines(1).await, ["more"]);
    harness.end().await;
}

#[tokio::test]
async fn a_rewritten_file_that_is_longer_than_before_is_detected() {
    let environment =
        Environment::new(follow("beginning")).with("poll", Value::Duration(Duration::from_secs(3600)));
    environment.write("a.log", "1\n2\n");
    let mut harness = environment.begin().await;
    harness.lines(2).await;
    // One write replaces the text from the beginning with a longer one.
    let file = OpenOptions::new().write(true).open(harness.path("a.log")).unwrap();
    file.write_all_at(b"quite another text\n", 0).unwrap();
    assert_eq!(harness.lines(1).await, ["quite another text"]);
    harness.counted("files_begun_anew", 1).await;
    harness.end().await;
}

#[tokio::test]
async fn a_rewritten_file_with_the_same_text_before_the_position_is_detected() {
    let environment =
        Environment::new(follow("beginning")).with("poll", Value::Duration(Duration::from_secs(3600)));
    let end = "x".repeat(40);
    environment.write("a.log", format!("1 {end}\n"));
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    let file = OpenOptions::new().write(true).open(harness.path("a.log")).unwrap();
    file.write_all_at(format!("2 {end}\n3\n").as_bytes(), 0).unwrap();
    assert_eq!(harness.lines(2).await, [format!("2 {end}"), "3".into()]);
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_is_edited_in_place_is_quarantined_and_others_are_read() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", numbers(0..500));
    let mut harness = environment.begin().await;
    harness.lines(500).await;
    let file = OpenOptions::new().write(true).open(harness.path("a.log")).unwrap();
    // The edit is behind the hashed head, and before the tail.
    file.write_all_at(b"LINE", 2_000).unwrap();
    harness.counted("files_set_aside", 1).await;
    harness.write("b.log", "other\n");
    assert_eq!(harness.lines(1).await, ["other"]);
    harness.end().await;
}

#[tokio::test]
async fn a_changed_modification_time_alone_does_not_matter() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    let file = OpenOptions::new().write(true).open(harness.path("a.log")).unwrap();
    // A clock that went backwards makes no difference.
    for seconds in [1_000_000, 10] {
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }
    harness.append("a.log", "2\n");
    assert_eq!(harness.lines(1).await, ["2"]);
    assert!(!harness.meter.counters().contains_key("files_set_aside"));
    harness.end().await;
}

#[tokio::test]
async fn a_replaced_file_is_read_from_its_beginning() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    harness.write("other", "1\n2\n");
    harness.rename("other", "a.log");
    assert_eq!(harness.lines(2).await, ["1", "2"]);
    harness.end().await;
}

#[tokio::test]
async fn more_files_than_may_be_open_are_all_followed() {
    let environment = Environment::new(follow("beginning"));
    let files = 1_500;
    for number in 0..files {
        environment.write(&format!("{number}.log"), format!("{number} a\n"));
    }
    let mut harness = environment.begin().await;
    harness.lines(files).await;
    for number in 0..files {
        harness.append(&format!("{number}.log"), format!("{number} b\n"));
    }
    let mut lines = harness.lines(files).await;
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), files);
    assert!(lines.iter().all(|line| line.ends_with('b')));
    harness.end().await;
}

#[tokio::test]
async fn a_large_file_does_not_delay_a_small_one() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", numbers(0..50_000));
    environment.write("b.log", "small\n");
    let mut harness = environment.begin().await;
    let mut before = 0;
    loop {
        let line = harness.lines(1).await;
        if line.contains(&"small".to_string()) {
            break;
        }
        before += line.len();
    }
    assert!(before < 5_000, "{before} lines came before");
    harness.end().await;
}

#[tokio::test]
async fn the_last_event_waits_for_further_lines_only_for_the_set_time() {
    let pattern = ("pattern", Value::Text(r"^\s".into()));
    let wait = ("wait", Value::Duration(Duration::from_millis(30)));
    let multiline = variant("continues", &[pattern, ("most", Value::Int(10)), wait]);
    let environment = Environment::new(follow("beginning")).with("multiline", multiline);
    environment.write("a.log", "Error\n  at a\nErr");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["Error\n  at a"]);
    harness.append("a.log", "or\n  at b\n");
    assert_eq!(harness.lines(1).await, ["Error\n  at b"]);
    harness.end().await;
}

#[tokio::test]
async fn a_batch_waits_to_become_full() {
    let environment =
        Environment::new(follow("beginning")).with("linger", Value::Duration(Duration::from_millis(200)));
    let mut harness = environment.begin().await;
    harness.append("a.log", "1\n");
    assert_eq!(harness.lines(1).await, ["1"]);
    for number in 0..10 {
        harness.append("a.log", format!("{number}\n"));
    }
    harness.lines(10).await;
    harness.end().await;
}
