//! A broker that is stopped for ten seconds.
//!
//! `KAFKA_STOP` and `KAFKA_START` are the commands that stop and start it. The default is the tool in `tests/services`.

use std::process::Command;
use std::time::Duration;

use crate::harness::{
    Broker, RunningSource, SERVICES, assert_complete, committed, produce, sink_settings, source_settings,
    template, topic, unique,
};
use crate::sink::{batch, write};

/// Stops or starts the broker.
async fn broker(verb: &'static str) {
    let variable = format!("KAFKA_{}", verb.to_uppercase());
    let command = std::env::var(&variable).unwrap_or_else(|_| format!("'{SERVICES}' {verb} kafka broker"));
    let run = move || Command::new("sh").arg("-c").arg(command).status();
    let status = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert!(status.success(), "{variable}: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn source_and_sink_continue_after_the_broker_was_stopped_for_ten_seconds() {
    let _broker = Broker::alone().await;
    let (read, group, written) = (topic("away", 4).await, unique("group"), topic("written", 4).await);
    produce(&read, 4, 0..20_000).await;
    let source_run = RunningSource::start(&source_settings(&read, &group, vec![]));
    source_run.wait_for(20_000).await;
    broker("stop").await;
    let settings = sink_settings(template(&written), vec![]);
    let writing = tokio::spawn(async move { write(&settings, vec![batch(0..5_000)]).await });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!source_run.task.is_finished(), "the source gave up");
    assert!(!writing.is_finished(), "the sink gave up");
    broker("start").await;
    let (ended, through) = writing.await.unwrap();
    ended.unwrap();
    assert_eq!(through, 5_000);
    produce(&read, 4, 20_000..40_000).await;
    source_run.wait_for(40_000).await;
    assert_complete(&source_run.stop().await, 0..40_000);
    assert_eq!(committed(&group, &read, 4).await, [Some(10_000); 4]);
    let back = RunningSource::start(&source_settings(&written, &unique("group"), vec![]));
    back.wait_for(5_000).await;
    assert_complete(&back.stop().await, 0..5_000);
}
