//! Positions that can't be saved, channels and ledgers that have lost events, and events that no channel takes.

use weir_runtime::channel::Recovered;

use super::*;

impl Environment {
    /// Starts the source, takes this many lines, and stops it.
    async fn brings(self, lines: usize) -> (Vec<String>, Environment) {
        let mut harness = self.begin().await;
        let lines = harness.lines(lines).await;
        (lines, harness.end().await)
    }
}

async fn fails_with(environment: Environment, what: &str) -> Environment {
    let Harness { environment, running, channel, .. } = environment.begin().await;
    let failure = within_patience(what, running).await.unwrap().unwrap_err();
    assert!(failure.is_permanent() && failure.to_string().contains(what), "{failure}");
    channel.close();
    channel.shut().await.unwrap();
    environment
}

#[tokio::test]
async fn positions_that_cant_be_saved_delay_nothing_and_are_saved_as_soon_as_possible() {
    let environment = Environment::new(follow("beginning")).with_positions();
    environment.write("a.log", "1\n2\n");
    // A directory at the path of the new file makes every save fail.
    fs::create_dir_all(environment.path("state/positions.json.new")).unwrap();
    let mut harness = environment.begin().await;
    harness.lines(2).await;
    harness.counted("positions_not_saved", 2).await;
    harness.append("a.log", "3\n");
    assert_eq!(harness.lines(1).await, ["3"]);
    fs::remove_dir(harness.path("state/positions.json.new")).unwrap();
    let path = harness.path("state/positions.json");
    let saved = async {
        while !fs::read_to_string(&path).is_ok_and(|text| text.contains("\"position\":6")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within_patience("positions that are saved", saved).await;
    harness.end().await;
}

#[tokio::test]
async fn positions_are_saved_at_a_stop_although_earlier_saves_failed() {
    let environment = Environment::new(follow("beginning")).with_positions();
    environment.write("a.log", "1\n2\n");
    fs::create_dir_all(environment.path("state/positions.json.new")).unwrap();
    let mut harness = environment.begin().await;
    harness.lines(2).await;
    harness.counted("positions_not_saved", 1).await;
    fs::remove_dir(harness.path("state/positions.json.new")).unwrap();
    let environment = harness.end().await;
    environment.append("a.log", "3\n");
    assert_eq!(environment.brings(1).await.0, ["3"]);
}

#[tokio::test]
async fn a_deleted_channel_keeps_the_source_from_starting_until_that_is_accepted() {
    let environment = Environment::new(follow("beginning")).with_positions().with_durable_channel();
    environment.write("a.log", "1\n2\n");
    // No more lines come of this file, so the new channel never has any of it.
    environment.write("b.log", "one\n");
    let (_, environment) = environment.brings(3).await;
    environment.append("a.log", "3\n");
    fs::remove_dir_all(environment.path("channel")).unwrap();
    let environment = fails_with(environment, "channel channel is not the one that had the events").await;
    environment.write("state/positions.json.accept", "");
    let (lines, environment) = environment.brings(1).await;
    assert_eq!(lines, ["3"]);
    assert!(!environment.path("state/positions.json.accept").exists(), "it counts once");
    // The new channel is in the saved positions now.
    let mut harness = environment.begin().await;
    harness.append("a.log", "4\n");
    assert_eq!(harness.lines(1).await, ["4"]);
    harness.end().await;
}

#[tokio::test]
async fn an_older_copy_of_the_channel_is_refused() {
    let environment = Environment::new(follow("beginning")).with_positions().with_durable_channel();
    environment.write("a.log", "1\n2\n");
    let (_, environment) = environment.brings(2).await;
    let (now, older) = (environment.path("channel"), environment.path("older"));
    fs::create_dir(&older).unwrap();
    for entry in fs::read_dir(&now).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), older.join(entry.file_name())).unwrap();
    }
    environment.append("a.log", "3\n");
    let (_, environment) = environment.brings(1).await;
    fs::remove_dir_all(&now).unwrap();
    fs::rename(&older, &now).unwrap();
    fails_with(environment, "put back from a backup").await;
}

#[tokio::test]
async fn an_older_ledger_behind_a_channel_in_memory_is_refused() {
    let environment = Environment::new(follow("beginning")).with_positions();
    environment.write("a.log", "1\n2\n");
    let mark = |mark| Recovered { mark, ..Recovered::default() };
    let mut harness =
        environment.begin_behind(|channel| channel.check_recovered("out", &mark(7)).unwrap()).await;
    harness.lines(2).await;
    let environment = harness.end().await;
    let mut environment = environment;
    for (now, message) in [(6, "ends with entry 6, and had entry 7"), (0, "the ledger was deleted")] {
        let harness =
            environment.begin_behind(|channel| channel.check_recovered("out", &mark(now)).unwrap()).await;
        let failure = within_patience(message, harness.running).await.unwrap().unwrap_err();
        assert!(failure.is_permanent() && failure.to_string().contains(message), "{failure}");
        environment = harness.environment;
    }
    let harness = environment.begin_behind(|channel| channel.check_recovered("out", &mark(8)).unwrap()).await;
    harness.end().await;
}

#[tokio::test]
async fn an_event_that_is_larger_than_the_channel_is_left_out_and_the_next_ones_are_put() {
    let mut environment = Environment::new(follow("beginning")).with_positions();
    environment.channel_bytes = 64 << 10;
    let long = "x".repeat(100_000);
    environment.write("a.log", format!("1\n{long}\n2\n"));
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(2).await, ["1", "2"]);
    assert_eq!(harness.meter.counters()["events_too_large"], 1);
    let environment = harness.end().await;
    // The event is not read again.
    environment.append("a.log", "3\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["3"]);
    assert!(!harness.meter.counters().contains_key("events_too_large"));
    harness.end().await;
}

#[tokio::test]
async fn more_files_than_there_are_descriptors_are_all_followed() {
    let mut environment = Environment::new(follow("beginning"));
    environment.descriptors = weir_runtime::Descriptors::with_limit(60);
    for number in 0..100 {
        environment.write(&format!("{number}.log"), format!("{number} first\n"));
    }
    let mut harness = environment.begin().await;
    let mut lines = harness.lines(100).await;
    for number in 0..100 {
        harness.append(&format!("{number}.log"), format!("{number} second\n"));
    }
    lines.extend(harness.lines(100).await);
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 200);
    harness.end().await;
}
