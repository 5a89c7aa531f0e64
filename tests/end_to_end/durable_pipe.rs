//! One agent that owns all partitions brings records through a durable channel into another topic, while it is killed.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_tests::{Scene, Servers, Weir, print_line};

use crate::chaos::seeded;
use crate::pipe::Pipe;

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// The records in a second.
const RATE: usize = 2_000;
/// How long the agent is killed, in seconds.
const STORM: u64 = 25;

#[test]
fn each_record_arrives_once_behind_a_durable_channel_however_often_weir_is_killed() {
    let session = Servers::shared();
    let pipe = Pipe::new("durable_pipe", &session);
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), pipe.name);
    let mut random = seeded(&scene);
    let mut settings = pipe.settings();
    settings.push(("channel", scene.path("channel")));
    let run = || Weir::run(&scene, "tests/end_to_end/flows/durable_pipe.flow", &settings);
    let feed = pipe.kafka.feed(&pipe.from, RATE);
    let end = Instant::now() + Duration::from_secs(STORM);
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    while Instant::now() < end {
        let mut agent = run();
        // Some runs are killed while they begin.
        sleep(Duration::from_millis(random.u64(100..3_500)));
        let how = match random.u8(..4) {
            0 => {
                agent.await_start(PATIENCE);
                agent.terminate().assert_success();
                "ended"
            }
            _ => {
                agent.kill();
                "killed"
            }
        };
        *ends.entry(how).or_default() += 1;
    }
    let sent = feed.end();
    print_line(scene.name(), format!("{ends:?}"));
    pipe.finish(vec![run()], &sent);
}
