//! The README's first example.

use std::slice;

use weir_tests::{Scene, Weir, lines_of, visible_files};

/// The default number of events of the example.
const EVENTS: usize = 2_000_000;

#[test]
fn the_quickstart_ends_by_itself_and_prints_its_table() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "the_quickstart_ends_by_itself");
    let ending = Weir::run(&scene, "examples/quickstart.flow", &[]).finish();
    ending.assert_success();
    let mut files = visible_files(scene.folder());
    files.retain(|file| file.extension().is_some_and(|extension| extension == "gz" || extension == "zst"));
    assert!(!files.is_empty(), "the quickstart left no compressed files in {}", scene.folder().display());
    let mut count = 0;
    for file in files {
        let lines = lines_of(slice::from_ref(&file));
        let wrong = lines.iter().find(|line| !line.ends_with(b"\""));
        assert!(wrong.is_none(), "no access log in {}: {wrong:?}", file.display());
        count += lines.len();
    }
    assert_eq!(count, EVENTS, "lines in the quickstart's files");

    // the closing table has the number too; separators of digits are ignored
    let digits: String =
        ending.log.chars().filter(|c| !c.is_whitespace() && !matches!(c, '_' | ',')).collect();
    assert!(digits.contains(&EVENTS.to_string()), "the closing table lacks {EVENTS}:\n{}", ending.log);
}
