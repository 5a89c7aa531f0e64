//! Packed copies of files that were read: each is continued at the position that was reached in its original.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::packed::{gzip, text};
use super::*;

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

/// Makes a text whose first kilobytes are the same for all texts.
fn bannered(lines: &str) -> String {
    "a banner that every log of this kind begins with\n".repeat(100) + lines
}

/// Returns environments that remember positions in different ways over restarts.
fn settings() -> [Setting; 3] {
    let follow = || Setting::new(follow("beginning"));
    [
        follow().with_positions(),
        follow().with_durable_channel(),
        follow().with_durable_channel().with_positions(),
    ]
}

impl Setting {
    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Packs a file and removes it.
    fn replace(&self, name: &str, packed: &str, pack: fn(&[u8]) -> Vec<u8>) {
        self.write(packed, pack(&self.read(name)));
        self.remove(name);
    }

    /// Starts the source, waits for this many lines, and stops it.
    async fn after(self, lines: usize) -> Setting {
        let mut trial = self.begin().await;
        trial.lines(lines).await;
        trial.end().await
    }

    /// Starts the source, checks that these are the next lines, and stops it.
    async fn yields<const N: usize>(self, lines: [&str; N]) -> Setting {
        let mut trial = self.begin().await;
        assert_eq!(trial.lines(N).await, lines);
        trial.end().await
    }

    /// Starts the source, checks that there is nothing to be read, and stops it.
    async fn has_nothing_more(self) -> Setting {
        let mut trial = self.begin().await;
        trial.all_identified().await;
        trial.end().await
    }
}

impl Trial {
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
        awaited(what, saved).await;
    }
}

#[tokio::test]
async fn a_file_that_was_packed_while_the_agent_was_down_is_continued() {
    for pack in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
        for setting in settings() {
            setting.write("a.log", text(0..1_000));
            let setting = setting.after(1_000).await;
            setting.append("a.log", text(1_000..1_300));
            setting.replace("a.log", "a.log.1.packed", pack);
            let mut trial = setting.begin().await;
            let lines = trial.lines(300).await;
            assert_eq!((lines[0].as_str(), lines[299].as_str()), ("line 1000", "line 1299"));
            let setting = trial.end().await;
            setting.rename("a.log.1.packed", "a.log.2.packed");
            setting.has_nothing_more().await;
        }
    }
}

#[tokio::test]
async fn lines_that_the_channel_has_are_not_read_again_if_a_crash_kept_their_positions_from_being_saved() {
    // The channel has the last lines; the file of positions has an earlier position, or does not exist.
    for known in [true, false] {
        let setting = Setting::new(follow("beginning")).with_durable_channel().with_positions();
        setting.write("a.log", if known { text(0..500) } else { String::new() });
        let setting = setting.after(if known { 500 } else { 0 }).await;
        let early = fs::read(setting.path("state/positions.json")).ok();
        setting.append("a.log", text(500..800));
        let setting = setting.after(300).await;
        match early {
            Some(early) => setting.write("state/positions.json", early),
            None => setting.remove("state/positions.json"),
        }
        setting.append("a.log", text(800..900));
        setting.replace("a.log", "a.log.gz", gzip);
        let mut trial = setting.begin().await;
        let lines = trial.lines(100).await;
        assert_eq!((lines[0].as_str(), lines[99].as_str()), ("line 800", "line 899"));
        trial.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_continues_its_originals_partition() {
    let setting = Setting::new(follow("beginning")).with_durable_channel();
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    let setting = trial.crash().await;
    setting.append("a.log", "2\n");
    setting.replace("a.log", "a.log.gz", gzip);
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["2"]);
    let given = SourcePort::into_channel(trial.channel.clone()).given;
    let given: Vec<u64> = given.positions().map(|(_, given)| given.position()).collect();
    assert_eq!(given, [4]);
    trial.end().await;
}

#[tokio::test]
async fn of_several_originals_with_the_same_beginning_each_copy_finds_its_own() {
    for setting in settings() {
        for name in ["a", "b", "c"] {
            setting.write(&format!("{name}.log"), bannered(&format!("{name} 1\n").repeat(200)));
        }
        let setting = setting.after(900).await;
        for name in ["b", "a", "c"] {
            setting.append(&format!("{name}.log"), format!("{name} 2\n"));
            setting.replace(&format!("{name}.log"), &format!("old.{name}.log.gz"), gzip);
        }
        // A copy whose original was never read.
        setting.write("d.log.gz", gzip(bannered("d 1\n").as_bytes()));
        let mut trial = setting.begin().await;
        let mut lines = trial.lines(104).await;
        lines.retain(|line| !line.starts_with("a banner"));
        lines.sort();
        assert_eq!(lines, ["a 2", "b 2", "c 2", "d 1"]);
        trial.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_waits_as_long_as_its_original_is_there() {
    let setting = Setting::new(follow("beginning")).with_positions();
    // Original and copy are found by the same scan: the original is read, whatever their names are.
    setting.write("z.log", text(0..100));
    setting.write("a.log.gz", gzip(text(0..100).as_bytes()));
    let mut trial = setting.begin().await;
    trial.lines(100).await;
    // A copy is found later.
    trial.write("z.log.zst", zstd(text(0..50).as_bytes()));
    trial.all_identified().await;
    trial.append("z.log", "more\n");
    assert_eq!(trial.lines(1).await, ["more"]);
    trial.saved("\"copies\":[\n{").await;
    let setting = trial.end().await.has_nothing_more().await;
    // Both copies end before the position that was reached in the original.
    setting.remove("z.log");
    let setting = setting.has_nothing_more().await;
    setting.has_nothing_more().await;
}

#[tokio::test]
async fn a_copy_is_read_when_its_original_was_not() {
    let setting = Setting::new(follow("beginning")).with_durable_channel();
    setting.write("a.log", text(0..100));
    setting.write("a.log.gz", gzip(text(0..100).as_bytes()));
    setting.write("a.log.zst", zstd(text(100..200).as_bytes()));
    let mut trial = setting.begin().await;
    // The second is not a copy of the first, although its name would say so.
    let mut lines = trial.lines(200).await;
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 200);
    trial.end().await;
}

#[tokio::test]
async fn a_copy_that_is_still_being_written_waits_until_it_is_complete() {
    for setting in settings() {
        let original = text(0..50_000);
        setting.write("a.log", &original[..original.len() / 2]);
        let mut trial = setting.begin().await;
        let read = original[..original.len() / 2].matches('\n').count();
        trial.lines(read).await;
        let setting = trial.end().await;
        setting.remove("a.log");
        let packed = gzip(original.as_bytes());
        // Too little to identify the copy, then too little to continue reading, then the complete copy.
        setting.write("a.log.gz", &packed[..20]);
        let mut trial = setting.begin().await;
        trial.all_identified().await;
        trial.append("a.log.gz", &packed[20..packed.len() / 4]);
        trial.all_identified().await;
        trial.append("a.log.gz", &packed[packed.len() / 4..]);
        let rest = trial.lines(50_000 - read).await;
        assert_eq!((rest[0].as_str(), rest.len()), (format!("line {read}").as_str(), 50_000 - read));
        trial.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_of_a_copy_is_continued_as_well() {
    for setting in settings() {
        setting.write("a.log", "1\n");
        let setting = setting.after(1).await;
        setting.append("a.log", "2\n");
        setting.replace("a.log", "a.log.gz", gzip);
        let mut trial = setting.begin().await;
        assert_eq!(trial.lines(1).await, ["2"]);
        // While the agent runs, and while it does not.
        trial.write("b.log.zst", zstd(b"1\n2\n"));
        trial.all_identified().await;
        trial.remove("a.log.gz");
        trial.all_identified().await;
        let setting = trial.end().await;
        setting.write("c.log.gz", gzip(b"1\n2\n3"));
        setting.remove("b.log.zst");
        setting.yields(["3"]).await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_that_was_removed_is_recognised_when_it_is_restored() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("a.log", "1\n2\n");
    let setting = setting.after(2).await;
    setting.replace("a.log", "a.log.gz", gzip);
    let setting = setting.has_nothing_more().await;
    let packed = setting.read("a.log.gz");
    setting.remove("a.log.gz");
    let setting = setting.has_nothing_more().await;
    setting.write("back.log.gz", packed);
    setting.has_nothing_more().await;
}

#[tokio::test]
async fn a_new_log_at_the_path_of_the_original_is_another_file() {
    for setting in settings() {
        setting.write("a.log", bannered("1\n"));
        let setting = setting.after(101).await;
        setting.append("a.log", "2\n");
        setting.replace("a.log", "a.log.1.gz", gzip);
        setting.write("a.log", bannered("1\n3\n"));
        let mut trial = setting.begin().await;
        let mut lines = trial.lines(103).await;
        lines.retain(|line| !line.starts_with("a banner"));
        lines.sort();
        assert_eq!(lines, ["1", "2", "3"]);
        trial.end().await.has_nothing_more().await;
    }
}

/// Prepares a log of which two lines were read, and which was then packed with a third line and truncated.
async fn packed_and_truncated(setting: Setting) -> Setting {
    setting.write("a.log", "1\n2\n");
    let setting = setting.after(2).await;
    setting.append("a.log", "3\n");
    setting.write("a.log.1.gz", gzip(&setting.read("a.log")));
    File::options().write(true).truncate(true).open(setting.path("a.log")).unwrap();
    setting
}

#[tokio::test]
async fn a_log_that_was_packed_and_truncated_is_continued() {
    for setting in settings() {
        let setting = packed_and_truncated(setting).await;
        setting.append("a.log", "4\n");
        let mut trial = setting.begin().await;
        let mut lines = trial.lines(2).await;
        lines.sort();
        assert_eq!(lines, ["3", "4"]);
        trial.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_does_not_wait_for_a_log_that_is_empty_now() {
    for setting in settings() {
        let setting = packed_and_truncated(setting).await;
        let mut trial = setting.begin().await;
        assert_eq!(trial.lines(1).await, ["3"]);
        trial.append("a.log", "4\n");
        assert_eq!(trial.lines(1).await, ["4"]);
        trial.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn copies_at_rest_are_not_unpacked_again_after_a_restart() {
    let setting = Setting::new(follow("beginning")).with_positions();
    for name in ["a.log", "b.log", "c.log"] {
        setting.write(name, text(0..100) + name + "\n");
    }
    let mut trial = setting.begin().await;
    trial.lines(303).await;
    trial.write("c.log.gz", gzip(text(0..50).as_bytes()));
    trial.saved("\"copies\":[\n{").await;
    let setting = trial.end().await;
    // The first copy has nothing new, the second has another line, the third ends before its original.
    setting.replace("a.log", "a.log.gz", gzip);
    setting.append("b.log", "more\n");
    setting.replace("b.log", "b.log.gz", gzip);
    setting.remove("c.log");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["more"]);
    trial.saved("\"done\":true").await;
    let setting = trial.end().await;
    for name in ["a.log.gz", "b.log.gz", "c.log.gz"] {
        // If the source read the file, it would emit these lines.
        let file = File::options().write(true).open(setting.path(name)).unwrap();
        let metadata = file.metadata().unwrap();
        (&file).write_all(&vec![b'\n'; metadata.len() as usize]).unwrap();
        file.set_modified(metadata.modified().unwrap()).unwrap();
    }
    setting.has_nothing_more().await;
}

#[tokio::test]
async fn an_event_that_waited_for_further_lines_is_completed_from_the_copy() {
    for setting in settings() {
        let wait = Value::Duration(Duration::from_secs(3_600));
        let pattern = Value::Text(r"^\S".into());
        let begins = variant("begins", &[("pattern", pattern), ("most", Value::Int(10)), ("wait", wait)]);
        let setting = setting.with("multiline", begins);
        setting.write("a.log", "one\n 1\ntwo\n 2\n");
        let setting = setting.yields(["one\n 1"]).await;
        setting.append("a.log", " 3\nthree");
        setting.replace("a.log", "a.log.gz", gzip);
        setting.yields(["two\n 2\n 3", "three"]).await;
    }
}

#[tokio::test]
async fn a_partial_line_is_read_from_the_copy() {
    for setting in settings() {
        setting.write("a.log", "1\n2");
        let setting = setting.yields(["1"]).await;
        setting.replace("a.log", "a.log.gz", gzip);
        setting.yields(["2"]).await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn lines_that_were_skipped_in_the_original_are_skipped_in_the_copy() {
    let end = || Setting::new(follow("end"));
    for setting in [end().with_positions(), end().with_durable_channel()] {
        setting.write("a.log", "old\n");
        let trial = setting.begin().await;
        trial.counted("files_begun_at_their_end", 1).await;
        let setting = trial.end().await;
        setting.append("a.log", "new\n");
        setting.replace("a.log", "a.log.gz", gzip);
        setting.yields(["new"]).await;
    }
}

#[tokio::test]
async fn complete_files_that_are_packed_afterwards_are_not_read_again() {
    for setting in [Setting::new(keep()).with_positions(), Setting::new(keep()).with_durable_channel()] {
        setting.write("a.log", text(0..100) + "end");
        setting.write("one.log.gz", gzip(b"the same\n"));
        setting.write("two.log.gz", gzip(b"the same\n"));
        let setting = setting.after(103).await;
        setting.replace("a.log", "a.log.gz", gzip);
        // Complete files that were packed from the start may well have the same text.
        setting.write("three.log.gz", gzip(b"the same\n"));
        let setting = setting.yields(["the same"]).await;
        let setting = setting.with("mode", complete(variant("delete", &[])));
        let trial = setting.begin().await;
        trial.counted("files_delivered", 4).await;
        assert!(!trial.path("a.log.gz").exists());
        trial.end().await;
    }
}

#[tokio::test]
async fn a_copy_is_recognised_by_positions_of_an_earlier_version() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("a.log", "1\n2\n");
    let setting = setting.after(2).await;
    let saved = String::from_utf8(setting.read("state/positions.json")).unwrap();
    let mut saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    let name =
        saved["files"][0]["partition"].as_str().unwrap().split('-').take(6).collect::<Vec<_>>().join("-");
    saved["files"][0]["partition"] = name.into();
    saved["version"] = 1.into();
    for later in ["copies", "checksum", "sums", "ends"] {
        saved.as_object_mut().unwrap().remove(later);
    }
    setting.write("state/positions.json", saved.to_string());
    setting.append("a.log", "3\n");
    setting.replace("a.log", "a.log.gz", gzip);
    setting.yields(["3"]).await.has_nothing_more().await;
}

/// Without birth times, an edited original can't be told from another file that has taken its inode.
#[tokio::test]
async fn a_copy_of_a_quarantined_file_is_reported_and_is_read_when_that_file_is_moved_away() {
    // Either the edit comes first, or the copy, which then has only the text that was read.
    for more in ["three\n", ""] {
        let setting = Setting::new(follow("beginning")).with_positions();
        setting.write("a.log", bannered("one\ntwo\n"));
        let mut trial = setting.begin().await;
        trial.lines(102).await;
        let packed = gzip(bannered(&format!("one\ntwo\n{more}")).as_bytes());
        if more.is_empty() {
            trial.write("a.log.1.gz", &packed);
            trial.all_identified().await;
        }
        let file = File::options().write(true).open(trial.path("a.log")).unwrap();
        file.write_all_at(b"One", bannered("").len() as u64).unwrap();
        trial.counted("files_set_aside", 1).await;
        if !more.is_empty() {
            trial.write("a.log.1.gz", &packed);
        }
        trial.counted("copies_waiting_for_files_set_aside", 1).await;
        trial.all_identified().await;
        let away = trial.path("a.away");
        fs::rename(trial.path("a.log"), &away).unwrap();
        match more.is_empty() {
            true => trial.all_identified().await,
            false => assert_eq!(trial.lines(1).await, ["three"]),
        }
        // As the message says: a copy of the file, which has another inode, at the old path.
        fs::copy(&away, trial.path("a.log")).unwrap();
        assert_eq!(trial.lines(102).await[100..], ["One", "two"]);
        trial.end().await.has_nothing_more().await;
    }
}

#[tokio::test]
async fn a_copy_is_continued_even_without_decompress() {
    let setting = Setting::new(follow("beginning")).with("decompress", Value::Bool(false)).with_positions();
    setting.write("a.log", "1\n");
    let setting = setting.after(1).await;
    setting.append("a.log", "2\n");
    setting.replace("a.log", "a.log.gz", gzip);
    let setting = setting.yields(["2"]).await;
    // The file changes, but its text does not.
    setting.append("a.log.gz", gzip(b""));
    setting.has_nothing_more().await;
}
