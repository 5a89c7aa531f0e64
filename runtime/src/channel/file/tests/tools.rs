//! The reports of the tools about a directory, and their changes to it.

use super::super::transactions::prepare;
use super::*;
use crate::channel::origins::Verdict;

/// Makes a channel with a hundred puts of a thousand events each; the first ten puts are acknowledged.
async fn filled(folder: &std::path::Path) -> FileChannelOptions {
    let limits = Limits { capacity: 1 << 20, ..options(folder).limits };
    let options = FileChannelOptions { limits, ..options(folder) };
    let mut open = open(options.clone()).await;
    for round in 0..100 {
        open.put_durably(round * 1_000..round * 1_000 + 1_000).await;
    }
    for _ in 0..10 {
        open.lease().await.acknowledgement.done();
    }
    open.channel.shut().await.unwrap();
    options
}

fn flip(folder: &std::path::Path, file: &str, byte: usize) {
    change(folder, file, |bytes| bytes[byte] ^= 1);
}

async fn drained(options: FileChannelOptions) -> Vec<u64> {
    drained_by("sink", options).await
}

async fn drained_by(name: &str, options: FileChannelOptions) -> Vec<u64> {
    let channel = FileChannel::new(options).unwrap();
    let mut reader = channel.reader(name, Demand::Required);
    channel.open().await.unwrap();
    channel.close();
    let mut taken = Vec::new();
    loop {
        match reader.take().await {
            Taken::Events(lease) => {
                taken.extend(bodies(&lease));
                lease.acknowledgement.done();
            }
            Taken::Pressure => {}
            Taken::End => break,
        }
    }
    channel.shut().await.unwrap();
    taken
}

#[tokio::test]
async fn inspect_and_verify_report_the_content() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let inspection = inspect(folder.path(), None).unwrap();
    assert_eq!((inspection.held_events, inspection.events, inspection.puts), (90_000, 100_000, 100));
    assert_eq!(
        inspection.positions,
        [PositionSummary { source: "in".to_owned(), partition: "p".to_owned(), through: 100_000 }]
    );
    assert!(inspection.closed && inspection.readers[0].low == 10);
    let text = inspection.to_string();
    assert!(text.contains("reader sink: has all puts before 10, and 0 beyond"), "{text}");
    let verification = verify(folder.path(), None).unwrap();
    assert_eq!((verification.events, verification.damages.len()), (100_000, 0));
    let repair = repair(folder.path(), None).unwrap();
    assert_eq!(repair.to_string(), "nothing is damaged; 90000 events wait\n");
}

#[tokio::test]
async fn a_repair_loses_only_damaged_events() {
    let folder = tempfile::tempdir().unwrap();
    let options = filled(folder.path()).await;
    flip(folder.path(), &segment::segment_name(0), 500_000);
    let verification = verify(folder.path(), None).unwrap();
    assert_eq!(verification.damages.len(), 1, "{verification}");
    let assessed = assess_repair(folder.path(), None).unwrap();
    assert!(!assessed.made && verify(folder.path(), None).unwrap() == verification, "nothing was changed");
    let repair = repair(folder.path(), None).unwrap();
    assert_eq!(repair, Repair { made: true, ..assessed });
    assert_eq!(
        (repair.damages, repair.lost_events, repair.kept_events),
        (verification.damages, 1_000, 89_000)
    );
    assert_eq!(verify(folder.path(), None).unwrap().damages, []);
    let taken = drained(options).await;
    assert_eq!(taken.len(), 89_000);
    assert!(taken.is_sorted() && taken[0] == 10_000 && taken[88_999] == 99_999);
}

#[tokio::test]
async fn a_channel_without_a_superblock_is_refused_and_can_be_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let options = filled(folder.path()).await;
    std::fs::remove_file(folder.path().join(superblock::SUPERBLOCK)).unwrap();
    let refused = refusal(FileChannel::new(options.clone()).unwrap()).await;
    assert!(refused.contains("superblock is missing"), "{refused}");
    assert_eq!(repair(folder.path(), None).unwrap().lost_events, 0);
    // Acknowledgements that only the superblock's checkpoint had are lost: their events are redelivered.
    assert_eq!(drained(options).await.len(), 90_000);
}

/// However little of the only segment's header is left, the tools report that it was cut off and can't be repaired.
#[tokio::test]
async fn a_single_segment_that_is_cut_within_its_header_is_reported_as_cut() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join(segment::segment_name(0));
    let open = open(options(folder.path())).await;
    open.put_durably(0..10).await;
    open.channel.shut().await.unwrap();
    drop(open);
    for length in [4_095, 2_000, 100, 97, 50, 8, 3, 0] {
        let file = std::fs::OpenOptions::new().write(true).open(&name).unwrap();
        file.set_len(length).unwrap();
        let cut_off = format!("{}, byte 0: the header is cut off", segment::segment_name(0));
        let said = [
            refusal_of(folder.path()).await,
            inspect(folder.path(), None).unwrap_err().to_string(),
            verify(folder.path(), None).unwrap().to_string(),
            assess_repair(folder.path(), None).unwrap_err().to_string(),
            repair(folder.path(), None).unwrap_err().to_string(),
        ];
        for said in &said {
            assert!(said.contains(&cut_off), "{length}: {said}");
        }
        assert!(said[2].contains("1 damaged place"), "{}", said[2]);
        assert!(said[0].contains("or remove DIR to begin with an empty channel"), "{}", said[0]);
        assert!(said[4].contains("a repair would keep nothing; nothing was changed"), "{}", said[4]);
        assert_eq!(std::fs::metadata(&name).unwrap().len(), length);
    }
}

#[tokio::test]
async fn a_start_without_any_segment_says_that_a_repair_would_keep_nothing() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    for entry in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|extension| extension == "segment") {
            std::fs::remove_file(entry).unwrap();
        }
    }
    let refused = refusal_of(folder.path()).await;
    assert!(refused.contains("the segment is missing; nothing was changed or skipped"), "{refused}");
    assert!(refused.contains("or remove DIR to begin with an empty channel"), "{refused}");
}

#[tokio::test]
async fn forgetting_a_reader_frees_the_events_that_only_it_needed() {
    let folder = tempfile::tempdir().unwrap();
    let options = filled(folder.path()).await;
    let channel = FileChannel::new(options.clone()).unwrap();
    let _readers = [channel.reader("sink", Demand::Required), channel.reader("late", Demand::Required)];
    channel.open().await.unwrap();
    channel.shut().await.unwrap();
    drop(channel);
    assert_eq!(
        inspect(folder.path(), None).unwrap().held_events,
        90_000,
        "a new reader begins with what the others have not had"
    );
    let unknown = forget_reader(folder.path(), None, "never").unwrap_err().to_string();
    assert!(unknown.ends_with("has no reader `never`; it has sink, late"), "{unknown}");
    let forgotten = forget_reader(folder.path(), None, "late").unwrap();
    assert_eq!((forgotten.freed_events, forgotten.held_events), (0, 90_000));
    assert_eq!(drained(options).await.len(), 90_000);
}

/// A sink that was renamed continues at its position, without a repeat.
#[tokio::test]
async fn the_next_reader_begins_where_the_last_forgotten_reader_was() {
    let folder = tempfile::tempdir().unwrap();
    let options = filled(folder.path()).await;
    let forgotten = forget_reader(folder.path(), None, "sink").unwrap();
    assert_eq!((forgotten.freed_events, forgotten.held_events), (0, 90_000));
    let inspected = inspect(folder.path(), None).unwrap();
    assert_eq!((inspected.held_events, inspected.readers.len()), (90_000, 0));
    let none_left = forget_reader(folder.path(), None, "").unwrap_err().to_string();
    assert!(none_left.contains("has no reader"), "{none_left}");
    // Neither another opening nor a repair drops the kept events.
    std::fs::remove_file(folder.path().join(superblock::SUPERBLOCK)).unwrap();
    assert_eq!(repair(folder.path(), None).unwrap().kept_events, 90_000);
    for waiting in [90_000, 0] {
        assert_eq!(drained_by("other", options.clone()).await.len(), waiting);
    }
}

/// Events kept for a required reader are not kept for an optional one.
#[tokio::test]
async fn no_events_are_kept_when_only_optional_readers_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let options = filled(folder.path()).await;
    forget_reader(folder.path(), None, "sink").unwrap();
    let channel = FileChannel::new(options).unwrap();
    let _reader = channel.reader("other", Demand::Optional);
    channel.open().await.unwrap();
    channel.shut().await.unwrap();
    drop(channel);
    assert_eq!(inspect(folder.path(), None).unwrap().held_events, 0);
}

/// Reads the put of this number and later ones below another, from a place in the log on.
fn read_ahead(
    storage: &Directory,
    from: segment::Location,
    puts: std::ops::Range<u64>,
    found: &survey::Survey,
) -> Vec<reading::StoredPut> {
    let uuid = survey::read_superblock(storage).unwrap().unwrap().uuid;
    let segments = Arc::new(found.segments.clone());
    let (sequence, below, schema) = (puts.start, puts.end, schema());
    let request = reading::LoadRequest { from, sequence, below, ahead: true, uuid, segments, schema };
    reading::load(storage, &request).unwrap()
}

fn surveyed(storage: &Directory) -> survey::Survey {
    survey::survey(storage, survey::read_superblock(storage).unwrap().unwrap()).unwrap()
}

/// An event of 300 kB that compresses well.
fn large(number: u64) -> Batch {
    let origins = Origins::one(Partition::new("p"), number, number + 1);
    let bodies = BinaryViewArray::from_iter_values([vec![b'x'; 300_000]]);
    Batch::new(schema(), vec![bodies.into()], 1, origins).unwrap()
}

fn compressing(folder: &std::path::Path) -> FileChannelOptions {
    let limits = Limits { byte_capacity: 64 << 20, ..options(folder).limits };
    FileChannelOptions { limits, compression: Compression::Zstd, ..options(folder) }
}

#[tokio::test]
async fn compressed_puts_wait_for_the_disk_by_their_bytes_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let open = open(compressing(folder.path())).await;
    // The log's thread writes nothing while the state is locked.
    let mut state = open.channel.shared.lock();
    let mut waiting = 0;
    while state.writer_keeps_up(Fill::of(&large(waiting))) {
        assert!(waiting < 100, "all puts wait in memory");
        let (sender, _receiver) = tokio::sync::mpsc::unbounded_channel();
        let acknowledgement = Acknowledgement::new(1, Box::new(Outcome(sender)));
        let put = prepare(&open.scope, large(waiting), Verdict::New, Compression::Zstd, acknowledgement);
        state.submit(&open.scope, put);
        waiting += 1;
    }
    assert!((40..60).contains(&waiting), "{waiting} puts have 16 MiB");
}

#[tokio::test]
async fn compressed_puts_are_read_in_advance_by_their_bytes_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let open = open(compressing(folder.path())).await;
    for number in 0..20 {
        assert_eq!(open.put_batch(large(number)).await.recv().await, Some(true));
    }
    open.channel.shut().await.unwrap();
    let storage = Directory::open(folder.path()).unwrap();
    let found = surveyed(&storage);
    let (number, info) = found.segments.iter().next().unwrap();
    let (from, first) = (segment::Location { segment: *number, offset: info.begin }, info.first_sequence);
    let items = read_ahead(&storage, from, first..first + 20, &found);
    assert_eq!(items.len(), 4, "four puts have a mebibyte");
}

#[tokio::test]
async fn a_reader_at_the_end_of_a_deleted_segment_continues_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let storage = Directory::open(folder.path()).unwrap();
    let found = surveyed(&storage);
    let mut listed = found.segments.iter();
    let ((gone, _), (_, next)) = (listed.next().unwrap(), listed.next().unwrap());
    // After the last put of the first segment, where acknowledgements may follow.
    let from = segment::Location { segment: *gone, offset: found.segments[gone].end - segment::PAGE };
    // All readers have acknowledged the puts in this segment, so the log may have deleted it.
    std::fs::remove_file(folder.path().join(segment::segment_name(*gone))).unwrap();
    let items = read_ahead(&storage, from, next.first_sequence..next.first_sequence + 1, &found);
    assert_eq!(items[0].sequence, next.first_sequence);
}
