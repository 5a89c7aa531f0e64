use std::io::Write;
use std::os::unix::net::UnixStream;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::*;
use crate::tests::harness::{SourceHarness, context};

/// A running source that reads from a socket.
struct RunningSource {
    input: UnixStream,
    harness: SourceHarness,
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("@line", DataType::Int64, false),
        Field::new("@timestamp", time, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

impl RunningSource {
    fn start(batch: usize, linger: Duration) -> RunningSource {
        let (input, read) = UnixStream::pair().unwrap();
        RunningSource::from(Box::new(read), input, batch, linger)
    }

    fn from(read: Box<dyn Read + Send>, input: UnixStream, batch: usize, linger: Duration) -> RunningSource {
        let meter = Arc::new(Meter::default());
        let (long_lines, encoding) = (LongLine::Truncate, TextEncoding::Utf8);
        let settings = StdinSettings { max_line: 1024, long_lines, encoding, batch, linger };
        let source = LinesSource::new(settings, context("lines", schema(), &meter), read);
        RunningSource { input, harness: SourceHarness::start(Box::new(source), meter, 10_000) }
    }

    async fn take(&mut self) -> Batch {
        let delivery = self.harness.take().await;
        delivery.acknowledgement.done();
        delivery.batch
    }

    /// Takes `count` lines, in any number of batches.
    async fn lines(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.extend(bodies_of(&self.take().await));
        }
        lines
    }
}

#[tokio::test]
async fn a_byte_order_mark_belongs_to_no_line() {
    let mut source = RunningSource::start(10, Duration::from_millis(1));
    source.input.write_all("\u{feff}one\n\u{feff}two\n".as_bytes()).unwrap();
    assert_eq!(source.lines(2).await, [b"one".to_vec(), "\u{feff}two".into()]);
}

fn bodies_of(batch: &Batch) -> Vec<Vec<u8>> {
    batch.bodies().unwrap().iter().flatten().map(<[u8]>::to_vec).collect()
}

#[tokio::test]
async fn lines_of_any_bytes_are_events_and_the_source_ends_with_its_input() {
    let mut source = RunningSource::start(3, Duration::from_millis(1));
    source.input.write_all(b"one\r\n\0\xff\n\nlast").unwrap();
    source.input.shutdown(std::net::Shutdown::Both).unwrap();
    let first = source.take().await;
    let numbers = first.column("@line").unwrap().values().as_primitive::<Int64Type>().clone();
    assert_eq!(numbers.values()[0], 1);
    let mut lines = bodies_of(&first);
    lines.extend(source.lines(4 - lines.len()).await);
    assert_eq!(lines, [&b"one"[..], b"\0\xff", b"", b"last"]);
    source.harness.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_batch_does_not_wait_and_one_that_is_not_full_lingers() {
    // With a linger of a day, only full batches arrive.
    let mut source = RunningSource::start(2, Duration::from_secs(86_400));
    source.input.write_all(b"one\ntwo\nthree\n").unwrap();
    assert_eq!(source.lines(3).await.len(), 3, "one read has taken them");
    source.input.write_all(b"four\nfi").unwrap();
    source.input.write_all(b"ve\n").unwrap();
    assert_eq!(bodies_of(&source.take().await), [&b"four"[..], b"five"], "one batch");
    let mut quick = RunningSource::start(1_000, Duration::from_millis(1));
    quick.input.write_all(b"one\n").unwrap();
    assert_eq!(quick.lines(1).await, [b"one"]);
}

#[tokio::test]
async fn an_endless_line_is_truncated_and_not_kept_in_memory() {
    let mut source = RunningSource::start(1, Duration::ZERO);
    let mut input = source.input.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..1_000 {
            input.write_all(&[b'x'; 1 << 14]).unwrap();
        }
        input.write_all(b"\nnext\n").unwrap();
    });
    assert_eq!(source.lines(2).await, [vec![b'x'; 1024], b"next".to_vec()]);
    assert_eq!(source.harness.meter.counters()["long_lines"], 1);
    writer.join().unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_input_and_puts_the_lines_that_were_read() {
    let mut source = RunningSource::start(1, Duration::ZERO);
    source.input.write_all(b"whole\nhalf").unwrap();
    assert_eq!(source.lines(1).await, [b"whole"]);
    // The other end stays open and sends nothing more.
    source.harness.stop.cancel();
    source.harness.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn reading_goes_on_after_an_error_that_passes_by_itself() {
    struct OutOfMemory(u8);
    impl Read for OutOfMemory {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(io::ErrorKind::OutOfMemory.into()),
                2 => (&mut buffer[..]).write(b"kept\n"),
                _ => Ok(0),
            }
        }
    }
    let (input, _other) = UnixStream::pair().unwrap();
    let mut source = RunningSource::from(Box::new(OutOfMemory(0)), input, 1, Duration::ZERO);
    assert_eq!(source.lines(1).await, [b"kept"]);
    source.harness.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn input_that_can_not_be_read_is_a_permanent_failure() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::IsADirectory.into())
        }
    }
    let (input, _other) = UnixStream::pair().unwrap();
    let source = RunningSource::from(Box::new(Broken), input, 1, Duration::ZERO);
    let failure = source.harness.running.await.unwrap().unwrap_err();
    assert!(failure.is_permanent());
    assert!(failure.to_string().starts_with("reading standard input"), "{failure}");
}

#[tokio::test]
async fn a_line_larger_than_a_transaction_is_too_long() {
    let (mut input, read) = UnixStream::pair().unwrap();
    let meter = Arc::new(Meter::default());
    let (long_lines, linger) = (LongLine::Truncate, Duration::from_millis(1));
    let encoding = TextEncoding::Utf8;
    let settings = StdinSettings { max_line: 1 << 20, long_lines, encoding, batch: 10, linger };
    let source = LinesSource::new(settings, context("lines", schema(), &meter), Box::new(read));
    let harness = SourceHarness::within(Box::new(source), meter, 10_000, 10_000);
    input.write_all(&[[b'x'; 20_000].as_slice(), b"\nnext\n"].concat()).unwrap();
    let mut source = RunningSource { input, harness };
    let lines = source.lines(2).await;
    assert!((8_000..10_000).contains(&lines[0].len()), "{}", lines[0].len());
    assert_eq!(lines[1], b"next");
    assert_eq!(source.harness.meter.counters()["long_lines"], 1);
}
