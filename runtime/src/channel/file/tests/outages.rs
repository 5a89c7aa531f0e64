//! Calls that the system refuses for a while: the channel waits and goes on.

use super::*;
use crate::channel::file::encryption as sealing;
use crate::environment::storage::encrypted::system_random;
use crate::environment::storage::{Call, Encrypted, Fault, Key, Keys, SimulatedDisk};

fn channel_on(disk: &SimulatedDisk) -> FileChannel<SimulatedDisk> {
    let disk = disk.clone();
    let make = move || Ok(disk.clone());
    FileChannel::on(options(std::path::Path::new("simulated")), BlockingExecutor::Inline, Box::new(make))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn puts_wait_while_no_segment_can_be_made() {
    for fault in [Fault::Descriptors, Fault::Full] {
        let disk = SimulatedDisk::new(7, u64::MAX);
        let mut open = opened(channel_on(&disk)).await;
        // The first put needs a spare segment.
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

/// A disk that fails repeatedly stops the channel, with a reason; a single error does not.
#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_stops_the_channel_with_a_reason() {
    for call in [Call::Write, Call::Sync, Call::Create, Call::Allocate, Call::SyncDirectory] {
        let disk = SimulatedDisk::new(7, u64::MAX);
        let open = opened(channel_on(&disk)).await;
        (0..40).for_each(|_| disk.plan(Some(call), 0, Fault::Fail));
        let mut put = open.put(0..10).await;
        let told = put.recv().await;
        if call == Call::SyncDirectory && told == Some(true) {
            // No file had to be created.
            continue;
        }
        assert_eq!(told, Some(false), "{call:?}");
        let failure = open.channel.failed().await;
        let (failure, reason) = (failure.to_string(), "Input/output error");
        assert!(failure.contains(reason) && failure.contains("weir channel verify"), "{call:?}: {failure}");
    }
}

fn encrypted_channel_on(disk: &SimulatedDisk) -> FileChannel<Encrypted<SimulatedDisk>> {
    let disk = disk.clone();
    let make = move || {
        let keys = Keys::only(Key::new([1; 32]));
        sealing::encrypted(disk.clone(), &keys, sealing::IfAbsent::Create, system_random())
            .map_err(Failure::permanent_unless_disk_failure)
    };
    FileChannel::on(options(std::path::Path::new("simulated")), BlockingExecutor::Inline, Box::new(make))
        .unwrap()
}

/// Lets each call of an opening fail in turn, and opens again. Returns how many openings were refused.
async fn open_despite<S: Storage>(
    fault: Fault,
    held: u64,
    make: impl Fn(&SimulatedDisk) -> FileChannel<S>,
) -> usize {
    let mut refused = 0;
    for call in 0.. {
        let context = format!("{fault:?} at call {call}, {held} events");
        let disk = SimulatedDisk::new(call, u64::MAX);
        if held > 0 {
            let first = opened(make(&disk)).await;
            first.put_durably(0..held).await;
            first.channel.shut().await.unwrap();
        }
        disk.plan(None, call, fault);
        let channel = make(&disk);
        let reader = channel.reader("sink", Demand::Required);
        let outcome = channel.open().await;
        let fired = !disk.take_fired().is_empty();
        if let Err(failure) = &outcome {
            assert!(fired && !failure.prevents_start(), "{context}: {failure}");
            refused += 1;
            channel.open().await.unwrap_or_else(|failure| panic!("{context}: {failure}"));
        }
        let mut open = Open { channel, reader, scope: Scope::of_a_run(["in".into()])[0].clone() };
        open.put_durably(held..held + 10).await;
        let mut found = Vec::new();
        while found.len() < held as usize + 10 {
            let lease = open.lease().await;
            found.extend(bodies(&lease));
            lease.acknowledgement.done();
        }
        assert_eq!(found, numbers(0..held + 10), "{context}");
        open.channel.shut().await.unwrap();
        if !fired {
            return refused;
        }
    }
    unreachable!("an opening ends")
}

/// At the start, too, a full disk and a failing one are outages: when the outage has ended, the channel is created or
/// recovered from whatever state the failed attempt has left.
#[tokio::test(start_paused = true)]
async fn an_opening_that_the_disk_refuses_succeeds_later() {
    for fault in [Fault::Fail, Fault::Full, Fault::Descriptors] {
        for held in [0, 10] {
            let plain = open_despite(fault, held, channel_on).await;
            let encrypted = open_despite(fault, held, encrypted_channel_on).await;
            assert!(encrypted >= plain, "{fault:?}, {held}: {plain}, {encrypted}");
            assert!(plain > 0 || (fault == Fault::Full && held > 0), "{fault:?}, {held}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_channel_that_did_not_open_end_when_it_is_closed() {
    let channel = channel_on(&SimulatedDisk::new(7, u64::MAX));
    let mut reader = channel.reader("sink", Demand::Optional);
    channel.close();
    assert!(matches!(reader.take().await, Taken::End));
}
