use std::path::Path;

use weir_runtime::storage::{Machine, SimulatedDisk};

use super::*;
use crate::components::files::source::file_system::simulated::SimulatedFileSystem;
use crate::tools::encoding::TextEncoding;
use crate::tools::lines::{LineRules, LongLine};

const PATH: &str = "/logs/a.log";

fn rules(file_system: SimulatedFileSystem) -> TextRules {
    let lines = LineRules {
        line_bytes_max: 1 << 10,
        long_lines: LongLine::Truncate,
        grouping: None,
        of_file: true,
        encoding: TextEncoding::Utf8,
    };
    TextRules {
        buffers: Buffers::default(),
        splitting: Splitting::Lines(lines),
        records: None,
        events_max: 10,
        follow: true,
        complete: false,
        copies: true,
        decompress: true,
        file_system: Arc::new(file_system),
        partial_lines: PartialLines::default(),
    }
}

/// Repeats a line until the text is longer than a head.
fn lines(text: &str) -> Vec<u8> {
    format!("{text}\n").repeat(HEAD_BYTES).into_bytes()
}

#[tokio::test(start_paused = true)]
async fn a_file_in_the_place_of_one_that_was_not_read_yet_is_read_under_its_own_head() {
    let disk = SimulatedDisk::new(7, u64::MAX);
    // Without birth times, the second file has the same key as the first.
    let file_system = SimulatedFileSystem::new(&Machine::default(), &disk, false);
    let (path, rules) = (Path::new(PATH), rules(file_system.clone()));
    file_system.append(&file_system.create(path), &lines("first"));
    let key = rules.file_system.state(path).unwrap().key;
    let knowledge = Knowledge { key, remembered: Vec::new(), generation_min: 0, candidates: None };
    let Ok(Identified::Text(mut text, content, _)) = identify(path, &knowledge, &rules) else { panic!() };
    drop(content);
    drop(file_system.unlink(path));
    file_system.append(&file_system.create(path), &lines("second"));
    assert_eq!(rules.file_system.state(path).unwrap().key, key);
    let read_chunk = |text: &mut Text| match text.read_chunk(path, None, &rules, Ending::Open).unwrap() {
        (_, Outcome::Read(chunk)) => (chunk.after, chunk.next),
        (_, Outcome::Rewritten(why)) => panic!("it is read again: {why}"),
        _ => panic!("it is set aside"),
    };
    assert_eq!(read_chunk(&mut text), (0, 70));
    assert!(text.name().name().contains(&format!("-1024-{:016x}-", Head::of(&lines("second")).hash)));
    assert_eq!(read_chunk(&mut text), (70, 140));
}
