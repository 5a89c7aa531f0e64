//! From local files into local files, without any server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use weir_tests::{Account, Scene, Weir, access_log, lines_of, visible_files};

const FILES: usize = 20;
const LINES_PER_FILE: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn every_line_is_in_the_compressed_files() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "every_line_is_in_the_compressed_files");
    let input = scene.folder().join("input");
    let sent = write_logs(&input);
    let settings = [("from", scene.path("input/*.log")), ("to", scene.path("output"))];
    let flow = "tests/end_to_end/flows/files_to_files.flow";

    // ended in the middle, it leaves to the next run what has not been delivered
    let mut weir = Weir::run(&scene, flow, &settings);
    weir.await_event("the first file is done", PATIENCE, |_| (done(&input) > 0).then_some(()));
    weir.terminate().assert_success();

    let mut weir = Weir::run(&scene, flow, &settings);
    weir.await_event("all files are done", PATIENCE, |_| (done(&input) == FILES).then_some(()));
    weir.terminate().assert_success();

    for (kind, extension) in [("gzip", "gz"), ("zstd", "zst")] {
        let files = visible_files(&scene.folder().join("output").join(kind));
        let named = files.iter().all(|file| file.extension().is_some_and(|found| found == extension));
        assert!(named, "not all files in output/{kind} end in .{extension}: {files:?}");
        Account::of(&sent, &lines_of(&files)).assert_nothing_lost(&format!("{} ({kind})", scene.name()));
    }
}

/// Writes the input files, and returns their lines.
fn write_logs(folder: &Path) -> Vec<String> {
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("can't make {}: {error}", folder.display()));
    let lines = access_log(0, FILES * LINES_PER_FILE);
    for (number, chunk) in lines.chunks(LINES_PER_FILE).enumerate() {
        let file = folder.join(format!("access-{number:02}.log"));
        let text = chunk.join("\n") + "\n";
        fs::write(&file, text).unwrap_or_else(|error| panic!("can't write {}: {error}", file.display()));
    }
    lines
}

/// How many input files Weir has set aside as delivered.
fn done(folder: &Path) -> usize {
    let is_done = |file: &&std::path::PathBuf| file.extension().is_some_and(|extension| extension == "done");
    visible_files(folder).iter().filter(is_done).count()
}
