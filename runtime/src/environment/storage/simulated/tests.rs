use super::*;
use crate::environment::storage::Storage;

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
fn synced_content_survives_and_any_part_of_unsynced_content_may() {
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
fn a_full_disk_refuses_only_calls_that_need_space() {
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

#[test]
fn a_machine_stops_all_its_parts_at_the_step_that_was_planned() {
    for moment in [Moment::Before, Moment::Within, Moment::After] {
        let machine = Machine::default();
        let disks = ["one", "other"].map(|name| {
            let disk = SimulatedDisk::new(7, 1 << 20);
            disk.attach(&machine, name);
            disk
        });
        machine.stop_at(3, moment);
        let file = disks[0].create("a").unwrap();
        disks[1].create("b").unwrap();
        disks[0].write_at(&file, 0, &[b"text"]).unwrap();
        assert!(disks[0].sync(&file).is_err());
        assert!(machine.is_down() && disks[1].list().is_err());
        let steps = machine.changing_steps();
        assert_eq!((steps.len(), &steps[3]), (4, &(3, "one Sync a".to_owned())));
        assert_eq!(machine.step_counts()["one Sync a"].stops[moment as usize], 1);
        machine.start();
        assert_eq!(disks[1].list().unwrap(), ["b"]);
    }
}

#[test]
fn a_call_that_changes_nothing_is_stopped_before_it_or_not_at_all() {
    let machine = Machine::default();
    let disk = SimulatedDisk::new(7, 1 << 20);
    disk.attach(&machine, "disk");
    machine.stop_at(0, Moment::After);
    assert!(disk.list().is_ok() && disk.list().is_ok());
    machine.stop_at(0, Moment::Before);
    assert!(disk.list().is_err());
    assert_eq!((machine.steps(), machine.changing_steps().len()), (3, 0));
}
