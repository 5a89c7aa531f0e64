use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{BinaryViewArray, StringViewArray};
use arrow_schema::{DataType, Field, Schema};
use tokio::sync::oneshot;
use weir_runtime::batch::{Column, Origins};
use weir_runtime::channel::{Channel, Limits, MemoryChannel};
use weir_runtime::source::SourcePort;

use super::*;

/// The length of a line that does not fit into a socket's buffer.
const LINE_BYTES: usize = 8 << 20;

/// Runs a sink that writes one long line into a socket.
async fn write_into(output: UnixStream, begun: oneshot::Sender<()>) -> Result<(), Failure> {
    let limits = Limits {
        capacity: 10,
        transaction_capacity: 10,
        byte_capacity: 1 << 26,
        keep_alive: Duration::from_secs(3),
    };
    let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(limits));
    let mut port = SinkPort::reading(channel.as_ref());
    let mut outlet = SourcePort::into_channel(channel.clone()).outlet;
    let line = vec![b'x'; LINE_BYTES];
    let bodies = BinaryViewArray::from_iter_values([&line]);
    let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]));
    let batch = Batch::new(schema.clone(), vec![bodies.into()], 1, Origins::default()).unwrap();
    outlet.put(batch).await.unwrap();
    outlet.close();
    channel.close();
    let mut sink = StdoutSink::new(LineFormat::Text, &schema).unwrap();
    sink.output = Some(Writer::start(output).unwrap());
    begun.send(()).unwrap();
    sink.run(&mut port).await
}

#[test]
fn a_reader_that_does_not_read_does_not_delay_the_end() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let (mut reader, output) = UnixStream::pair().unwrap();
    let (begun, begins) = oneshot::channel();
    runtime.spawn(write_into(output, begun));
    begins.blocking_recv().unwrap();
    let mut first = [0; 1];
    reader.read_exact(&mut first).unwrap();
    // If a thread of the runtime wrote the line, this would wait for it.
    drop(runtime);
    // The thread completes the line although the runtime has ended.
    let mut rest = vec![0; LINE_BYTES];
    reader.read_exact(&mut rest).unwrap();
    assert_eq!(rest.last(), Some(&b'\n'));
}

#[tokio::test]
async fn a_reader_that_has_gone_is_a_permanent_failure() {
    let (reader, output) = UnixStream::pair().unwrap();
    drop(reader);
    let (begun, _begins) = oneshot::channel();
    let failure = write_into(output, begun).await.unwrap_err();
    assert!(failure.is_permanent());
    assert_eq!(failure.to_string(), "standard output was closed by its reader");
}

/// Returns what the sink writes of two events with a header, a body and a field.
fn written(format: LineFormat) -> String {
    let schema = Arc::new(Schema::new(vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("user", DataType::Utf8View, false),
    ]));
    let users = StringViewArray::from_iter_values(["ann", "bob, the second"]);
    let columns = vec![Column::constant_text("web-1"), Column::Array(Arc::new(users))];
    let batch = Batch::new(schema.clone(), columns, 2, Origins::default()).unwrap();
    let mut sink = StdoutSink::new(format, &schema).unwrap();
    let mut lines = sink.lines(&batch, 0, 1).unwrap();
    lines.extend(sink.lines(&batch, 1, 1).unwrap());
    String::from_utf8(lines).unwrap()
}

#[test]
fn every_format_is_written() {
    let json = LineFormat::Json { headers: vec!["@host".to_owned()] };
    let expected =
        "{\"host\":\"web-1\",\"user\":\"ann\"}\n{\"host\":\"web-1\",\"user\":\"bob, the second\"}\n";
    assert_eq!(written(json), expected);
    let csv = LineFormat::Csv { delimiter: ",".to_owned(), headers: Vec::new() };
    assert_eq!(written(csv), "ann\n\"bob, the second\"\n");
}
