//! The source compares the group's commits with the durable channel behind it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_plan::Settings;
use weir_runtime::Failure;
use weir_runtime::channel::{Channel, Compression, FileChannel, FileChannelOptions, Limits, Overflow};

use crate::harness::{
    Broker, RunningSource, assert_complete, commit, produce, repeated, schema, source_settings, topic, unique,
};

fn channel(path: &Path) -> Arc<dyn Channel> {
    let options = FileChannelOptions {
        component: "buffer".into(),
        owner: "test/buffer".to_string(),
        path: path.to_path_buf(),
        schema: schema(),
        limits: Limits {
            capacity: 100_000,
            transaction_capacity: 10_000,
            byte_capacity: 64 << 20,
            keep_alive: Duration::from_secs(3),
        },
        overflow: Overflow::Wait,
        compression: Compression::None,
        meter: Arc::default(),
    };
    Arc::new(FileChannel::new(options).unwrap())
}

/// Reads these records into the channel in this directory, and stops in an orderly way.
async fn read(settings: &Settings, path: &Path, numbers: std::ops::Range<usize>) {
    let channel = channel(path);
    let source_run = RunningSource::start_into(settings, channel.clone()).await;
    source_run.wait_for(numbers.len()).await;
    let bodies = source_run.stop().await;
    channel.shut().await.unwrap();
    assert_complete(&bodies, numbers.clone());
    assert_eq!((bodies.len(), repeated(&bodies)), (numbers.len(), 0));
}

async fn refused(settings: &Settings, path: &Path) -> Failure {
    let channel = channel(path);
    let failure = RunningSource::start_into(settings, channel.clone()).await.failure().await;
    channel.close();
    channel.shut().await.unwrap();
    assert!(failure.is_permanent(), "{failure}");
    failure
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_was_deleted_or_restored_from_an_older_copy_stops_the_source() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("durable", 1).await, unique("group"));
    let settings = source_settings(&topic, &group, Vec::new());
    let directory = tempfile::tempdir().unwrap();
    let (path, older) = (directory.path().join("buffer"), directory.path().join("older"));
    produce(&topic, 1, 0..100).await;
    read(&settings, &path, 0..100).await;
    copy(&path, &older);
    produce(&topic, 1, 100..200).await;
    read(&settings, &path, 100..200).await;

    fs::remove_dir_all(&path).unwrap();
    copy(&older, &path);
    let text = refused(&settings, &path).await.to_string();
    assert!(text.contains("in buffer") || text.contains("in channel"), "{text}");
    assert!(text.contains(&format!("offset 200 of {topic}/0")) && text.contains("older copy"), "{text}");

    fs::remove_dir_all(&path).unwrap();
    let text = refused(&settings, &path).await.to_string();
    assert!(text.contains("the channel was deleted since"), "{text}");

    // A channel in another directory belongs to another member.
    let other = directory.path().join("other");
    produce(&topic, 1, 200..300).await;
    read(&settings, &other, 200..300).await;

    // Setting the offset accepts the loss.
    commit(&group, &topic, &[(0, 150)]).await;
    read(&settings, &path, 150..300).await;
}
