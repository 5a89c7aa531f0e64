//! From local files into local files, without servers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use weir_tests::{Account, Scene, Weir, access_log, lines_of, visible_files};

/// The number of input files for each of two runs.
const FILES: usize = 10;
const LINES_PER_FILE: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn every_line_is_in_the_compressed_files() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "every_line_is_in_the_compressed_files");
    let input = scene.folder().join("input");
    let mut sent = write_logs(&input, 0);
    let settings = [("from", scene.path("input/*.log")), ("to", scene.path("output"))];
    let flow = "tests/end_to_end/flows/files_to_files.flow";

    // a run that is stopped delivers its received events and leaves the rest to the next run
    let mut weir = Weir::run(&scene, flow, &settings);
    weir.await_event("the first file is done", PATIENCE, |_| (done(&input) > 0).then_some(()));
    weir.terminate().assert_success();

    sent.extend(write_logs(&input, FILES));
    let mut weir = Weir::run(&scene, flow, &settings);
    weir.await_event("all files are done", PATIENCE, |_| (done(&input) == 2 * FILES).then_some(()));
    weir.terminate().assert_success();

    for (kind, extension) in [("gzip", "gz"), ("zstd", "zst")] {
        let files = visible_files(&scene.folder().join("output").join(kind));
        let named = files.iter().all(|file| file.extension().is_some_and(|found| found == extension));
        assert!(named, "not all files in output/{kind} end in .{extension}: {files:?}");
        Account::of(&sent, &lines_of(&files)).assert_nothing_lost(&format!("{} ({kind})", scene.name()));
    }
}

/// Writes `FILES` input files, numbered from `first`, and returns their lines.
fn write_logs(folder: &Path, first: usize) -> Vec<String> {
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("can't make {}: {error}", folder.display()));
    let lines = access_log(first * LINES_PER_FILE, FILES * LINES_PER_FILE);
    for (number, chunk) in (first..).zip(lines.chunks(LINES_PER_FILE)) {
        let file = folder.join(format!("access-{number:02}.log"));
        let text = chunk.join("\n") + "\n";
        fs::write(&file, text).unwrap_or_else(|error| panic!("can't write {}: {error}", file.display()));
    }
    lines
}

/// Counts the input files that Weir has renamed as delivered.
fn done(folder: &Path) -> usize {
    let is_done = |file: &&std::path::PathBuf| file.extension().is_some_and(|extension| extension == "done");
    visible_files(folder).iter().filter(is_done).count()
}
