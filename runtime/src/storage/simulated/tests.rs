use super::*;

fn content_after_crash(seed: u64, sync: bool) -> Option<Vec<u8>> {
    let disk = SimulatedDisk::new(seed, 1 << 20);
    let file = disk.create("a").unwrap();
    disk.sync_directory().unwrap();
    disk.write_at(&file, 0, &[&[7; 4096]]).unwrap();
    if sync {
        disk.sync(&file).unwrap();
    }
    disk.reboot();
    disk.content("a")
}

#[test]
fn what_is_synced_survives_and_what_is_not_comes_in_any_part() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        assert_eq!(content_after_crash(seed, true), Some(vec![7; 4096]));
        let kept = content_after_crash(seed, false).unwrap();
        lengths.insert(kept.iter().filter(|byte| **byte == 7).count());
    }
    assert!(lengths.len() > 20, "the chances are {lengths:?}");
}

#[test]
fn a_name_is_durable_when_its_directory_is_synced() {
    let survived = (0..50).filter(|seed| {
        let disk = SimulatedDisk::new(*seed, 1 << 20);
        let file = disk.create("a").unwrap();
        disk.sync(&file).unwrap();
        disk.reboot();
        disk.content("a").is_some()
    });
    assert!((10..40).contains(&survived.count()));
}

#[test]
fn a_sync_that_fails_lies_afterwards() {
    let lost = (0..50).filter(|seed| {
        let disk = SimulatedDisk::new(*seed, 1 << 20);
        let file = disk.create("a").unwrap();
        disk.sync_directory().unwrap();
        disk.write_at(&file, 0, &[&[7; 512]]).unwrap();
        disk.plan(Some(Call::Sync), 0, Fault::Fail);
        disk.sync(&file).unwrap_err();
        disk.sync(&file).unwrap();
        assert_eq!(disk.content("a"), Some(vec![7; 512]));
        disk.reboot();
        disk.content("a") != Some(vec![7; 512])
    });
    assert!((10..40).contains(&lost.count()));
}

#[test]
fn a_full_disk_refuses_what_needs_room_and_takes_what_does_not() {
    let disk = SimulatedDisk::new(0, 1024);
    let file = disk.create("a").unwrap();
    disk.allocate(&file, 1024).unwrap();
    disk.write_at(&file, 0, &[&[1; 1024]]).unwrap();
    let more = disk.create("b").unwrap();
    assert_eq!(disk.allocate(&more, 1).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.unlink("a").unwrap();
    disk.allocate(&more, 1).unwrap();
}

#[test]
fn a_crash_stops_everything_until_the_reboot() {
    let disk = SimulatedDisk::new(0, 1024);
    disk.plan(None, 1, Fault::Crash);
    let file = disk.create("a").unwrap();
    disk.sync_directory().unwrap_err();
    assert!(disk.list().is_err() && disk.has_crashed());
    let fired = disk.take_fired().remove(0);
    assert_eq!((fired.site.call, fired.fault), (Call::SyncDirectory, Fault::Crash));
    disk.reboot();
    disk.list().unwrap();
    assert!(disk.length(&file).is_err(), "a file of an earlier boot");
}
