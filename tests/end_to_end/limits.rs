//! Resource limits of the process.

use std::fs;

use weir_tests::{Account, Scene, Weir, lines_of, visible_files};

const LINES: usize = 200_000;

/// With a file size limit (`ulimit -f`), the signal SIGXFSZ does not kill the agent. The agent ends with a message that
/// names the file, and a run without the limit delivers all events.
#[test]
fn an_agent_ends_with_a_message_at_the_file_size_limit_and_loses_nothing() {
    // The first limit is too small for a new channel, the second for a segment or for the sink's file.
    stop_at_a_limit("channel", 512 << 10, "tests/end_to_end/flows/limited_files.flow", "making the channel");
    stop_at_a_limit("run", 4 << 20, "tests/end_to_end/flows/limited_files.flow", "");
    // With a memory channel, the sink's file reaches the limit.
    stop_at_a_limit("memory", 4 << 20, "tests/end_to_end/flows/limited_files_in_memory.flow", "writing ");
}

/// With too few descriptors (`ulimit -n`), a start is refused with the required number, which is enough.
#[test]
fn too_few_descriptors_are_refused_with_the_required_number() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "too_few_descriptors");
    let lines: Vec<String> = (0..LINES).map(|number| format!("line {number}")).collect();
    fs::write(scene.folder().join("lines.txt"), lines.join("\n") + "\n").expect("the scene can be written");
    let settings = ["from", "to", "channel"]
        .map(|name| (name, scene.path(if name == "from" { "lines.txt" } else { name })));
    let flow = "tests/end_to_end/flows/limited_files.flow";
    // The Kafka clients of other tests in this process have pipes that every child inherits (librdkafka opens them
    // without O_CLOEXEC), and that would count against the limit.
    let close_inherited =
        "for fd in /proc/self/fd/*; do fd=${fd##*/}; if ((fd > 2)); then eval \"exec $fd>&-\"; fi; done";
    let run = |limit: &str, option: &str| {
        let script = format!("{close_inherited}; exec prlimit --nofile={limit} \"$@\"");
        Weir::run_by(&scene, &["bash", "-c", &script, "bash"], flow, &settings, &[option]).finish()
    };
    let mut needed = String::new();
    for option in ["--check-only", "--until-idle"] {
        let refused = run("20", option);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.log);
        let (message, rest) =
            refused.log.split_once(" file descriptors at least").expect("the message has the number");
        needed = message.rsplit(' ').next().expect("there is a number").to_owned();
        assert!(rest.starts_with(", and the process may have 20 open"), "{}", refused.log);
    }
    run(&needed, "--check-only").assert_success();
    run(&needed, "--until-idle").assert_success();
    let arrived = lines_of(&visible_files(&scene.folder().join("to")));
    Account::of(&lines, &arrived).assert_exact(scene.name());
}

fn stop_at_a_limit(name: &str, bytes: u64, flow: &str, message: &str) {
    let name = format!("a_file_that_may_not_grow_{name}");
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), &name);
    let lines: Vec<String> =
        (0..LINES).map(|number| format!("line {number} and what makes it longer")).collect();
    fs::write(scene.folder().join("lines.txt"), lines.join("\n") + "\n").expect("the scene can be written");
    let mut settings = vec![("from", scene.path("lines.txt")), ("to", scene.path("output"))];
    if !flow.contains("memory") {
        settings.push(("channel", scene.path("channel")));
    }
    let limit = format!("--fsize={bytes}");
    let stopped = Weir::run_by(&scene, &["prlimit", &limit], flow, &settings, &["--until-idle"]).finish();
    assert_eq!(stopped.status.code(), Some(1), "{}", stopped.log);
    let mut errors = stopped.log.lines().filter(|line| line.contains("File too large (os error 27)"));
    assert!(errors.any(|line| line.contains(message)), "{}", stopped.log);
    let finished = Weir::run_by(&scene, &[], flow, &settings, &["--until-idle"]).finish();
    finished.assert_success();
    let arrived = lines_of(&visible_files(&scene.folder().join("output")));
    Account::of(&lines, &arrived).assert_exact(scene.name());
}
