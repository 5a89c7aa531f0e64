//! The tests in the programs of the documents.

use std::path::Path;

use weir_testing::RunSettings;
use weir_testing::report::failure_text;

use crate::results_of;

#[test]
fn the_tests_of_the_language_document_pass() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/language.md");
    let document = std::fs::read_to_string(document).expect("the document is there");
    let programs = document.split("```flow\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut count = 0;
    for program in programs.filter(|program| program.contains("\ntest \"")) {
        let (analysis, results) = results_of(program, RunSettings::default());
        for result in results {
            let failure = result.failure.as_ref();
            let text = failure.map(|failure| failure_text(failure, &analysis.files, "the test", false));
            assert_eq!(text, None);
            count += 1;
        }
    }
    assert!(count >= 6, "{count} tests");
}
