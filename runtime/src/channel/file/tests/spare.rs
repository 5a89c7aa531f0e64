//! The sizes of segments, and the spare segment: on a full disk, when the process is killed, and when the power fails.

use super::*;
use crate::channel::file::log::{AppendError, Draft, Log, LogSizes, reserve_for};
use crate::channel::file::record::Kind;
use crate::channel::file::recovery::{Opening, open};
use crate::channel::file::segment::PAGE;
use crate::environment::storage::{Call, Fault, SimulatedDisk};

fn opening(first_segment_pages: u64, segment_pages_max: u64) -> Opening {
    Opening {
        owner: "test/buffer".into(),
        schema: schema(),
        sizes: LogSizes {
            first_segment_bytes: first_segment_pages * PAGE,
            segment_bytes_max: segment_pages_max * PAGE,
            checkpoint_bytes: 6 * PAGE,
        },
        readers: vec![("sink".into(), Demand::Required)],
        uuid: [9; 16],
        note: "a test".into(),
    }
}

fn write_a_page(log: &mut Log<SimulatedDisk>) {
    let body = log.image.encode();
    log.append_others(&[Draft::plain(Kind::Checkpoint, &body)]).unwrap();
}

/// Writes groups of one page until the next one begins a segment. Deletes no segment.
fn fill_a_segment(log: &mut Log<SimulatedDisk>) {
    let number = log.end().segment;
    while log.end().segment == number {
        log.ensure_spare(0).unwrap();
        write_a_page(log);
    }
}

fn segment_pages(log: &Log<SimulatedDisk>) -> Vec<u64> {
    log.segments.values().map(|info| info.file_bytes / PAGE).collect()
}

fn spare_pages(log: &Log<SimulatedDisk>) -> Option<u64> {
    log.spare.as_ref().map(|spare| spare.bytes / PAGE)
}

#[test]
fn a_directory_begins_with_small_segments_and_ends_with_large_ones() {
    let sizes = |byte_capacity| {
        let options = options(std::path::Path::new("unused"));
        let limits = Limits { byte_capacity, ..options.limits };
        let (sizes, _) = FileChannelOptions { limits, ..options }.divided();
        [0, 9 << 20, u64::MAX].map(|written| sizes.next_segment_bytes(written))
    };
    assert_eq!(sizes(4 << 30), [4 << 20, 9 << 20, 128 << 20]);
    assert_eq!(sizes(1 << 30), [4 << 20, 9 << 20, 64 << 20]);
    assert_eq!(sizes(BYTE_CAPACITY_MIN), [1 << 20; 3]);
}

/// What is allocated in advance stays in proportion to what is written.
#[test]
fn segments_grow_with_what_is_written() {
    let disk = SimulatedDisk::new(1, u64::MAX);
    let (mut log, _) = open(&disk, &opening(8, 64)).unwrap();
    assert_eq!(disk.used(), (8 + 2) * PAGE, "a segment and the superblock");
    while log.written_bytes < 500 * PAGE {
        fill_a_segment(&mut log);
        let bound = 3 * log.written_bytes + 20 * PAGE;
        assert!(disk.used() <= bound, "{} bytes of files, {bound} at most", disk.used());
    }
    let pages = segment_pages(&log);
    assert_eq!(pages[..8], [8, 8, 8, 15, 22, 36, 57, 64]);
    assert!(pages[8..].iter().all(|pages| *pages == 64), "{pages:?}");
    // Another process keeps the large spare, and begins with small ones again.
    log.ensure_spare(0).unwrap();
    log.close().unwrap();
    drop(log);
    disk.kill();
    let (mut log, _) = open(&disk, &opening(8, 64)).unwrap();
    assert_eq!(spare_pages(&log), Some(64));
    fill_a_segment(&mut log);
    log.ensure_spare(0).unwrap();
    assert!(spare_pages(&log) < Some(64), "{:?}", spare_pages(&log));
}

/// A spare of the size of the next segment does not fit on the disk: a small one does.
#[test]
fn a_nearly_full_disk_gets_a_small_spare() {
    let disk = SimulatedDisk::new(1, u64::MAX);
    let (mut log, _) = open(&disk, &opening(8, 64)).unwrap();
    while log.written_bytes < 200 * PAGE {
        fill_a_segment(&mut log);
    }
    assert_eq!(spare_pages(&log), None, "it has become a segment");
    disk.set_capacity(disk.used() + 10 * PAGE);
    log.ensure_spare(0).unwrap();
    assert_eq!(spare_pages(&log), Some(8));
    assert!(!disk.list().unwrap().contains(&"segment.new".to_owned()));
    // The spare takes acknowledgements although the disk has no space for another segment.
    let number = log.end().segment;
    while log.end().segment == number {
        write_a_page(&mut log);
    }
    assert_eq!(segment_pages(&log).last(), Some(&8));
    assert!(matches!(log.ensure_spare(0), Err(AppendError::Full { .. })));
    assert!(disk.content("spare").is_none(), "acknowledgements may need the space");
}

/// A group that is larger than the spare gets a segment if the disk has space for the difference.
#[test]
fn a_spare_grows_in_place_on_a_full_disk() {
    let disk = SimulatedDisk::new(1, u64::MAX);
    let (mut log, _) = open(&disk, &opening(8, 64)).unwrap();
    disk.set_capacity(disk.used() + 12 * PAGE);
    assert!(matches!(log.ensure_spare(13 * PAGE), Err(AppendError::Full { .. })));
    assert_eq!(spare_pages(&log), Some(8), "acknowledgements have a spare");
    assert!(matches!(log.ensure_spare(13 * PAGE), Err(AppendError::Full { .. })));
    assert_eq!(spare_pages(&log), Some(8), "the old one is still there");
    log.ensure_spare(12 * PAGE).unwrap();
    assert_eq!(spare_pages(&log), Some(12));
    assert_eq!(disk.content("spare").unwrap().len() as u64, 12 * PAGE);
    // A spare whose new length may not be on disk is not used.
    disk.set_capacity(u64::MAX);
    disk.plan_for(Call::Sync, "spare", Fault::Fail);
    log.ensure_spare(20 * PAGE).unwrap();
    assert_eq!(spare_pages(&log), Some(20));
    let calls = disk.calls().into_iter();
    let creations = calls.filter(|(site, _)| site.call == Call::Create && site.object == "spare");
    assert_eq!(creations.map(|(_, calls)| calls).sum::<u64>(), 3);
}

/// Acknowledgements and checkpoints fit into a spare, however small the segments are configured.
#[test]
fn a_spare_is_not_smaller_than_a_checkpoint_needs() {
    let disk = SimulatedDisk::new(1, u64::MAX);
    let (mut log, _) = open(&disk, &opening(1, 64)).unwrap();
    log.ensure_spare(0).unwrap();
    let small = spare_pages(&log).unwrap() * PAGE;
    assert_eq!(small, log.sizes.least_segment_bytes(log.schema(), log.reserve));
    // The next checkpoint is larger.
    log.reserve = reserve_for(3 * PAGE);
    log.ensure_spare(0).unwrap();
    let larger = log.sizes.least_segment_bytes(log.schema(), log.reserve);
    assert!(larger > small);
    assert_eq!(spare_pages(&log), Some(larger / PAGE));
}

/// A process makes the spare and is killed before the spare's length is synced. The next process makes it a segment,
/// and then the power fails: the segment must not exist without its length.
#[test]
fn a_spare_of_a_killed_agent_is_safe_before_it_becomes_a_segment() {
    let opening = opening(8, 8);
    let mut lost = 0;
    for seed in 0..100 {
        let disk = SimulatedDisk::new(seed, u64::MAX);
        let (mut log, _) = open(&disk, &opening).unwrap();
        disk.plan_for(Call::Sync, "spare", Fault::Crash);
        assert!(log.ensure_spare(0).is_err() && disk.has_crashed());
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
