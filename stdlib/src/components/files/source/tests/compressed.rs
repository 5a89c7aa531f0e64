//! Compressed files.

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn text(lines: std::ops::Range<u32>) -> String {
    lines.map(|number| format!("line {number}\n")).collect()
}

impl Environment {
    /// Compresses a file and removes the original, as `gzip` does after a rotation.
    fn gzip_in_place(&self, name: &str) {
        let compressed = gzip(&fs::read(self.path(name)).unwrap());
        self.write(&format!("{name}.gz"), compressed);
        fs::remove_file(self.path(name)).unwrap();
    }
}

#[tokio::test]
async fn compressed_files_are_decompressed() {
    let environment = Environment::new(keep());
    environment.write("a.log.gz", gzip(b"1\n2"));
    environment.write("b.log.zst", zstd::encode_all(&b"3\n4\n"[..], 3).unwrap());
    let mut harness = environment.begin().await;
    let mut lines = harness.lines(4).await;
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "4"]);
    harness.end().await;
}

#[tokio::test]
async fn compressed_files_are_read_as_bytes_without_decompress() {
    let environment = Environment::new(keep()).with("decompress", Value::Bool(false));
    let compressed = gzip(b"1\n");
    environment.write("a.log.gz", &compressed);
    let mut harness = environment.begin().await;
    let lines: Vec<Vec<u8>> = compressed.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(harness.events(lines.len()).await, lines);
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_is_compressed_after_rotation_is_not_read_again() {
    for decompress in [true, false] {
        let environment = Environment::new(follow("beginning")).with("decompress", Value::Bool(decompress));
        environment.write("a.log", text(0..1_000));
        let mut harness = environment.begin().await;
        harness.lines(1_000).await;
        harness.rename("a.log", "a.log.1");
        harness.write("a.log", "next\n");
        assert_eq!(harness.lines(1).await, ["next"]);
        harness.gzip_in_place("a.log.1");
        // The compressed file is identified before the file that a later scan finds.
        harness.write("b.log", "behind\n");
        assert_eq!(harness.lines(1).await, ["behind"]);
        harness.append("a.log", "last\n");
        assert_eq!(harness.lines(1).await, ["last"]);
        harness.end().await;
    }
}

#[tokio::test]
async fn a_file_that_was_compressed_between_two_runs_is_continued_behind_the_delivered_lines() {
    let environment = Environment::new(follow("beginning")).with_positions();
    environment.write("a.log", text(0..1_000));
    let mut harness = environment.begin().await;
    harness.lines(1_000).await;
    let environment = harness.end().await;
    environment.append("a.log", text(1_000..1_300));
    environment.gzip_in_place("a.log");
    let mut harness = environment.begin().await;
    let lines = harness.lines(300).await;
    assert_eq!((lines.len(), lines[0].as_str()), (300, "line 1000"));
    let environment = harness.end().await;
    environment.write("b.log", "other\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["other"]);
    harness.end().await;
}

#[tokio::test]
async fn another_text_with_the_same_beginning_is_read() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", text(0..1_000));
    let mut harness = environment.begin().await;
    harness.lines(1_000).await;
    fs::remove_file(harness.path("a.log")).unwrap();
    let other = text(0..500) + "another\n";
    harness.write("c.log.gz", gzip(other.as_bytes()));
    let lines = harness.lines(501).await;
    assert_eq!(lines[500], "another");
    harness.end().await;
}

#[tokio::test]
async fn a_compressed_file_that_is_still_being_written_is_read_as_it_grows() {
    let environment = Environment::new(follow("beginning"));
    let whole = text(0..20_000);
    let compressed = gzip(whole.as_bytes());
    let mut harness = environment.begin().await;
    let (first, rest) = compressed.split_at(compressed.len() / 2);
    harness.write("a.log.gz", first);
    let mut lines = harness.lines(100).await;
    harness.append("a.log.gz", rest);
    while lines.len() < 20_000 {
        lines.extend(harness.lines(1).await);
    }
    assert_eq!(lines.join("\n") + "\n", whole);
    harness.end().await;
}

#[tokio::test]
async fn more_compressed_files_than_may_be_decompressed_at_once_are_all_read() {
    let environment = Environment::new(keep());
    for number in 0..40_u32 {
        environment
            .write(&format!("{number}.log.gz"), gzip(text(number * 1_000..(number + 1) * 1_000).as_bytes()));
    }
    let mut harness = environment.begin().await;
    let mut lines = harness.lines(40_000).await;
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 40_000);
    harness.end().await;
}
