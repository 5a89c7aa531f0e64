use super::super::file_system::{FileSystem, LocalFileSystem, OpenPositions};
use super::*;

fn open(path: &Path) -> Result<OpenPositions, PositionsError> {
    LocalFileSystem.positions(path)
}

fn remembered(position: u64) -> RememberedFile {
    let name = PartitionName {
        key: Key { device: 1, inode: 2, birth: 3 },
        head: Head::of(b"one\n"),
        generation: 0,
        first: None,
    };
    RememberedFile {
        path: "/var/log/a.log".into(),
        position: DeliveredThrough::not_wanted_before(position),
        consumed: Some(TextHash { base: 0, through: position, digest: u64::MAX }),
        rest: Some(Stamp { length: position, modified: 1_795_391_036_913_788_252 }),
        ..RememberedFile::named(&name.partition(), name)
    }
}

fn memory(position: u64) -> Memory {
    let key = Key { device: 1, inode: 2, birth: 3 };
    let copied = remembered(position);
    let stamp = copied.rest.unwrap();
    let partition = copied.partition.clone();
    let copy = RememberedCopy { key, stamp, partition, done: true };
    let compressed =
        RememberedFile { copy: Some(key), compressed: true, path: "/var/log/b.log".into(), ..copied.clone() };
    let incarnation = weir_runtime::channel::Incarnation::from_bytes([7; 16]);
    let downstream = Downstream {
        channels: [("buffer".into(), incarnation)].into(),
        memories: [("small".into(), [("out".to_owned(), 12)].into())].into(),
    };
    Memory { files: vec![copied, compressed], copies: vec![copy], downstream }
}

fn text_of(memory: Memory) -> Vec<u8> {
    let mut image = Image::default();
    image.apply(&NewPositions::all(memory)).unwrap();
    image.text().unwrap()
}

#[test]
fn saved_positions_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/positions.json");
    let (positions, loaded) = open(&path).unwrap();
    assert_eq!(loaded, None);
    for position in [1, 7] {
        positions.save(&mut Image::default(), &NewPositions::all(memory(position))).unwrap();
    }
    drop(positions);
    assert_eq!(open(&path).unwrap().1, Some(memory(7)));
}

#[test]
fn a_change_of_a_known_file_changes_its_entries_alone() {
    let Memory { files, copies, downstream } = memory(7);
    let (mut image, mut files, copy) = (Image::default(), files.into_iter(), copies[0].clone());
    let (first, second) = (files.next().unwrap(), files.next().unwrap());
    let known =
        |number, file: Option<&RememberedFile>, copy| ChangedFile { number, file: file.cloned(), copy };
    let mut apply = |files, others| {
        let changes = NewPositions { files, others, downstream: downstream.clone() };
        image.apply(&changes).unwrap();
        let Memory { files, copies, .. } = format::read(&image.text().unwrap()).unwrap();
        (files, copies)
    };
    let others = Some((vec![second.clone()], Vec::new()));
    let before = (vec![first.clone(), second.clone()], vec![copy.clone()]);
    assert_eq!(apply(vec![known(4, Some(&first), Some(copy))], others), before);
    assert_eq!(apply(Vec::new(), None), before);
    let moved = RememberedFile { path: "/var/log/c.log".into(), ..first };
    let files = vec![known(4, Some(&moved), None), known(3, Some(&second), None)];
    assert_eq!(apply(files, None), (vec![second.clone(), moved, second.clone()], Vec::new()));
    let gone = vec![known(4, None, None), known(3, None, None)];
    assert_eq!(apply(gone, Some((Vec::new(), Vec::new()))), (Vec::new(), Vec::new()));
}

#[test]
fn positions_of_earlier_versions_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("positions.json");
    let file = concat!(
        r#"{"partition":"1-2-3-4-5-0","path":"/var/log/a.log","position":7,"#,
        r#""head":{"length":4,"hash":1},"consumed":{"base":0,"through":7,"digest":5},"#,
        r#""rest":{"length":7,"modified":9}"#
    );
    let copy = concat!(
        r#"{"key":{"device":1,"inode":2,"birth":3},"stamp":{"length":4,"modified":5},"#,
        r#""partition":"1-2-3-4-5-0","done":true}"#
    );
    std::fs::write(&path, format!(r#"{{"version":1,"files":[{file}}}]}}"#)).unwrap();
    let memory = open(&path).unwrap().1.unwrap();
    let [known] = memory.files.as_slice() else { panic!("{memory:?}") };
    assert_eq!(
        (known.position.position(), known.copy, known.compressed, memory.copies),
        (7, None, false, Vec::new())
    );
    std::fs::write(&path, format!(r#"{{"version":2,"files":[{file},"packed":true}}],"copies":[{copy}]}}"#))
        .unwrap();
    let memory = open(&path).unwrap().1.unwrap();
    assert!(memory.files[0].compressed && memory.copies[0].done);
    assert_eq!(memory.downstream, Downstream::default());
}

/// If the format changes, its version has to change as well, and this file still has to be read.
#[test]
fn the_present_version_is_written_exactly_as_in_the_golden_file() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/components/files/source/positions/golden-3.json");
    let golden = std::fs::read_to_string(golden).unwrap();
    assert_eq!(String::from_utf8(text_of(memory(7))).unwrap(), golden);
    assert_eq!(format::read(golden.as_bytes()).unwrap(), memory(7));
}

#[test]
fn a_second_agent_is_kept_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("positions.json");
    let _first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(PositionsError::Locked { .. })));
}

fn format_error(path: &Path, text: impl AsRef<[u8]>) -> FormatError {
    std::fs::write(path, text).unwrap();
    match open(path) {
        Err(PositionsError::Format { source, .. }) => source,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was understood"),
    }
}

#[test]
fn positions_that_can_t_be_parsed_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("positions.json");
    assert!(matches!(format_error(&path, "{\"version\": 1, \"files\": ["), FormatError::Json(_)));
    let later = format_error(&path, "{\"version\": 9, \"files\": []}");
    assert!(matches!(later, FormatError::Version { version: 9 }));
}

#[test]
fn any_changed_byte_is_detected_and_the_line_of_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("positions.json");
    let text = text_of(memory(7));
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] = if changed[at] == b'8' { b'9' } else { b'8' };
        format_error(&path, &changed);
    }
    let text = String::from_utf8(text).unwrap();
    let changed = text.replacen("a.log\",\"position\":7", "a.log\",\"position\":8", 1);
    assert_ne!(changed, text);
    let message = format_error(&path, changed).to_string();
    assert!(message.starts_with("line 3, entry 1 (`/var/log/a.log`): "), "{message}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[3].contains("/var/log/b.log"), "the second file has the next line: {text}");
}

#[test]
fn a_position_before_what_was_hashed_is_refused_in_earlier_versions_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("positions.json");
    let text = concat!(
        r#"{"version":2,"files":[{"partition":"1-2-3-4-5-0","path":"/var/log/a.log","position":6,"#,
        r#""head":{"length":4,"hash":1},"consumed":{"base":0,"through":7,"digest":5},"rest":null}],"copies":[]}"#
    );
    let message = format_error(&path, text).to_string();
    assert!(message.contains("entry 1 (`/var/log/a.log`)"), "{message}");
}

/// Opens positions whose lock was just released. A process that another test starts shares all locks until it executes
/// its program, so the lock may be held for a moment longer.
fn open_released(path: &Path) -> OpenPositions {
    for _ in 0..1_000 {
        match open(path) {
            Err(PositionsError::Locked { .. }) => std::thread::sleep(std::time::Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the lock of {} is never released", path.display());
}

/// A user removes the lock file while an agent runs: no second agent starts, and the lock file is restored.
#[test]
fn a_removed_lock_lets_no_second_agent_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("positions.json");
    let lock = folder.path().join("positions.json.lock");
    let (first, _) = open(&path).unwrap();
    first.save(&mut Image::default(), &NewPositions::all(memory(1))).unwrap();
    for position in [7, 8] {
        std::fs::remove_file(&lock).unwrap();
        assert!(matches!(open(&path), Err(PositionsError::Locked { .. })));
        // The refused agent has left a lock file that it does not hold.
        first.save(&mut Image::default(), &NewPositions::all(memory(position))).unwrap();
        assert!(lock.exists());
        assert!(matches!(open(&path), Err(PositionsError::Locked { .. })));
    }
    drop(first);
    let (second, loaded) = open_released(&path);
    assert_eq!(loaded, Some(memory(8)));
    // The next agent holds both locks as well.
    std::fs::remove_file(&lock).unwrap();
    assert!(matches!(open(&path), Err(PositionsError::Locked { .. })));
    drop(second);
    open_released(&path);
}

/// Before the first save there is no file of positions to lock: the agent that saves second is refused.
#[test]
fn an_agent_whose_lock_was_taken_by_another_agent_saves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("positions.json");
    let (first, _) = open(&path).unwrap();
    std::fs::remove_file(folder.path().join("positions.json.lock")).unwrap();
    let (second, _) = open(&path).unwrap();
    second.save(&mut Image::default(), &NewPositions::all(memory(7))).unwrap();
    assert!(matches!(
        first.save(&mut Image::default(), &NewPositions::all(memory(1))),
        Err(PositionsError::Locked { .. })
    ));
    drop(second);
    // The second agent has ended, but the first one has not read the positions that it saved.
    assert!(matches!(
        first.save(&mut Image::default(), &NewPositions::all(memory(1))),
        Err(PositionsError::Locked { .. })
    ));
    drop(first);
    assert_eq!(open_released(&path).1, Some(memory(7)));
}
