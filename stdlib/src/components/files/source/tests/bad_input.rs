//! Bad input: it must not stop the source, nor make it lose or repeat other lines.

use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::Datum;

use super::*;

#[tokio::test]
async fn an_overlong_line_is_truncated_and_the_next_one_is_read() {
    let environment = Environment::new(follow("beginning")).with("max_line", Value::Size(1024));
    environment.write("a.log", vec![b'x'; 5 << 20]);
    environment.write("b.log", "other\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["other"]);
    harness.append("a.log", "xxx\nnext\n");
    let lines = harness.lines(2).await;
    assert_eq!((lines[0].len(), lines[1].as_str()), (1024, "next"));
    harness.counted("long_lines", 1).await;
    harness.end().await;
}

#[tokio::test]
async fn an_overlong_line_is_skipped_if_set() {
    let environment =
        Environment::new(keep()).with("max_line", Value::Size(1024)).with("long_lines", variant("skip", &[]));
    environment.write("a.log", [vec![b'x'; 5 << 20], b"\nnext\n".to_vec()].concat());
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["next"]);
    harness.end().await;
}

#[tokio::test]
async fn zeros_and_invalid_utf_8_are_read_unchanged() {
    let environment = Environment::new(keep());
    environment.write("a.log", b"x\0\0\n\0\xff\xfe\xc3(\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.events(2).await, [b"x\0\0".to_vec(), b"\0\xff\xfe\xc3(".to_vec()]);
    harness.end().await;
}

#[tokio::test]
async fn files_whose_names_are_not_utf_8_are_read_and_renamed() {
    let name = |name: &[u8]| std::ffi::OsString::from_vec(name.to_vec());
    let rename = variant("rename", &[("suffix", Value::Text(".done".into()))]);
    for mode in [complete(rename.clone()), follow("beginning")] {
        let is_complete = mode == complete(rename.clone());
        let mut environment = Environment::new(mode).with_positions();
        for (names, text) in [([b"a\xff.log", b"a\xfe.log"], "1\n"), ([b"b\xff.log", b"b\xfe.log"], "2\n")] {
            for file in names {
                fs::write(environment.folder.path().join(name(file)), text).unwrap();
            }
            let mut harness = environment.begin().await;
            let delivery = harness.take().await;
            let Some(Column::Constant(file)) = delivery.batch.column("@file") else { panic!() };
            let shown =
                file.get().0.as_any().downcast_ref::<arrow_array::StringViewArray>().unwrap().value(0);
            assert!(shown.ends_with("\u{fffd}.log"), "{shown}");
            delivery.acknowledgement.done();
            assert_eq!(harness.lines(1).await, [text.trim_end()]);
            if is_complete {
                harness.counted("files_delivered", 2).await;
            }
            environment = harness.end().await;
            let is_there = |end: &[u8]| {
                let path = [names[0], end].concat();
                environment.folder.path().join(name(&path)).exists()
            };
            assert_eq!((is_there(b""), is_there(b".done")), (!is_complete, is_complete));
        }
    }
}

#[tokio::test]
async fn patterns_without_files_are_counted_until_files_match() {
    for mode in [keep(), follow("beginning")] {
        let environment = Environment::new(mode.clone());
        let glob = |name: &str| Value::Text(environment.path(name).to_string_lossy().into_owned());
        let paths = Value::List(vec![glob("*.log"), glob("*.{txt,text}"), glob("named.log")]);
        let environment = environment.with("paths", paths);
        let mut harness = environment.begin().await;
        let gauge = |harness: &Harness| {
            harness.meter.gauges().get("patterns_without_files").copied().unwrap_or_default()
        };
        let until = async |harness: &Harness, count: u64| {
            while gauge(harness) != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within_patience("two patterns", until(&harness, 2)).await;
        harness.write("a.text", "1\n");
        assert_eq!(harness.lines(1).await, ["1"]);
        within_patience("one pattern", until(&harness, 1)).await;
        fs::remove_file(harness.path("a.text")).unwrap();
        within_patience("two patterns again", until(&harness, 2)).await;
        harness.end().await;
    }
}

#[tokio::test]
async fn a_file_may_be_replaced_by_a_directory() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    fs::remove_file(harness.path("a.log")).unwrap();
    fs::create_dir(harness.path("a.log")).unwrap();
    harness.write("a.log/b.log", "2\n");
    assert_eq!(harness.lines(1).await, ["2"]);
    harness.end().await;
}

#[tokio::test]
async fn loops_of_links_are_not_followed() {
    let environment = Environment::new(follow("beginning"));
    std::os::unix::fs::symlink(environment.folder.path(), environment.path("loop")).unwrap();
    std::os::unix::fs::symlink(environment.path("b.log"), environment.path("a.log")).unwrap();
    std::os::unix::fs::symlink(environment.path("a.log"), environment.path("b.log")).unwrap();
    environment.write("c.log", "1\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["1"]);
    harness.append("c.log", "2\n");
    assert_eq!(harness.lines(1).await, ["2"]);
    harness.end().await;
}

#[tokio::test]
async fn a_file_whose_reading_fails_is_set_aside_and_others_are_read() {
    let environment = Environment::new(follow("beginning"));
    // `/proc/self/mem` can be opened, and reading its first page fails with EIO.
    std::os::unix::fs::symlink("/proc/self/mem", environment.path("a.log")).unwrap();
    environment.write("b.log", "1\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["1"]);
    harness.counted("files_set_aside", 1).await;
    harness.end().await;
}

#[tokio::test]
async fn a_damaged_compressed_file_is_set_aside_and_others_are_read() {
    let environment = Environment::new(keep());
    environment.write("a.log.gz", [&[0x1f, 0x8b, 8][..], &[0xff; 500]].concat());
    environment.write("b.log", "1\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["1"]);
    harness.counted("files_set_aside", 1).await;
    harness.end().await;
}

#[tokio::test]
async fn a_compressed_file_that_ends_too_early_is_set_aside_in_complete_mode() {
    let environment = Environment::new(keep());
    let text: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    let compressed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    environment.write("a.log.zst", &compressed[..compressed.len() / 2]);
    let harness = environment.begin().await;
    harness.counted("files_set_aside", 1).await;
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_restarted() {
    let environment = Environment::new(follow("beginning"));
    let text: String = (0..300_000).map(|number| format!("line {number}\n")).collect();
    environment.write("a.log", text);
    let mut harness = environment.begin().await;
    harness.lines(1_000).await;
    OpenOptions::new().write(true).open(harness.path("a.log")).unwrap().set_len(0).unwrap();
    harness.append("a.log", "anew\n");
    while harness.lines(1).await.last().unwrap() != "anew" {}
    harness.end().await;
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
    let mut environment = Environment::new(follow("beginning"));
    environment.clock = Arc::new(Backwards(AtomicI64::new(0)));
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["1"]);
    harness.append("a.log", "2\n");
    assert_eq!(harness.lines(1).await, ["2"]);
    harness.end().await;
}

#[test]
fn invalid_settings_are_refused_when_the_source_is_made() {
    let refusal = |environment: Environment| {
        environment.source(&Arc::default()).err().map(|failure| failure.to_string())
    };
    assert_eq!(refusal(Environment::new(keep())), None);
    let no_suffix = complete(variant("rename", &[("suffix", Value::Text(String::new()))]));
    let refused = refusal(Environment::new(no_suffix));
    assert_eq!(refused.as_deref(), Some("the suffix for files that are done must not be empty"));
    let glob = Value::List(vec![Value::Text("a[".into())]);
    assert!(refusal(Environment::new(keep()).with("paths", glob)).unwrap().starts_with("the glob `a[`"));
}
