//! What the system refuses for a while: the channel waits and goes on.

use super::*;
use crate::storage::{Call, Fault, SimulatedDisk};

fn channel_on(disk: &SimulatedDisk) -> FileChannel<SimulatedDisk> {
    let disk = disk.clone();
    let make = move || Ok(disk.clone());
    FileChannel::on(options(std::path::Path::new("simulated")), Drive::Inline, Box::new(make)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn puts_wait_while_no_segment_can_be_made() {
    for fault in [Fault::Descriptors, Fault::Full] {
        let disk = SimulatedDisk::new(7, u64::MAX);
        let mut open = opened(channel_on(&disk)).await;
        // The first put takes care of a segment in reserve.
        (0..3).for_each(|_| disk.plan(Some(Call::Create), 0, fault));
        let mut put = open.put(0..10).await;
        tokio::time::sleep(writer::RETRY * 2).await;
        assert!(put.try_recv().is_err(), "{fault:?}: it is not on disk yet");
        assert_eq!(put.recv().await, Some(true), "{fault:?}");
        assert_eq!(disk.take_fired().len(), 3);
        assert_eq!(bodies(&open.lease().await), numbers(0..10));
        open.channel.shut().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn takes_wait_while_no_segment_can_be_opened() {
    let disk = SimulatedDisk::new(7, u64::MAX);
    let first = opened(channel_on(&disk)).await;
    first.put_durably(0..10).await;
    first.channel.shut().await.unwrap();
    drop(first);
    let mut second = opened(channel_on(&disk)).await;
    (0..3).for_each(|_| disk.plan_for(Call::Open, ".segment", Fault::Descriptors));
    assert_eq!(bodies(&second.lease().await), numbers(0..10));
    assert_eq!(disk.take_fired().len(), 3);
    assert_eq!(second.channel.options.meter.counters()["read_outages"], 3);
}

/// A disk that fails again and again stops the channel, with what was tried; an error alone does not.
#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_stops_the_channel_with_a_reason() {
    for call in [Call::Write, Call::Sync, Call::Create, Call::Allocate, Call::SyncDirectory] {
        let disk = SimulatedDisk::new(7, u64::MAX);
        let open = opened(channel_on(&disk)).await;
        (0..40).for_each(|_| disk.plan(Some(call), 0, Fault::Fail));
        let mut put = open.put(0..10).await;
        let told = put.recv().await;
        if call == Call::SyncDirectory && told == Some(true) {
            // No name had to be made.
            continue;
        }
        assert_eq!(told, Some(false), "{call:?}");
        let failure = open.channel.failed().await;
        let (failure, reason) = (failure.to_string(), "the disk has failed");
        assert!(failure.contains(reason) && failure.contains("weir channel verify"), "{call:?}: {failure}");
    }
}
