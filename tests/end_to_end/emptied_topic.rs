//! An agent that is killed soon after its last transaction, and starts again when the retention has emptied the topic of its channel.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use weir_tests::{Scene, Servers, Weir, ask_agent, free_address, lines_of, visible_files};

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);

const LINES: usize = 100;

#[test]
fn an_emptied_topic_whose_events_are_delivered_is_gone_on_with() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "emptied_topic");
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), std::process::id());
    for folder in ["logs", "out"] {
        fs::create_dir_all(scene.folder().join(folder)).expect("the folder is empty");
    }
    let metrics = free_address();
    let settings = [
        ("brokers", kafka.brokers()),
        ("from", scene.path("logs")),
        ("to", scene.path("out")),
        ("topic", topic.clone()),
    ];
    let run = || {
        let options = ["--metrics", &metrics.to_string()];
        Weir::run_by(&scene, &[], "tests/end_to_end/flows/emptied_topic.flow", &settings, &options)
    };
    let delivered = || lines_of(&visible_files(&scene.folder().join("out")));
    let mut written = 0;
    let mut write = || {
        let mut lines = String::new();
        (written..written + LINES).for_each(|n| writeln!(lines, "line {n}").expect("a text grows"));
        fs::write(scene.folder().join(format!("logs/{written}.log")), lines).expect("the disk has space");
        written += LINES;
        written
    };
    // Until the agent is killed before it has looked for the end of its last transaction.
    let mut wanted = 0;
    for attempt in 1.. {
        assert!(attempt <= 30, "the agent is never killed before it commits what it has delivered");
        let mut weir = run();
        wanted = wanted.max(write());
        let committed = || kafka.progress(&format!("{topic}.out"), &topic).committed() as i64;
        weir.await_event("all is delivered and committed", PATIENCE, |_| {
            let end = kafka.ends(&topic).first().copied().unwrap_or(0);
            (delivered().len() >= wanted && end > 0 && committed() + 1 >= end).then_some(())
        });
        weir.kill();
        if committed() + 1 == kafka.ends(&topic)[0] {
            break;
        }
    }
    kafka.delete_records(&topic);
    let mut weir = run();
    wanted = write();
    weir.await_event("the next lines", PATIENCE, |_| (delivered().len() >= wanted).then_some(()));
    weir.await_event("no lag", PATIENCE, |_| {
        let (_, metrics) = ask_agent(metrics, "/metrics")?;
        let partition = format!("partition=\"{topic}.out/0\"");
        let is_lag = |line: &&str| line.starts_with("weir_component_lag_puts") && line.contains(&partition);
        metrics.lines().find(is_lag)?.ends_with(" 0").then_some(())
    });
    weir.terminate().assert_success();
    let mut found: Vec<String> =
        delivered().into_iter().map(|line| String::from_utf8_lossy(&line).into_owned()).collect();
    found.sort();
    let mut expected: Vec<String> = (0..wanted).map(|number| format!("line {number}")).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn an_emptied_topic_whose_events_are_not_delivered_is_refused() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "emptied_topic_with_a_loss");
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), std::process::id());
    fs::create_dir_all(scene.folder().join("logs")).expect("the folder is empty");
    let settings = [
        ("brokers", kafka.brokers()),
        ("from", scene.path("logs")),
        ("to", scene.path("out")),
        ("topic", topic.clone()),
        // The file of the sink stays open.
        ("age", "1h".to_owned()),
    ];
    let run = || Weir::run(&scene, "tests/end_to_end/flows/emptied_topic.flow", &settings);
    fs::write(scene.folder().join("logs/a.log"), "line\n".repeat(LINES)).expect("the disk has space");
    let mut weir = run();
    weir.await_event("a put", PATIENCE, |_| {
        kafka.ends(&topic).first().is_some_and(|end| *end > 0).then_some(())
    });
    // Without that, the next start would take the events that are gone for events that never were.
    assert!(
        kafka.progress(&format!("{topic}.out"), &topic).has_begun(),
        "the group begins before the first put"
    );
    weir.kill();
    kafka.delete_records(&topic);
    let ending = run().finish();
    assert_eq!(ending.status.code(), Some(1), "{}", ending.log);
    assert!(
        ending.log.contains("its retention has deleted events that were not delivered"),
        "{}",
        ending.log
    );
}
