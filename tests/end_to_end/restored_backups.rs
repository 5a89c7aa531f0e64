//! Restored backups: the channel and the sink's ledger from before later deliveries.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use weir_tests::{Account, Ending, Scene, Weir, lines_of, visible_files};

const LINES: usize = 2_000;

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("the old directory can be removed");
    }
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory can be listed") {
        let entry = entry.expect("a directory can be listed");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("an entry has a type").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a file can be copied")),
        }
    }
}

/// Restores channel and ledger from one backup, and asserts that the start is refused with a message that names `command`.
/// Since channel and ledger agree, only the files in the sink's directory show that they are too old.
fn assert_refused(name: &str, flow: &str, command: &str) {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), &format!("a_backup_is_refused_{name}"));
    let mut settings = vec![("from", scene.path("input/*.txt")), ("to", scene.path("output"))];
    let mut state = vec!["output/.weir"];
    if !flow.contains("memory") {
        settings.push(("channel", scene.path("channel")));
        state.push("channel");
    }
    let run = || -> Ending { Weir::run_by(&scene, &[], flow, &settings, &["--until-idle"]).finish() };
    let write = |file: usize| {
        let lines: Vec<String> = (0..LINES).map(|number| format!("line {number} of file {file}")).collect();
        let path = scene.folder().join(format!("input/{file}.txt"));
        fs::create_dir_all(scene.folder().join("input")).expect("a directory can be made");
        fs::write(path, lines.join("\n") + "\n").expect("the scene can be written");
        lines
    };
    let save = |to: &str| {
        state.iter().for_each(|path| copy(&scene.folder().join(path), &scene.folder().join(to).join(path)));
    };
    let restore = |from: &str| {
        state.iter().for_each(|path| copy(&scene.folder().join(from).join(path), &scene.folder().join(path)));
    };
    let mut sent = write(1);
    run().assert_success();
    save("older");
    sent.extend(write(2));
    run().assert_success();
    save("newer");
    restore("older");
    for _ in 0..2 {
        let refused = run();
        assert_eq!(refused.status.code(), Some(1), "{}", refused.log);
        assert!(refused.log.contains("was deleted, or put back from a backup"), "{}", refused.log);
        assert!(refused.log.contains(command), "{}", refused.log);
        let arrived = lines_of(&visible_files(&scene.folder().join("output")));
        Account::of(&sent, &arrived).assert_exact(scene.name());
    }
    restore("newer");
    sent.extend(write(3));
    run().assert_success();
    let arrived = lines_of(&visible_files(&scene.folder().join("output")));
    Account::of(&sent, &arrived).assert_exact(scene.name());
}

#[test]
fn a_backup_of_channel_and_ledger_is_refused_until_the_newer_state_is_restored() {
    let (durable, volatile) = ("limited_files.flow", "limited_files_in_memory.flow");
    let flow = |name| format!("tests/end_to_end/flows/{name}");
    assert_refused("durable", &flow(durable), "`weir channel repair --accept-loss ");
    assert_refused("volatile", &flow(volatile), "`weir ledger repair --accept-repeats ");
}

/// A sink's ledger and two channels of one name in turn: whoever comes back has not had what the other one brought.
#[test]
fn a_channel_whose_place_another_one_took_is_refused_until_it_is_accepted() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "two_channels_in_turn");
    fs::create_dir_all(scene.folder().join("input")).expect("a directory can be made");
    let write = |file: usize| {
        let lines: Vec<String> = (0..LINES).map(|number| format!("line {number} of file {file}")).collect();
        let path = scene.folder().join(format!("input/{file}.txt"));
        fs::write(path, lines.join("\n") + "\n").expect("the scene can be written");
    };
    let run = |channel: &str| {
        let settings = [
            ("from", scene.path("input/*.txt")),
            ("to", scene.path("output")),
            ("channel", scene.path(channel)),
        ];
        let flow = "tests/end_to_end/flows/limited_files.flow";
        Weir::run_by(&scene, &[], flow, &settings, &["--until-idle"]).finish()
    };
    let arrived = || lines_of(&visible_files(&scene.folder().join("output"))).len();
    write(0);
    run("first").assert_success();
    let mut expected = LINES;
    // A new directory has none of the earlier files, and one that comes back has not the last one.
    for (file, channel) in [(1, "second"), (2, "first"), (3, "second"), (4, "first")] {
        write(file);
        let refused = run(channel);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.log);
        let place = scene.folder().join(channel);
        let command = format!("weir channel repair --accept-loss {}", place.display());
        assert!(refused.log.contains(&command), "{command}: {}", refused.log);
        assert_eq!(arrived(), expected, "nothing was written");
        let repair = ["channel", "repair", "--accept-loss"].map(OsStr::new);
        Weir::tool(repair.into_iter().chain([place.as_os_str()]));
        run(channel).assert_success();
        expected += 2 * LINES;
        assert_eq!(arrived(), expected, "file {file}");
        // It is accepted once.
        run(channel).assert_success();
        assert_eq!(arrived(), expected, "again, file {file}");
    }
}
