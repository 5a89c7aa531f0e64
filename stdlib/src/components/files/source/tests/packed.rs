//! Packed files.

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

impl Setting {
    /// Packs a file and removes the original, as `gzip` does after a rotation.
    fn gzip_in_place(&self, name: &str) {
        let packed = gzip(&fs::read(self.path(name)).unwrap());
        self.write(&format!("{name}.gz"), packed);
        fs::remove_file(self.path(name)).unwrap();
    }
}

#[tokio::test]
async fn packed_files_are_unpacked() {
    let setting = Setting::new(keep());
    setting.write("a.log.gz", gzip(b"1\n2"));
    setting.write("b.log.zst", zstd::encode_all(&b"3\n4\n"[..], 3).unwrap());
    let mut trial = setting.begin().await;
    let mut lines = trial.lines(4).await;
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "4"]);
    trial.end().await;
}

#[tokio::test]
async fn packed_files_are_read_as_bytes_without_decompress() {
    let setting = Setting::new(keep()).with("decompress", Value::Bool(false));
    let packed = gzip(b"1\n");
    setting.write("a.log.gz", &packed);
    let mut trial = setting.begin().await;
    let lines: Vec<Vec<u8>> = packed.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(trial.events(lines.len()).await, lines);
    trial.end().await;
}

#[tokio::test]
async fn a_file_that_is_packed_after_rotation_is_not_read_again() {
    for decompress in [true, false] {
        let setting = Setting::new(follow("beginning")).with("decompress", Value::Bool(decompress));
        setting.write("a.log", text(0..1_000));
        let mut trial = setting.begin().await;
        trial.lines(1_000).await;
        trial.rename("a.log", "a.log.1");
        trial.write("a.log", "next\n");
        assert_eq!(trial.lines(1).await, ["next"]);
        trial.gzip_in_place("a.log.1");
        // The packed file is identified before the file that a later scan finds.
        trial.write("b.log", "behind\n");
        assert_eq!(trial.lines(1).await, ["behind"]);
        trial.append("a.log", "last\n");
        assert_eq!(trial.lines(1).await, ["last"]);
        trial.end().await;
    }
}

#[tokio::test]
async fn a_file_that_was_packed_between_two_runs_is_continued_behind_the_delivered_lines() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("a.log", text(0..1_000));
    let mut trial = setting.begin().await;
    trial.lines(1_000).await;
    let setting = trial.end().await;
    setting.append("a.log", text(1_000..1_300));
    setting.gzip_in_place("a.log");
    let mut trial = setting.begin().await;
    let lines = trial.lines(300).await;
    assert_eq!((lines.len(), lines[0].as_str()), (300, "line 1000"));
    let setting = trial.end().await;
    setting.write("b.log", "other\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["other"]);
    trial.end().await;
}

#[tokio::test]
async fn another_text_with_the_same_beginning_is_read() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", text(0..1_000));
    let mut trial = setting.begin().await;
    trial.lines(1_000).await;
    fs::remove_file(trial.path("a.log")).unwrap();
    let other = text(0..500) + "another\n";
    trial.write("c.log.gz", gzip(other.as_bytes()));
    let lines = trial.lines(501).await;
    assert_eq!(lines[500], "another");
    trial.end().await;
}

#[tokio::test]
async fn a_packed_file_that_is_still_being_written_is_read_as_it_grows() {
    let setting = Setting::new(follow("beginning"));
    let whole = text(0..20_000);
    let packed = gzip(whole.as_bytes());
    let mut trial = setting.begin().await;
    let (first, rest) = packed.split_at(packed.len() / 2);
    trial.write("a.log.gz", first);
    let mut lines = trial.lines(100).await;
    trial.append("a.log.gz", rest);
    while lines.len() < 20_000 {
        lines.extend(trial.lines(1).await);
    }
    assert_eq!(lines.join("\n") + "\n", whole);
    trial.end().await;
}

#[tokio::test]
async fn more_packed_files_than_may_be_unpacked_at_once_are_all_read() {
    let setting = Setting::new(keep());
    for number in 0..40_u32 {
        setting
            .write(&format!("{number}.log.gz"), gzip(text(number * 1_000..(number + 1) * 1_000).as_bytes()));
    }
    let mut trial = setting.begin().await;
    let mut lines = trial.lines(40_000).await;
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 40_000);
    trial.end().await;
}
