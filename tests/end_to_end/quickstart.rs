//! The example with which the README begins.

use weir_tests::{Scene, Weir, lines_of, visible_files};

#[test]
fn the_quickstart_ends_by_itself_and_says_what_it_did() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "the_quickstart_ends_by_itself");
    let ending = Weir::run(&scene, "examples/quickstart.flow", &[]).finish();
    ending.assert_success();
    let mut files = visible_files(scene.folder());
    files.retain(|file| file.extension().is_some_and(|extension| extension == "gz" || extension == "zst"));
    assert!(!files.is_empty(), "the quickstart left no compressed files in {}", scene.folder().display());
    let lines = lines_of(&files);
    assert!(lines.iter().all(|line| line.ends_with(b"\"")), "a line that is no access log in {files:?}");

    // the closing table counts the same events as there are lines
    let digits: String = ending.log.chars().filter(|c| !matches!(c, '_' | ',' | '\u{202f}')).collect();
    let count = lines.len().to_string();
    assert!(digits.contains(&count), "the closing table does not say {count}:\n{}", ending.log);
}
