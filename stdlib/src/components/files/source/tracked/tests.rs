use super::super::identity::{Head, PartitionName};
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

/// Applies the result of a scan since which nothing was processed.
fn apply(files: &mut Files, seen: &Scan) -> Vec<FileId> {
    files.apply_scan(seen, files.begin_walk(0), true, Instant::now())
}

fn found(path: &str, inode: u64, length: u64) -> FoundFile {
    let key = Key { device: 1, inode, birth: 0 };
    FoundFile { path: PathBuf::from(path), key, stamp: Stamp { length, modified: 0 } }
}

fn scan(files: Vec<FoundFile>) -> Scan {
    Scan { files, ..Scan::default() }
}

#[test]
fn a_walk_does_not_undo_what_was_found_out_since_it_began() {
    let mut files = Files::default();
    let ids = apply(&mut files, &scan(vec![found("/a.log", 1, 4), found("/b.log", 2, 4)]));
    let begin = files.begin_walk(10);
    // `/a.log` was read since, and then restarted, so that it is another file.
    let file = files.get(ids[0]).unwrap();
    (file.last_used, file.stamp.length) = (11, 9);
    let restarted = files.restart(ids[0], Instant::now()).unwrap();
    let seen = scan(vec![found("/a.log", 1, 6), found("/b.log", 2, 8)]);
    assert_eq!(files.apply_scan(&seen, begin, true, Instant::now()), [restarted, ids[1]]);
    let lengths = [restarted, ids[1]].map(|id| files.view(id).unwrap().stamp.length);
    assert_eq!(lengths, [9, 8], "the stamp of a file that was read since is the later one");
    assert_eq!(files.id_of_path(Path::new("/a.log")), Some(restarted));
    // It was restarted once more during a walk that has missed it.
    let begin = files.begin_walk(20);
    let again = files.restart(restarted, Instant::now()).unwrap();
    files.apply_scan(&scan(vec![found("/b.log", 2, 8)]), begin, true, Instant::now());
    assert!(files.view(again).unwrap().gone_since.is_none(), "the walk has begun before");
    assert_eq!(files.id_of_path(Path::new("/a.log")), Some(again));
    apply(&mut files, &scan(vec![found("/b.log", 2, 8)]));
    assert!(files.view(again).unwrap().gone_since.is_some());
    assert_eq!(files.id_of_path(Path::new("/a.log")), None);
}

#[test]
fn only_the_last_files_that_are_gone_are_remembered() {
    let all = (0..GONE_MAX as u64 + 50).map(|inode| remembered(&name(inode, 0)));
    let mut files = Files::new(Memory { files: all.collect(), ..Memory::default() }, false);
    files.mark_absent_gone();
    files.prune();
    assert_eq!(files.remember().files.len(), GONE_MAX);
}

#[test]
fn a_file_whose_directory_cant_be_read_is_not_gone() {
    let mut files = Files::default();
    let seen = scan(vec![found("/in/a.log", 7, 4)]);
    let id = apply(&mut files, &seen)[0];
    let mut seen = Scan::default();
    seen.note(Path::new("/in"), &"too many open files", true);
    apply(&mut files, &seen);
    assert!(files.get(id).unwrap().gone_since.is_none());
    apply(&mut files, &Scan::default());
    assert!(files.get(id).unwrap().gone_since.is_some());
}

#[test]
fn the_earlier_generations_of_a_restarted_file_count_as_gone() {
    let earlier = (0..GONE_MAX as u32 + 50).map(|generation| remembered(&name(7, generation)));
    let mut files = Files::new(Memory { files: earlier.collect(), ..Memory::default() }, false);
    let seen = scan(vec![found("/a.log", 7, 4)]);
    let news = apply(&mut files, &seen);
    files.mark_absent_gone();
    files.name(news[0], &name(7, u32::MAX));
    files.prune();
    assert_eq!(files.remember().files.len(), GONE_MAX);
}
