//! Compressed copies of files that were read: each is continued at the position that was reached in its original.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::compressed::{gzip, text};
use super::*;

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

/// Makes a text whose first kilobytes are the same for all texts.
fn bannered(lines: &str) -> String {
    "a banner that every log of this kind begins with\n".repeat(100) + lines
}

/// Returns environments that remember positions in different ways over restarts.
fn environments() -> [Environment; 3] {
    let follow = || Environment::new(follow("beginning"));
    [
        follow().with_positions(),
        follow().with_durable_channel(),
        follow().with_durable_channel().with_positions(),
    ]
}

impl Environment {
    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Compresses a file and removes it.
    fn replace(&self, name: &str, compressed: &str, compress: fn(&[u8]) -> Vec<u8>) {
        self.write(compressed, compress(&self.read(name)));
        self.remove(name);
    }

    /// Starts the source, waits for this many lines, and stops it.
    async fn after(self, lines: usize) -> Environment {
        let mut harness = self.begin().await;
        harness.lines(lines).await;
        harness.end().await
    }

    /// Starts the source, checks that these are the next lines, and stops it.
    async fn yields<const N: usize>(self, lines: [&str; N]) -> Environment {
        let mut harness = self.begin().await;
        assert_eq!(harness.lines(N).await, lines);
        harness.end().await
    }

    /// Starts the source, checks that there is nothing to be read, and stops it.
    async fn has_nothing_more(self) -> Environment {
        let mut harness = self.begin().await;
        harness.all_identified().await;
        harness.end().await
    }
}

impl Harness {
    /// Waits until all existing files were identified, and checks that there is nothing to be read of them.
    pub(super) async fn all_identified(&mut self) {
        // Files that the second scan finds are queued behind all files that the first scan has found.
        for _ in 0..2 {
            static SCANS: AtomicUsize = AtomicUsize::new(0);
            let name = format!("scan-{}.log", SCANS.fetch_add(1, Ordering::Relaxed));
            self.write(&name, format!("{name}\n"));
            assert_eq!(self.lines(1).await, [name]);
        }
    }

    /// Waits until the file of positions contains this text.
    async fn saved(&self, what: &str) {
        let positions = self.path("state/positions.json");
        let saved = async {
            while !fs::read_to_string(&positions).is_ok_and(|text| text.contains(what)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within_patience(what, saved).await;
    }
}

#[tokio::test]
async fn a_file_that_was_compressed_while_the_agent_was_down_is_continued() {
    for compress in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
        for environment in environments() {
            environment.write("a.log", text(0..1_000));
            let environment = environment.after(1_000).await;
            environment.append("a.log", text(1_000..1_300));
            environment.replace("a.log", "a.log.1.packed", compress);
            let mut harness = environment.begin().await;
            let lines = harness.lines(300).await;
            assert_eq!((lines[0].as_str(), lines[299].as_str()), ("line 1000", "line 1299"));
            let environment = harness.end().await;
            environment.rename("a.log.1.packed", "a.log.2.packed");
            environment.has_nothing_more().await;
        }
    }
}

#[tokio::test]
async fn lines_that_the_channel_has_are_not_read_again_if_a_crash_kept_their_positions_from_being_saved() {
    // The channel has the last lines; the file of positions has an earlier position, or does not exist.
    for known in [true, false] {
        let environment = Environment::new(follow("beginning")).with_durable_channel().with_positions();
        environment.write("a.log", if known { text(0..500) } else { String::new() });
        let environment = environment.after(if known { 500 } else { 0 }).await;
        let early = fs::read(environment.path("state/positions.json")).ok();
        environment.append("a.log", text(500..800));
        let environment = environment.after(300).await;
        match early {
            Some(early) => environment.write("state/positions.json", early),
            None => environment.remove("state/positions.json"),
        }
        environment.append("a.log", text(800..900));
        environment.replace("a.log", "a.log.gz", gzip);
        let mut harness = environment.begin().await;
        let lines = harness.lines(100).await;
        assert_eq!((lines[0].as_str(), lines[99].as_str()), ("line 800", "line 899"));
        harness.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_continues_its_originals_partition() {
    let environment = Environment::new(follow("beginning")).with_durable_channel();
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    let environment = harness.crash().await;
    environment.append("a.log", "2\n");
    environment.replace("a.log", "a.log.gz", gzip);
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["2"]);
    let given = SourcePort::into_channel(harness.channel.clone()).given;
    let given: Vec<u64> = given.positions().map(|(_, given)| given.position()).collect();
    assert_eq!(given, [4]);
    harness.end().await;
}

#[tokio::test]
async fn of_several_originals_with_the_same_beginning_each_copy_finds_its_own() {
    for environment in environments() {
        for name in ["a", "b", "c"] {
            environment.write(&format!("{name}.log"), bannered(&format!("{name} 1\n").repeat(200)));
        }
        let environment = environment.after(900).await;
        for name in ["b", "a", "c"] {
            environment.append(&format!("{name}.log"), format!("{name} 2\n"));
            environment.replace(&format!("{name}.log"), &format!("old.{name}.log.gz"), gzip);
        }
        // A copy whose original was never read.
        environment.write("d.log.gz", gzip(bannered("d 1\n").as_bytes()));
        let mut harness = environment.begin().await;
        let mut lines = harness.lines(104).await;
        lines.retain(|line| !line.starts_with("a banner"));
        lines.sort();
        assert_eq!(lines, ["a 2", "b 2", "c 2", "d 1"]);
        harness.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_waits_as_long_as_its_original_is_there() {
    let environment = Environment::new(follow("beginning")).with_positions();
    // Original and copy are found by the same scan: the original is read, whatever their names are.
    environment.write("z.log", text(0..100));
    environment.write("a.log.gz", gzip(text(0..100).as_bytes()));
    let mut harness = environment.begin().await;
    harness.lines(100).await;
    // A copy is found later.
    harness.write("z.log.zst", zstd(text(0..50).as_bytes()));
    harness.all_identified().await;
    harness.append("z.log", "more\n");
    assert_eq!(harness.lines(1).await, ["more"]);
    harness.saved("\"copies\":[\n{").await;
    let environment = harness.end().await.has_nothing_more().await;
    // Both copies end before the position that was reached in the original.
    environment.remove("z.log");
    let environment = environment.has_nothing_more().await;
    environment.has_nothing_more().await;
}

#[tokio::test]
async fn a_copy_is_read_when_its_original_was_not() {
    let environment = Environment::new(follow("beginning")).with_durable_channel();
    environment.write("a.log", text(0..100));
    environment.write("a.log.gz", gzip(text(0..100).as_bytes()));
    environment.write("a.log.zst", zstd(text(100..200).as_bytes()));
    let mut harness = environment.begin().await;
    // The second is not a copy of the first, although its name would say so.
    let mut lines = harness.lines(200).await;
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 200);
    harness.end().await;
}

#[tokio::test]
async fn a_copy_that_is_still_being_written_waits_until_it_is_complete() {
    for environment in environments() {
        let original = text(0..50_000);
        environment.write("a.log", &original[..original.len() / 2]);
        let mut harness = environment.begin().await;
        let read = original[..original.len() / 2].matches('\n').count();
        harness.lines(read).await;
        let environment = harness.end().await;
        environment.remove("a.log");
        let compressed = gzip(original.as_bytes());
        // Too little to identify the copy, then too little to continue reading, then the complete copy.
        environment.write("a.log.gz", &compressed[..20]);
        let mut harness = environment.begin().await;
        harness.all_identified().await;
        harness.append("a.log.gz", &compressed[20..compressed.len() / 4]);
        harness.all_identified().await;
        harness.append("a.log.gz", &compressed[compressed.len() / 4..]);
        let rest = harness.lines(50_000 - read).await;
        assert_eq!((rest[0].as_str(), rest.len()), (format!("line {read}").as_str(), 50_000 - read));
        harness.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_of_a_copy_is_continued_as_well() {
    for environment in environments() {
        environment.write("a.log", "1\n");
        let environment = environment.after(1).await;
        environment.append("a.log", "2\n");
        environment.replace("a.log", "a.log.gz", gzip);
        let mut harness = environment.begin().await;
        assert_eq!(harness.lines(1).await, ["2"]);
        // While the agent runs, and while it does not.
        harness.write("b.log.zst", zstd(b"1\n2\n"));
        harness.all_identified().await;
        harness.remove("a.log.gz");
        harness.all_identified().await;
        let environment = harness.end().await;
        environment.write("c.log.gz", gzip(b"1\n2\n3"));
        environment.remove("b.log.zst");
        environment.yields(["3"]).await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_that_was_removed_is_recognised_when_it_is_restored() {
    let environment = Environment::new(follow("beginning")).with_positions();
    environment.write("a.log", "1\n2\n");
    let environment = environment.after(2).await;
    environment.replace("a.log", "a.log.gz", gzip);
    let environment = environment.has_nothing_more().await;
    let compressed = environment.read("a.log.gz");
    environment.remove("a.log.gz");
    let environment = environment.has_nothing_more().await;
    environment.write("back.log.gz", compressed);
    environment.has_nothing_more().await;
}

#[tokio::test]
async fn a_new_log_at_the_path_of_the_original_is_another_file() {
    for environment in environments() {
        environment.write("a.log", bannered("1\n"));
        let environment = environment.after(101).await;
        environment.append("a.log", "2\n");
        environment.replace("a.log", "a.log.1.gz", gzip);
        environment.write("a.log", bannered("1\n3\n"));
        let mut harness = environment.begin().await;
        let mut lines = harness.lines(103).await;
        lines.retain(|line| !line.starts_with("a banner"));
        lines.sort();
        assert_eq!(lines, ["1", "2", "3"]);
        harness.end().await.has_nothing_more().await;
    }
}

/// Prepares a log of which two lines were read, and which was then compressed with a third line and truncated.
async fn compressed_and_truncated(environment: Environment) -> Environment {
    environment.write("a.log", "1\n2\n");
    let environment = environment.after(2).await;
    environment.append("a.log", "3\n");
    environment.write("a.log.1.gz", gzip(&environment.read("a.log")));
    File::options().write(true).truncate(true).open(environment.path("a.log")).unwrap();
    environment
}

#[tokio::test]
async fn a_log_that_was_compressed_and_truncated_is_continued() {
    for environment in environments() {
        let environment = compressed_and_truncated(environment).await;
        environment.append("a.log", "4\n");
        let mut harness = environment.begin().await;
        let mut lines = harness.lines(2).await;
        lines.sort();
        assert_eq!(lines, ["3", "4"]);
        harness.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_does_not_wait_for_a_log_that_is_empty_now() {
    for environment in environments() {
        let environment = compressed_and_truncated(environment).await;
        let mut harness = environment.begin().await;
        assert_eq!(harness.lines(1).await, ["3"]);
        harness.append("a.log", "4\n");
        assert_eq!(harness.lines(1).await, ["4"]);
        harness.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn copies_at_rest_are_not_decompressed_again_after_a_restart() {
    let environment = Environment::new(follow("beginning")).with_positions();
    for name in ["a.log", "b.log", "c.log"] {
        environment.write(name, text(0..100) + name + "\n");
    }
    let mut harness = environment.begin().await;
    harness.lines(303).await;
    harness.write("c.log.gz", gzip(text(0..50).as_bytes()));
    harness.saved("\"copies\":[\n{").await;
    let environment = harness.end().await;
    // The first copy has nothing new, the second has another line, the third ends before its original.
    environment.replace("a.log", "a.log.gz", gzip);
    environment.append("b.log", "more\n");
    environment.replace("b.log", "b.log.gz", gzip);
    environment.remove("c.log");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["more"]);
    harness.saved("\"done\":true").await;
    let environment = harness.end().await;
    for name in ["a.log.gz", "b.log.gz", "c.log.gz"] {
        // If the source read the file, it would emit these lines.
        let file = File::options().write(true).open(environment.path(name)).unwrap();
        let metadata = file.metadata().unwrap();
        (&file).write_all(&vec![b'\n'; metadata.len() as usize]).unwrap();
        file.set_modified(metadata.modified().unwrap()).unwrap();
    }
    environment.has_nothing_more().await;
}

#[tokio::test]
async fn an_event_that_waited_for_further_lines_is_completed_from_the_copy() {
    for environment in environments() {
        let wait = Value::Duration(Duration::from_secs(3_600));
        let pattern = Value::Text(r"^\S".into());
        let begins = variant("begins", &[("pattern", pattern), ("most", Value::Int(10)), ("wait", wait)]);
        let environment = environment.with("multiline", begins);
        environment.write("a.log", "one\n 1\ntwo\n 2\n");
        let environment = environment.yields(["one\n 1"]).await;
        environment.append("a.log", " 3\nthree");
        environment.replace("a.log", "a.log.gz", gzip);
        environment.yields(["two\n 2\n 3", "three"]).await;
    }
}

#[tokio::test]
async fn a_partial_line_is_read_from_the_copy() {
    for environment in environments() {
        environment.write("a.log", "1\n2");
        let environment = environment.yields(["1"]).await;
        environment.replace("a.log", "a.log.gz", gzip);
        environment.yields(["2"]).await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn lines_that_were_skipped_in_the_original_are_skipped_in_the_copy() {
    let end = || Environment::new(follow("end"));
    for environment in [end().with_positions(), end().with_durable_channel()] {
        environment.write("a.log", "old\n");
        let harness = environment.begin().await;
        harness.counted("files_begun_at_their_end", 1).await;
        let environment = harness.end().await;
        environment.append("a.log", "new\n");
        environment.replace("a.log", "a.log.gz", gzip);
        environment.yields(["new"]).await;
    }
}

#[tokio::test]
async fn complete_files_that_are_compressed_afterwards_are_not_read_again() {
    for environment in
        [Environment::new(keep()).with_positions(), Environment::new(keep()).with_durable_channel()]
    {
        environment.write("a.log", text(0..100) + "end");
        environment.write("one.log.gz", gzip(b"the same\n"));
        environment.write("two.log.gz", gzip(b"the same\n"));
        let environment = environment.after(103).await;
        environment.replace("a.log", "a.log.gz", gzip);
        // Complete files that were compressed from the start may well have the same text.
        environment.write("three.log.gz", gzip(b"the same\n"));
        let environment = environment.yields(["the same"]).await;
        let environment = environment.with("mode", complete(variant("delete", &[])));
        let harness = environment.begin().await;
        harness.counted("files_delivered", 4).await;
        assert!(!harness.path("a.log.gz").exists());
        harness.end().await;
    }
}

#[tokio::test]
async fn a_copy_is_recognised_by_positions_of_an_earlier_version() {
    let environment = Environment::new(follow("beginning")).with_positions();
    environment.write("a.log", "1\n2\n");
    let environment = environment.after(2).await;
    let saved = String::from_utf8(environment.read("state/positions.json")).unwrap();
    let mut saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    let name =
        saved["files"][0]["partition"].as_str().unwrap().split('-').take(6).collect::<Vec<_>>().join("-");
    saved["files"][0]["partition"] = name.into();
    saved["version"] = 1.into();
    for later in ["copies", "checksum", "sums", "ends"] {
        saved.as_object_mut().unwrap().remove(later);
    }
    environment.write("state/positions.json", saved.to_string());
    environment.append("a.log", "3\n");
    environment.replace("a.log", "a.log.gz", gzip);
    environment.yields(["3"]).await.has_nothing_more().await;
}

/// Without birth times, an edited original can't be told from another file that has taken its inode.
#[tokio::test]
async fn a_copy_of_a_quarantined_file_is_reported_and_is_read_when_that_file_is_moved_away() {
    // Either the edit comes first, or the copy, which then has only the text that was read.
    for more in ["three\n", ""] {
        let environment = Environment::new(follow("beginning")).with_positions();
        environment.write("a.log", bannered("one\ntwo\n"));
        let mut harness = environment.begin().await;
        harness.lines(102).await;
        let compressed = gzip(bannered(&format!("one\ntwo\n{more}")).as_bytes());
        if more.is_empty() {
            harness.write("a.log.1.gz", &compressed);
            harness.all_identified().await;
        }
        let file = File::options().write(true).open(harness.path("a.log")).unwrap();
        file.write_all_at(b"One", bannered("").len() as u64).unwrap();
        harness.counted("files_set_aside", 1).await;
        if !more.is_empty() {
            harness.write("a.log.1.gz", &compressed);
        }
        harness.counted("copies_waiting_for_files_set_aside", 1).await;
        harness.all_identified().await;
        let away = harness.path("a.away");
        fs::rename(harness.path("a.log"), &away).unwrap();
        match more.is_empty() {
            true => harness.all_identified().await,
            false => assert_eq!(harness.lines(1).await, ["three"]),
        }
        // As the message says: a copy of the file, which has another inode, at the old path.
        fs::copy(&away, harness.path("a.log")).unwrap();
        assert_eq!(harness.lines(102).await[100..], ["One", "two"]);
        harness.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_is_continued_even_without_decompress() {
    let environment =
        Environment::new(follow("beginning")).with("decompress", Value::Bool(false)).with_positions();
    environment.write("a.log", "1\n");
    let environment = environment.after(1).await;
    environment.append("a.log", "2\n");
    environment.replace("a.log", "a.log.gz", gzip);
    let environment = environment.yields(["2"]).await;
    // The file changes, but its text does not.
    environment.append("a.log.gz", gzip(b""));
    environment.has_nothing_more().await;
}
