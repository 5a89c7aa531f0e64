//! Positions that can't be saved, channels and ledgers that have lost events, and events that no channel takes.

use weir_runtime::channel::Recovered;

use super::*;

impl Setting {
    /// Starts the source, takes this many lines, and stops it.
    async fn brings(self, lines: usize) -> (Vec<String>, Setting) {
        let mut trial = self.begin().await;
        let lines = trial.lines(lines).await;
        (lines, trial.end().await)
    }
}

async fn fails_with(setting: Setting, what: &str) -> Setting {
    let Trial { setting, running, channel, .. } = setting.begin().await;
    let failure = awaited(what, running).await.unwrap().unwrap_err();
    assert!(failure.is_permanent() && failure.to_string().contains(what), "{failure}");
    channel.close();
    channel.shut().await.unwrap();
    setting
}

#[tokio::test]
async fn positions_that_cant_be_saved_delay_nothing_and_are_saved_as_soon_as_possible() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("a.log", "1\n2\n");
    // A directory at the path of the new file makes every save fail.
    fs::create_dir_all(setting.path("state/positions.json.new")).unwrap();
    let mut trial = setting.begin().await;
    trial.lines(2).await;
    trial.counted("positions_not_saved", 2).await;
    trial.append("a.log", "3\n");
    assert_eq!(trial.lines(1).await, ["3"]);
    fs::remove_dir(trial.path("state/positions.json.new")).unwrap();
    let path = trial.path("state/positions.json");
    let saved = async {
        while !fs::read_to_string(&path).is_ok_and(|text| text.contains("\"position\":6")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    awaited("positions that are saved", saved).await;
    trial.end().await;
}

#[tokio::test]
async fn positions_are_saved_at_a_stop_although_earlier_saves_failed() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("a.log", "1\n2\n");
    fs::create_dir_all(setting.path("state/positions.json.new")).unwrap();
    let mut trial = setting.begin().await;
    trial.lines(2).await;
    trial.counted("positions_not_saved", 1).await;
    fs::remove_dir(trial.path("state/positions.json.new")).unwrap();
    let setting = trial.end().await;
    setting.append("a.log", "3\n");
    assert_eq!(setting.brings(1).await.0, ["3"]);
}

#[tokio::test]
async fn a_deleted_channel_keeps_the_source_from_starting_until_that_is_accepted() {
    let setting = Setting::new(follow("beginning")).with_positions().with_durable_channel();
    setting.write("a.log", "1\n2\n");
    let (_, setting) = setting.brings(2).await;
    setting.append("a.log", "3\n");
    fs::remove_dir_all(setting.path("channel")).unwrap();
    let setting = fails_with(setting, "channel channel is not the one that had the events").await;
    setting.write("state/positions.json.accept", "");
    let (lines, setting) = setting.brings(1).await;
    assert_eq!(lines, ["3"]);
    assert!(!setting.path("state/positions.json.accept").exists(), "it counts once");
    // The new channel is in the saved positions now.
    let mut trial = setting.begin().await;
    trial.append("a.log", "4\n");
    assert_eq!(trial.lines(1).await, ["4"]);
    trial.end().await;
}

#[tokio::test]
async fn an_older_copy_of_the_channel_is_refused() {
    let setting = Setting::new(follow("beginning")).with_positions().with_durable_channel();
    setting.write("a.log", "1\n2\n");
    let (_, setting) = setting.brings(2).await;
    let (now, older) = (setting.path("channel"), setting.path("older"));
    fs::create_dir(&older).unwrap();
    for entry in fs::read_dir(&now).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), older.join(entry.file_name())).unwrap();
    }
    setting.append("a.log", "3\n");
    let (_, setting) = setting.brings(1).await;
    fs::remove_dir_all(&now).unwrap();
    fs::rename(&older, &now).unwrap();
    fails_with(setting, "put back from a backup").await;
}

#[tokio::test]
async fn an_older_ledger_behind_a_channel_in_memory_is_refused() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("a.log", "1\n2\n");
    let mark = |mark| Recovered { mark, ..Recovered::default() };
    let mut trial = setting.begin_behind(|channel| channel.check_recovered("out", &mark(7)).unwrap()).await;
    trial.lines(2).await;
    let setting = trial.end().await;
    let mut setting = setting;
    for (now, message) in [(6, "ends with entry 6, and had entry 7"), (0, "the ledger was deleted")] {
        let trial = setting.begin_behind(|channel| channel.check_recovered("out", &mark(now)).unwrap()).await;
        let failure = awaited(message, trial.running).await.unwrap().unwrap_err();
        assert!(failure.is_permanent() && failure.to_string().contains(message), "{failure}");
        setting = trial.setting;
    }
    let trial = setting.begin_behind(|channel| channel.check_recovered("out", &mark(8)).unwrap()).await;
    trial.end().await;
}

#[tokio::test]
async fn an_event_that_is_larger_than_the_channel_is_left_out_and_the_next_ones_are_put() {
    let mut setting = Setting::new(follow("beginning")).with_positions();
    setting.channel_bytes = 64 << 10;
    let long = "x".repeat(100_000);
    setting.write("a.log", format!("1\n{long}\n2\n"));
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(2).await, ["1", "2"]);
    assert_eq!(trial.meter.counters()["events_too_large"], 1);
    let setting = trial.end().await;
    // The event is not read again.
    setting.append("a.log", "3\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["3"]);
    assert!(!trial.meter.counters().contains_key("events_too_large"));
    trial.end().await;
}

#[tokio::test]
async fn more_files_than_there_are_descriptors_are_all_followed() {
    let mut setting = Setting::new(follow("beginning"));
    setting.descriptors = weir_runtime::Descriptors::with_limit(60);
    for number in 0..100 {
        setting.write(&format!("{number}.log"), format!("{number} first\n"));
    }
    let mut trial = setting.begin().await;
    let mut lines = trial.lines(100).await;
    for number in 0..100 {
        trial.append(&format!("{number}.log"), format!("{number} second\n"));
    }
    lines.extend(trial.lines(100).await);
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 200);
    trial.end().await;
}
