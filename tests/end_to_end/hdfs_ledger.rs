//! `weir ledger repair` for the ledger of a sink on HDFS.

use std::ffi::OsStr;
use std::process;

use weir_tests::{Scene, Servers, Weir};

const FLOW: &str = "tests/end_to_end/flows/exactly_once_on_hdfs.flow";
const EVENTS: usize = 5_000;

#[test]
fn a_ledger_on_hdfs_that_was_removed_is_repaired() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "a_ledger_on_hdfs_is_repaired");
    let hdfs = session.hdfs();
    let directory = format!("/{}-{}", scene.name(), process::id());
    let settings = [
        ("hdfs", hdfs.url().to_owned()),
        ("directory", directory.clone()),
        ("channel", scene.path("channel")),
        ("events", EVENTS.to_string()),
    ];
    Weir::run(&scene, FLOW, &settings).finish().assert_success();
    let ledger = format!("{directory}/disk/.weir/exactly_once_on_hdfs.behind_disk");
    let place = format!("{}{ledger}", hdfs.url());
    let repair = |accept: bool| {
        let words = ["ledger", "repair", &place].into_iter().chain(accept.then_some("--accept-repeats"));
        let (status, said) = Weir::tool_with_status(words.map(OsStr::new));
        (status.code(), said)
    };
    let (status, said) = repair(false);
    assert!(status == Some(0) && said.contains("knows all complete files of its sink"), "{said}");
    hdfs.remove(&ledger);
    let (status, said) = repair(false);
    assert!(status == Some(1) && said.contains("knows nothing of"), "{said}");
    assert!(said.contains(&format!("`weir ledger repair --accept-repeats {place}`")), "{said}");
    let (status, said) = repair(true);
    assert!(status == Some(0) && said.contains("it goes on"), "{said}");
    let (status, said) = repair(false);
    assert!(status == Some(0) && said.contains("knows all complete files of its sink"), "{said}");
    let (status, said) =
        Weir::tool_with_status(["ledger", "repair", &format!("{}/nothing/here", hdfs.url())].map(OsStr::new));
    assert!(status.code() == Some(2) && said.contains("is no directory of a ledger"), "{said}");
}
