//! Tests of an output directory that was renamed since the ledger was written, and of ledgers of version 1.

use std::path::Path;

use super::*;

/// Loads a directory that version 1 has written as `/lake`, under another root.
fn golden(name: &str, root: &str) -> Simulated {
    fn add(disk: &Simulated, from: &Path, to: &str) {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{to}/{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => add(disk, &entry.path(), &path),
                false => disk.replace(&path, Some(std::fs::read(entry.path()).unwrap())),
            }
        }
    }
    let disk = Simulated::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tools/file_writer/ledger/golden").join(name);
    add(&disk, &folder, root);
    disk
}

#[tokio::test(start_paused = true)]
async fn a_ledger_of_version_1_goes_on_without_loss_or_repeat() {
    for name in ["version-1-ended", "version-1-killed"] {
        for root in ["/lake", "/elsewhere/sea", "/"] {
            let disk = golden(name, if root == "/" { "" } else { root });
            let context = format!("{name} as {root}");
            let before = disk.paths().iter().filter(|path| path.ends_with(".tmp")).count();
            assert_eq!(before, if name == "version-1-killed" { 5 } else { 0 }, "{context}");
            let root = root.trim_end_matches('/');
            run_to_the_end_under(root, &disk).await.unwrap();
            check_under(root, &disk, &context);
            // What is written now is version 2, and stays readable.
            run_to_the_end_under(root, &disk).await.unwrap();
            check_under(root, &disk, &context);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_renamed_after_a_crash_loses_and_repeats_nothing() {
    let calls = calls_of_a_run(&Simulated::default()).await;
    for call in 0..calls {
        let disk = Simulated::default();
        disk.crash_at(call, call % 2 == 0);
        let _outcome = run_to_the_end(&disk).await;
        disk.kill();
        disk.move_directory("/lake", "/mount/lake");
        disk.crash_at(call / 2, true);
        let _outcome = run_to_the_end_under("/mount/lake", &disk).await;
        disk.restart();
        disk.move_directory("/mount/lake", "/sea");
        run_to_the_end_under("/sea", &disk).await.unwrap();
        check_under("/sea", &disk, &format!("crash at {call}"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_last_is_told_when_it_is_recovered() {
    let disk = Simulated::default();
    let mut rig = Rig::keeping(&disk);
    let found = rig.sink.recover().await.unwrap();
    assert_eq!((found.mark, found.reached.len()), (0, 0));
    assert_eq!(disk.paths(), [""; 0], "reading changes nothing");
    rig.send_all().await;
    rig.end();
    rig.run().await.unwrap();
    let before = Rig::keeping(&disk).sink.recover().await.unwrap();
    let again = Rig::keeping(&disk).sink.recover().await.unwrap();
    assert!(before.mark > 3);
    assert_eq!(before, again);
    let reached: Vec<u64> = before.reached.values().map(|reached| reached.through).collect();
    assert_eq!(reached, [position(21), position(23)]);
}
