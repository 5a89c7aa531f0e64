//! Bad input: it must not stop the source, nor make it lose or repeat other lines.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

#[tokio::test]
async fn an_overlong_line_is_truncated_and_the_next_one_is_read() {
    let setting = Setting::new(follow("beginning")).with("max_line", Value::Size(1024));
    setting.write("a.log", vec![b'x'; 5 << 20]);
    setting.write("b.log", "other\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["other"]);
    trial.append("a.log", "xxx\nnext\n");
    let lines = trial.lines(2).await;
    assert_eq!((lines[0].len(), lines[1].as_str()), (1024, "next"));
    trial.counted("long_lines", 1).await;
    trial.end().await;
}

#[tokio::test]
async fn an_overlong_line_is_skipped_if_set() {
    let setting =
        Setting::new(keep()).with("max_line", Value::Size(1024)).with("long_lines", variant("skip", &[]));
    setting.write("a.log", [vec![b'x'; 5 << 20], b"\nnext\n".to_vec()].concat());
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["next"]);
    trial.end().await;
}

#[tokio::test]
async fn zeros_and_invalid_utf_8_are_read_unchanged() {
    let setting = Setting::new(keep());
    setting.write("a.log", b"\0\0\n\xff\xfe\xc3(\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.events(2).await, [b"\0\0".to_vec(), b"\xff\xfe\xc3(".to_vec()]);
    trial.end().await;
}

#[tokio::test]
async fn a_file_may_be_replaced_by_a_directory() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    fs::remove_file(trial.path("a.log")).unwrap();
    fs::create_dir(trial.path("a.log")).unwrap();
    trial.write("a.log/b.log", "2\n");
    assert_eq!(trial.lines(1).await, ["2"]);
    trial.end().await;
}

#[tokio::test]
async fn loops_of_links_are_not_followed() {
    let setting = Setting::new(follow("beginning"));
    std::os::unix::fs::symlink(setting.folder.path(), setting.path("loop")).unwrap();
    std::os::unix::fs::symlink(setting.path("b.log"), setting.path("a.log")).unwrap();
    std::os::unix::fs::symlink(setting.path("a.log"), setting.path("b.log")).unwrap();
    setting.write("c.log", "1\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["1"]);
    trial.append("c.log", "2\n");
    assert_eq!(trial.lines(1).await, ["2"]);
    trial.end().await;
}

#[tokio::test]
async fn a_file_whose_reading_fails_is_set_aside_and_others_are_read() {
    let setting = Setting::new(follow("beginning"));
    // `/proc/self/mem` can be opened, and reading its first page fails with EIO.
    std::os::unix::fs::symlink("/proc/self/mem", setting.path("a.log")).unwrap();
    setting.write("b.log", "1\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["1"]);
    trial.counted("files_set_aside", 1).await;
    trial.end().await;
}

#[tokio::test]
async fn a_damaged_packed_file_is_set_aside_and_others_are_read() {
    let setting = Setting::new(keep());
    setting.write("a.log.gz", [&[0x1f, 0x8b, 8][..], &[0xff; 500]].concat());
    setting.write("b.log", "1\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["1"]);
    trial.counted("files_set_aside", 1).await;
    trial.end().await;
}

#[tokio::test]
async fn a_packed_file_that_ends_too_early_is_set_aside_in_complete_mode() {
    let setting = Setting::new(keep());
    let text: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    setting.write("a.log.zst", &packed[..packed.len() / 2]);
    let trial = setting.begin().await;
    trial.counted("files_set_aside", 1).await;
    trial.end().await;
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_restarted() {
    let setting = Setting::new(follow("beginning"));
    let text: String = (0..300_000).map(|number| format!("line {number}\n")).collect();
    setting.write("a.log", text);
    let mut trial = setting.begin().await;
    trial.lines(1_000).await;
    OpenOptions::new().write(true).open(trial.path("a.log")).unwrap().set_len(0).unwrap();
    trial.append("a.log", "anew\n");
    while trial.lines(1).await.last().unwrap() != "anew" {}
    trial.end().await;
}

/// A clock that goes backwards.
struct Backwards(AtomicI64);

impl Clock for Backwards {
    fn now(&self) -> i64 {
        self.0.fetch_sub(3_600_000_000, Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_clock_that_goes_backwards_makes_no_difference() {
    let mut setting = Setting::new(follow("beginning"));
    setting.clock = Arc::new(Backwards(AtomicI64::new(0)));
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["1"]);
    trial.append("a.log", "2\n");
    assert_eq!(trial.lines(1).await, ["2"]);
    trial.end().await;
}

#[test]
fn invalid_settings_are_refused_when_the_source_is_made() {
    let refusal = |setting: Setting| setting.source(&Arc::default()).err().map(|failure| failure.to_string());
    assert_eq!(refusal(Setting::new(keep())), None);
    let no_suffix = complete(variant("rename", &[("suffix", Value::Text(String::new()))]));
    let refused = refusal(Setting::new(no_suffix));
    assert_eq!(refused.as_deref(), Some("the suffix for files that are done must not be empty"));
    let glob = Value::List(vec![Value::Text("a[".into())]);
    assert!(refusal(Setting::new(keep()).with("paths", glob)).unwrap().starts_with("the glob `a[`"));
}
