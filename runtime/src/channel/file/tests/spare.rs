//! The spare segment when the process is killed and when the power fails.

use super::*;
use crate::channel::file::log::LogSizes;
use crate::channel::file::recovery::{Opening, open};
use crate::channel::file::segment::PAGE;
use crate::environment::storage::{Call, Fault, SimulatedDisk};

/// A process makes the spare and is killed before the spare's length is synced. The next process makes it a segment,
/// and then the power fails: the segment must not exist without its length.
#[test]
fn a_spare_of_a_killed_agent_is_safe_before_it_becomes_a_segment() {
    let opening = Opening {
        owner: "test/buffer".into(),
        schema: schema(),
        sizes: LogSizes { segment_bytes: 8 * PAGE, checkpoint_bytes: 6 * PAGE },
        readers: vec![("sink".into(), Demand::Required)],
        uuid: [9; 16],
        note: "a test".into(),
    };
    let mut lost = 0;
    for seed in 0..100 {
        let disk = SimulatedDisk::new(seed, u64::MAX);
        let (mut log, _) = open(&disk, &opening).unwrap();
        disk.plan_for(Call::Sync, "spare", Fault::Crash);
        assert!(log.ensure_spare().is_err() && disk.has_crashed());
        drop(log);
        disk.kill();
        let Ok((mut log, _)) = open(&disk, &opening) else { panic!("after the kill, seed {seed}") };
        disk.plan(Some(Call::Rename), 0, Fault::Crash);
        while log.checkpoint(true, false).is_ok() {}
        assert!(disk.has_crashed(), "seed {seed}");
        drop(log);
        disk.reboot();
        lost += usize::from(disk.content("spare").is_none());
        if let Err(error) = open(&disk, &opening) {
            panic!("after the loss of power, seed {seed}: {error}");
        }
    }
    assert!(lost > 10, "the spare has become a segment {lost} times");
}
