//! The example with which the README begins.

use std::slice;

use weir_tests::{Scene, Weir, lines_of, visible_files};

/// How many events the example makes when it is not told otherwise.
const EVENTS: usize = 2_000_000;

#[test]
fn the_quickstart_ends_by_itself_and_says_what_it_did() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "the_quickstart_ends_by_itself");
    let ending = Weir::run(&scene, "examples/quickstart.flow", &[]).finish();
    ending.assert_success();
    let mut files = visible_files(scene.folder());
    files.retain(|file| file.extension().is_some_and(|extension| extension == "gz" || extension == "zst"));
    assert!(!files.is_empty(), "the quickstart left no compressed files in {}", scene.folder().display());
    let mut count = 0;
    for file in files {
        let lines = lines_of(slice::from_ref(&file));
        let strange = lines.iter().find(|line| !line.ends_with(b"\""));
        assert!(strange.is_none(), "no access log in {}: {strange:?}", file.display());
        count += lines.len();
    }
    assert_eq!(count, EVENTS, "lines in the quickstart's files");

    // the closing table says so, too, however it groups digits
    let digits: String =
        ending.log.chars().filter(|c| !c.is_whitespace() && !matches!(c, '_' | ',')).collect();
    assert!(digits.contains(&EVENTS.to_string()), "the closing table does not say {EVENTS}:\n{}", ending.log);
}
