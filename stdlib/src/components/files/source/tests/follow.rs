//! Follow mode.

use std::os::unix::fs::FileExt;

use super::*;

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

#[tokio::test]
async fn lines_are_read_as_they_are_appended_and_a_partial_line_waits_for_its_end() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", "1\n2\nhal");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(2).await, ["1", "2"]);
    trial.append("a.log", "f\n3\n");
    assert_eq!(trial.lines(2).await, ["half", "3"]);
    trial.end().await;
}

#[tokio::test]
async fn rotation_by_renaming_neither_loses_nor_repeats_lines() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["1"]);
    // The writer continues in the open file, and then begins the new one.
    trial.append("a.log", "2\n");
    trial.rename("a.log", "a.log.1");
    trial.append("a.log.1", "3\n");
    trial.write("a.log", "4\n");
    let mut lines = trial.lines(3).await;
    lines.sort();
    assert_eq!(lines, ["2", "3", "4"]);
    trial.rename("a.log.1", "a.log.2");
    trial.rename("a.log", "a.log.1");
    trial.write("a.log", "5\n");
    assert_eq!(trial.lines(1).await, ["5"]);
    trial.end().await;
}

#[tokio::test]
async fn a_file_that_is_renamed_to_a_name_that_does_not_match_is_read_to_its_end() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    trial.rename("a.log", "old");
    trial.append("old", "2\n");
    assert_eq!(trial.lines(1).await, ["2"]);
    trial.end().await;
}

#[tokio::test]
async fn a_file_that_is_deleted_while_it_is_open_is_read_to_its_end() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", "1\n");
    let mut writer = OpenOptions::new().append(true).open(setting.path("a.log")).unwrap();
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    writer.write_all(b"2\n").unwrap();
    fs::remove_file(trial.path("a.log")).unwrap();
    writer.write_all(b"3\n").unwrap();
    assert_eq!(trial.lines(2).await, ["2", "3"]);
    trial.end().await;
}

#[tokio::test]
async fn a_truncated_file_is_read_from_its_beginning() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", numbers(0..50));
    let mut trial = setting.begin().await;
    trial.lines(50).await;
    // As logrotate's `copytruncate` does.
    OpenOptions::new().write(true).open(trial.path("a.log")).unwrap().set_len(0).unwrap();
    trial.append("a.log", "anew\n");
    assert_eq!(trial.lines(1).await, ["anew"]);
    trial.append("a.log", "more\n");
    assert_eq!(trial.lines(1).await, ["more"]);
    trial.end().await;
}

#[tokio::test]
async fn a_rewritten_file_that_is_longer_than_before_is_detected() {
    let setting = Setting::new(follow("beginning")).with("poll", Value::Duration(Duration::from_secs(3600)));
    setting.write("a.log", "1\n2\n");
    let mut trial = setting.begin().await;
    trial.lines(2).await;
    // One write replaces the text from the beginning with a longer one.
    let file = OpenOptions::new().write(true).open(trial.path("a.log")).unwrap();
    file.write_all_at(b"quite another text\n", 0).unwrap();
    assert_eq!(trial.lines(1).await, ["quite another text"]);
    trial.counted("files_begun_anew", 1).await;
    trial.end().await;
}

#[tokio::test]
async fn a_rewritten_file_with_the_same_text_before_the_position_is_detected() {
    let setting = Setting::new(follow("beginning")).with("poll", Value::Duration(Duration::from_secs(3600)));
    let end = "x".repeat(40);
    setting.write("a.log", format!("1 {end}\n"));
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    let file = OpenOptions::new().write(true).open(trial.path("a.log")).unwrap();
    file.write_all_at(format!("2 {end}\n3\n").as_bytes(), 0).unwrap();
    assert_eq!(trial.lines(2).await, [format!("2 {end}"), "3".into()]);
    trial.end().await;
}

#[tokio::test]
async fn a_file_that_is_edited_in_place_is_quarantined_and_others_are_read() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", numbers(0..500));
    let mut trial = setting.begin().await;
    trial.lines(500).await;
    let file = OpenOptions::new().write(true).open(trial.path("a.log")).unwrap();
    // The edit is behind the hashed head, and before the tail.
    file.write_all_at(b"LINE", 2_000).unwrap();
    trial.counted("files_set_aside", 1).await;
    trial.write("b.log", "other\n");
    assert_eq!(trial.lines(1).await, ["other"]);
    trial.end().await;
}

#[tokio::test]
async fn a_changed_modification_time_alone_does_not_matter() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    let file = OpenOptions::new().write(true).open(trial.path("a.log")).unwrap();
    // A clock that went backwards makes no difference.
    for seconds in [1_000_000, 10] {
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }
    trial.append("a.log", "2\n");
    assert_eq!(trial.lines(1).await, ["2"]);
    assert!(!trial.meter.counters().contains_key("files_set_aside"));
    trial.end().await;
}

#[tokio::test]
async fn a_replaced_file_is_read_from_its_beginning() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    trial.write("other", "1\n2\n");
    trial.rename("other", "a.log");
    assert_eq!(trial.lines(2).await, ["1", "2"]);
    trial.end().await;
}

#[tokio::test]
async fn more_files_than_may_be_open_are_all_followed() {
    let setting = Setting::new(follow("beginning"));
    let files = 1_500;
    for number in 0..files {
        setting.write(&format!("{number}.log"), format!("{number} a\n"));
    }
    let mut trial = setting.begin().await;
    trial.lines(files).await;
    for number in 0..files {
        trial.append(&format!("{number}.log"), format!("{number} b\n"));
    }
    let mut lines = trial.lines(files).await;
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), files);
    assert!(lines.iter().all(|line| line.ends_with('b')));
    trial.end().await;
}

#[tokio::test]
async fn a_large_file_does_not_delay_a_small_one() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", numbers(0..50_000));
    setting.write("b.log", "small\n");
    let mut trial = setting.begin().await;
    let mut before = 0;
    loop {
        let line = trial.lines(1).await;
        if line.contains(&"small".to_string()) {
            break;
        }
        before += line.len();
    }
    assert!(before < 5_000, "{before} lines came before");
    trial.end().await;
}

#[tokio::test]
async fn the_last_event_waits_for_further_lines_only_for_the_set_time() {
    let pattern = ("pattern", Value::Text(r"^\s".into()));
    let wait = ("wait", Value::Duration(Duration::from_millis(30)));
    let multiline = variant("continues", &[pattern, ("most", Value::Int(10)), wait]);
    let setting = Setting::new(follow("beginning")).with("multiline", multiline);
    setting.write("a.log", "Error\n  at a\nErr");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["Error\n  at a"]);
    trial.append("a.log", "or\n  at b\n");
    assert_eq!(trial.lines(1).await, ["Error\n  at b"]);
    trial.end().await;
}

#[tokio::test]
async fn a_batch_waits_to_become_full() {
    let setting =
        Setting::new(follow("beginning")).with("linger", Value::Duration(Duration::from_millis(200)));
    let mut trial = setting.begin().await;
    trial.append("a.log", "1\n");
    assert_eq!(trial.lines(1).await, ["1"]);
    for number in 0..10 {
        trial.append("a.log", format!("{number}\n"));
    }
    trial.lines(10).await;
    trial.end().await;
}
