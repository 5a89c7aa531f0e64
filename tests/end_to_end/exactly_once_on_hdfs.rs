//! Pipelines into HDFS that promise `exactly_once`, while Weir, the NameNode and the DataNode are killed.

use std::process;
use std::time::Duration;

use weir_tests::{Scene, Server, Servers, Session, Weir, print_line};

const EVENTS: usize = 150_000;
const KILLS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(120);
const FLOW: &str = "tests/end_to_end/flows/exactly_once_on_hdfs.flow";

/// Kills a server and starts it again.
fn restart_a_server(session: &Session, kill: usize) {
    match kill {
        1 => session.kill(Server::NameNode).end(),
        3 => session.kill(Server::DataNode).end(),
        _ => {}
    }
}

#[test]
fn every_event_is_in_one_file_on_hdfs_whatever_is_killed() {
    let session = Servers::exclusive();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "every_event_is_in_one_file_on_hdfs");
    let hdfs = session.hdfs();
    let path = format!("/{}-{}", scene.name(), process::id());
    let settings = [
        ("hdfs", hdfs.url().to_owned()),
        ("directory", path.clone()),
        ("channel", scene.path("channel")),
        ("events", EVENTS.to_string()),
    ];
    for kill in 0..KILLS {
        let before = hdfs.complete(&path);
        let mut weir = Weir::run(&scene, FLOW, &settings);
        weir.await_event("it has completed a file", PATIENCE, |_| {
            (hdfs.complete(&path) > before).then_some(())
        });
        restart_a_server(&session, kill);
        weir.kill();
        print_line(scene.name(), format_args!("killed with {} files", hdfs.complete(&path)));
    }
    Weir::run(&scene, FLOW, &settings).finish().assert_success();
    for channel in ["disk", "memory"] {
        let (lines, _unfinished) = hdfs.lines(&format!("{path}/{channel}"), &scene);
        let number = |line: Vec<u8>| {
            let line = String::from_utf8(line).expect("lines are text");
            line.split(' ')
                .next()
                .and_then(|number| number.parse::<usize>().ok())
                .expect("lines are numbered")
        };
        let mut found: Vec<usize> = lines.into_iter().map(number).collect();
        found.sort_unstable();
        let wrong = found.iter().copied().zip(1..=EVENTS).find(|(found, expected)| found != expected);
        assert_eq!(wrong, None, "behind {channel}: found and expected");
        assert_eq!(found.len(), EVENTS, "behind {channel}");
    }
}
