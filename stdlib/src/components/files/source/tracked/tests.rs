use super::super::identity::Head;
use super::pruning::GONE_MAX;
use super::*;

fn name(inode: u64, generation: u32) -> Partition {
    let key = Key { device: 1, inode, birth: 0 };
    PartitionName { key, head: Head::of(b"one\n"), generation, first: None }.partition()
}

fn remembered(partition: &Partition) -> RememberedFile {
    let name = partition.name().parse().unwrap();
    RememberedFile {
        position: DeliveredThrough::not_wanted_before(4),
        ..RememberedFile::named(partition, name)
    }
}

#[test]
fn only_the_last_files_that_are_gone_are_remembered() {
    let all = (0..GONE_MAX as u64 + 50).map(|inode| remembered(&name(inode, 0)));
    let mut files = Files::new(Memory { files: all.collect(), ..Memory::default() });
    files.mark_absent_gone();
    files.prune();
    assert_eq!(files.remember().files.len(), GONE_MAX);
}

#[test]
fn a_file_whose_directory_cant_be_read_is_not_gone() {
    let mut files = Files::default();
    let stamp = Stamp { length: 4, modified: 0 };
    let key = Key { device: 1, inode: 7, birth: 0 };
    let found = FoundFile { path: PathBuf::from("/in/a.log"), key, stamp };
    let seen = Scan { files: vec![found], ..Scan::default() };
    let id = files.apply_scan(&seen, true, Instant::now())[0];
    let mut seen = Scan::default();
    seen.note(Path::new("/in"), &"too many open files", true);
    files.apply_scan(&seen, true, Instant::now());
    assert!(files.get(id).unwrap().gone_since.is_none());
    files.apply_scan(&Scan::default(), true, Instant::now());
    assert!(files.get(id).unwrap().gone_since.is_some());
}

#[test]
fn the_earlier_generations_of_a_restarted_file_count_as_gone() {
    let earlier = (0..GONE_MAX as u32 + 50).map(|generation| remembered(&name(7, generation)));
    let mut files = Files::new(Memory { files: earlier.collect(), ..Memory::default() });
    let stamp = Stamp { length: 4, modified: 0 };
    let key = Key { device: 1, inode: 7, birth: 0 };
    let found = FoundFile { path: PathBuf::from("/a.log"), key, stamp };
    let seen = Scan { files: vec![found], ..Scan::default() };
    let news = files.apply_scan(&seen, true, Instant::now());
    files.mark_absent_gone();
    files.name(news[0], &name(7, u32::MAX));
    files.prune();
    assert_eq!(files.remember().files.len(), GONE_MAX);
}
