//! Compressed files.

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

pub(in super::super) fn gzip(text: &[u8]) -> Vec<u8> {
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
async fn a_compressed_file_with_rubbish_behind_its_end_gives_its_lines() {
    for mode in [keep(), follow("beginning")] {
        let environment = Environment::new(mode);
        environment.write("a.log.gz", [gzip(b"1\n2\n"), vec![0; 512]].concat());
        environment
            .write("b.log.zst", [&zstd::encode_all(&b"3\n4"[..], 3).unwrap()[..], b"rubbish"].concat());
        let mut harness = environment.begin().await;
        let mut lines = harness.lines(4).await;
        lines.sort();
        assert_eq!(lines, ["1", "2", "3", "4"]);
        harness.counted("packed_files_with_rubbish", 2).await;
        assert_eq!(harness.meter.counters().get("files_set_aside"), None);
        harness.end().await;
    }
}

/// The bytes may be a member whose first bytes are damaged.
#[tokio::test]
async fn a_compressed_file_with_rubbish_behind_its_end_is_neither_deleted_nor_renamed() {
    let suffix = variant("rename", &[("suffix", Value::Text(".done".into()))]);
    for after in [variant("delete", &[]), suffix] {
        let mut environment = Environment::new(complete(after)).with_positions().with_durable_channel();
        let mut damaged = gzip(b"2\n");
        damaged[0] ^= 1;
        environment.write("a.log", [gzip(b"1\n"), damaged].concat());
        environment.write("b.log", [gzip(b"3\n"), vec![0; 512]].concat());
        for restarts in [false, true] {
            let mut harness = environment.begin().await;
            if !restarts {
                let mut lines = harness.lines(2).await;
                lines.sort();
                assert_eq!(lines, ["1", "3"]);
                harness.counted("files_delivered", 1).await;
            }
            harness.counted("files_not_put_away", 1).await;
            assert!(harness.path("a.log").exists() && !harness.path("b.log").exists());
            harness.write("c.log", "last\n");
            assert_eq!(harness.lines(1).await, ["last"]);
            environment = harness.end().await;
        }
    }
}

#[tokio::test]
async fn packed_files_that_are_not_decompressed_are_left_out() {
    for (decompress, left_out) in [(false, 6), (true, 2)] {
        for mode in [keep(), follow("beginning"), follow("end")] {
            let environment = Environment::new(mode.clone()).with("decompress", Value::Bool(decompress));
            environment.write("a.log.gz", gzip(b"1\n"));
            environment.write("b.log.zst", zstd::encode_all(&b"2\n"[..], 3).unwrap());
            // The name does not decide.
            environment.write("c.log", gzip(b"3\n"));
            environment.write("d.log.xz", b"\xfd7zXZ\0rest\n");
            environment.write("e.log.zip", b"PK\x03\x04rest\n");
            environment.write("f.log.gz", b"\x1f\x8b\x08 damaged\n");
            let mut harness = environment.begin().await;
            harness.counted("packed_files_left_out", left_out).await;
            if decompress && mode != follow("end") {
                let mut lines = harness.lines(3).await;
                lines.sort();
                assert_eq!(lines, ["1", "2", "3"]);
            }
            harness.write("g.log", "text\n");
            assert_eq!(harness.lines(1).await, ["text"]);
            assert_eq!(harness.meter.counters()["packed_files_left_out"], left_out);
            harness.end().await;
        }
    }
}

/// The first bytes alone do not tell that a file is compressed.
#[tokio::test]
async fn a_compressed_file_whose_first_bytes_come_one_by_one_is_recognised() {
    for decompress in [false, true] {
        for compressed in [gzip(b"1\n"), zstd::encode_all(&b"1\n"[..], 3).unwrap()] {
            let environment =
                Environment::new(follow("beginning")).with("decompress", Value::Bool(decompress));
            environment.write("a.log", "");
            let mut harness = environment.begin().await;
            for byte in compressed {
                harness.append("a.log", [byte]);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            if decompress {
                assert_eq!(harness.lines(1).await, ["1"]);
            } else {
                harness.counted("packed_files_left_out", 1).await;
            }
            harness.write("b.log", "text\n");
            assert_eq!(harness.lines(1).await, ["text"]);
            assert_eq!(harness.meter.counters().get("files_begun_anew"), None);
            harness.end().await;
        }
    }
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
