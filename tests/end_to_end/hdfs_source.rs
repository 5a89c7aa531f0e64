//! Files on HDFS as a source, while Weir is killed, and while files are written, appended to and deleted.

use std::process;
use std::time::Duration;

use weir_tests::{Hdfs, Scene, Servers, Weir, lines_of, print_line, visible_files};

const FLOW: &str = "tests/end_to_end/flows/files_on_hdfs.flow";
const LINES: usize = 4_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Lines of a file that no other file has.
fn lines(file: &str, from: usize) -> Vec<String> {
    (from..from + LINES).map(|number| format!("{file} {number} {}", "x".repeat(number % 70))).collect()
}

/// The folders of one run of the test.
struct Folders<'a> {
    scene: &'a Scene,
    hdfs: Hdfs,
    /// The folder on HDFS.
    base: String,
}

impl Folders<'_> {
    fn run(&self) -> Weir {
        let settings = [
            ("hdfs", self.hdfs.url().to_owned()),
            ("kept", format!("{}/kept/*", self.base)),
            ("deleted", format!("{}/deleted/**/*.log", self.base)),
            ("state", self.scene.path("positions.json")),
            ("channel", self.scene.path("channel")),
            ("local", self.scene.path("local")),
            ("to", format!("{}/out", self.base)),
        ];
        Weir::run(self.scene, FLOW, &settings)
    }

    fn put(&self, name: &str, sent: &mut Vec<String>) {
        let lines = lines(name, 0);
        self.hdfs.put(&format!("{}/{name}", self.base), &lines, self.scene);
        sent.extend(lines);
    }

    /// The lines that the sink behind the memory channel has written.
    fn kept(&self) -> Vec<String> {
        let folder = self.scene.folder().join("local");
        if !folder.exists() {
            return Vec::new();
        }
        text(lines_of(&visible_files(&folder)))
    }

    /// The complete files of the sink on HDFS, and those that are to be deleted.
    fn counts(&self) -> (usize, usize) {
        let files = self.hdfs.files(&self.base);
        let is_out = |path: &str| path.contains("/out/events-") && !path.contains("/.");
        let out = files.iter().filter(|file| is_out(&file.path)).count();
        (out, files.iter().filter(|file| file.path.contains("/deleted/")).count())
    }
}

fn text(lines: Vec<Vec<u8>>) -> Vec<String> {
    lines.into_iter().map(|line| String::from_utf8(line).expect("lines are text")).collect()
}

fn assert_once(mut found: Vec<String>, sent: &[String], what: &str) {
    let mut expected = sent.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    let wrong = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert_eq!(wrong, None, "{what}: found and expected");
    assert_eq!(found.len(), expected.len(), "{what}");
}

#[test]
fn lines_of_files_on_hdfs_arrive_once_however_often_weir_is_killed() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "lines_of_files_on_hdfs_arrive_once");
    let base = format!("/{}-{}", scene.name(), process::id());
    let folders = Folders { scene: &scene, hdfs: session.hdfs(), base };
    let (mut kept, mut deleted) = (Vec::new(), Vec::new());
    folders.put("kept/first.log", &mut kept);
    folders.put("deleted/first.log", &mut deleted);
    let open_lines = lines("kept/open.log", 0);
    let open = folders.hdfs.hold(&format!("{}/kept/open.log", folders.base), &open_lines, &scene);
    for kill in 0..4 {
        let (kept_before, (out_before, _)) = (folders.kept().len(), folders.counts());
        let mut weir = folders.run();
        weir.await_event("it has written a file", PATIENCE, |_| {
            let has_kept = folders.kept().len() > kept_before;
            (has_kept || folders.counts().0 > out_before).then_some(())
        });
        weir.kill();
        folders.put(&format!("kept/{kill}.log"), &mut kept);
        folders.put(&format!("deleted/day/{kill}.log"), &mut deleted);
    }
    let grown = lines("kept/first.log", LINES);
    folders.hdfs.append(&format!("{}/kept/first.log", folders.base), &grown, &scene);
    kept.extend(grown);
    let mut weir = folders.run();
    weir.await_event("all closed files are read", PATIENCE, |_| {
        (folders.kept().len() >= kept.len() && folders.counts().1 == 0).then_some(())
    });
    assert_once(folders.kept(), &kept, "while a file is open");
    open.close();
    kept.extend(open_lines);
    weir.await_event("the closed file is read", PATIENCE, |_| {
        (folders.kept().len() >= kept.len()).then_some(())
    });
    weir.terminate().assert_success();
    assert_once(folders.kept(), &kept, "kept");
    let (out, _unfinished) = folders.hdfs.lines(&format!("{}/out", folders.base), &scene);
    assert_once(text(out), &deleted, "deleted");
    print_line(scene.name(), format_args!("{} and {} lines", kept.len(), deleted.len()));
}
