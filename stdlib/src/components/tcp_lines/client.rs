//! One client: reads its lines, and writes the answers to them.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow_schema::SchemaRef;
use memchr::memchr;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weir_runtime::batch::{Awaited, BatchError, Column};
use weir_runtime::{Clock, LogLimit, Meter};

use crate::tools::buffers::Buffers;
use crate::tools::deadline;
use crate::tools::encoding::{StreamDecoder, TextEncoding};
use crate::tools::lines::{Ending, LineRules, LongLine};
use crate::tools::listener::{Accepted, Activity, Attachment, BusyGuard, Chunk, Connection};

/// The answer to each line, as in Flume.
const ANSWER: &[u8] = b"OK\n";
/// The most answers that one call writes.
static ANSWERS: [u8; 1024 * ANSWER.len()] = {
    let mut answers = [0; 1024 * ANSWER.len()];
    let mut index = 0;
    while index < answers.len() {
        answers[index] = ANSWER[index % ANSWER.len()];
        index += 1;
    }
    answers
};
/// How long a client is assumed to wait for an answer: a sink that would commit later commits by then.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What all clients of a run share.
pub(super) struct RunContext {
    pub(super) component: Arc<str>,
    pub(super) meter: Arc<Meter>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) buffers: Buffers,
    pub(super) encoding: TextEncoding,
    /// Limits the warnings of text that is not right in its encoding.
    pub(super) malformed: LogLimit,
    /// The rules of decoded lines.
    pub(super) rules: LineRules,
    pub(super) events_max: usize,
    /// Whether each line is answered once its event is delivered.
    pub(super) answers: bool,
    pub(super) idle: Option<Duration>,
}

/// The answers to some lines of a client, whose events are not yet delivered.
pub(super) struct UnansweredLines {
    lines: usize,
    since: Instant,
    outcomes: Arc<Outcomes>,
}

impl Attachment for Option<UnansweredLines> {
    fn delivered(self) {
        if let Some(pending) = self {
            pending.outcomes.delivered.fetch_add(pending.lines, Ordering::AcqRel);
            pending.outcomes.changed.notify_one();
        }
    }

    fn refused(&mut self, events: usize, _reason: &str) {
        if let Some(pending) = self {
            pending.lines -= events.min(pending.lines);
            pending.outcomes.refused.fetch_add(events, Ordering::AcqRel);
            pending.outcomes.changed.notify_one();
        }
    }

    fn awaited(&self) -> Option<Awaited> {
        let since = self.as_ref()?.since;
        Some(Awaited { since, until: since + ANSWER_TIMEOUT })
    }

    fn columns(
        _chunks: &[Chunk<Option<UnansweredLines>>],
        _schema: &SchemaRef,
    ) -> Result<Vec<(&'static str, Column)>, BatchError> {
        Ok(Vec::new())
    }
}

/// The outcomes that the client's task has not seen yet.
#[derive(Default)]
struct Outcomes {
    /// The number of lines whose events were delivered.
    delivered: AtomicUsize,
    /// The number of lines whose events were refused, which are not answered.
    refused: AtomicUsize,
    changed: Notify,
}

/// The answers that are due and not yet sent.
#[derive(Default)]
struct Answers {
    /// The bytes that are not yet written. They end with the end of an answer.
    unwritten_bytes: usize,
    /// Whether bytes were written since the last flush.
    unflushed: bool,
}

impl Answers {
    fn are_pending(&self) -> bool {
        self.unwritten_bytes > 0 || self.unflushed
    }

    /// Writes some answers, or flushes when all are written. Dropping the future loses none.
    async fn write(&mut self, connection: &mut Connection) -> io::Result<()> {
        if self.unwritten_bytes == 0 {
            connection.flush().await?;
            self.unflushed = false;
            return Ok(());
        }
        let begin = (ANSWER.len() - self.unwritten_bytes % ANSWER.len()) % ANSWER.len();
        let count = self.unwritten_bytes.min(ANSWERS.len() - begin);
        let written = connection.write(&ANSWERS[begin..begin + count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.unwritten_bytes -= written;
        self.unflushed = true;
        Ok(())
    }
}

/// What a step of a client's task has done.
enum Step {
    Wrote,
    /// Read this many bytes, 0 at the end of the connection.
    Read(usize),
}

/// A connected client.
struct Client {
    connection: Connection,
    address: std::net::IpAddr,
    context: Arc<RunContext>,
    chunks: mpsc::Sender<Chunk<Option<UnansweredLines>>>,
    activity: Arc<Activity>,
    /// Held while the events of lines are not yet delivered.
    busy: Option<BusyGuard>,
    outcomes: Arc<Outcomes>,
    /// The number of lines whose events are not yet delivered.
    undelivered: usize,
    answers: Answers,
    decoder: StreamDecoder,
    /// The received text of the incomplete line.
    kept: Vec<u8>,
    /// The first `searched` bytes of `kept` have no line end.
    searched: usize,
    /// The incomplete line is too long: its beginning was taken or left out, and the rest is dropped.
    skipping: bool,
}

/// Receives the lines of a client until the connection is closed or the source is stopped.
pub(super) async fn serve(
    accepted: Accepted,
    context: Arc<RunContext>,
    chunks: mpsc::Sender<Chunk<Option<UnansweredLines>>>,
    stop: CancellationToken,
) {
    let address = accepted.client;
    let component = context.component.clone();
    let secured = accepted.handshake_until(&stop, &component, &context.meter).await;
    let Some((connection, slot)) = secured else { return };
    let client = Client {
        decoder: StreamDecoder::new(context.encoding),
        connection,
        address,
        context,
        chunks,
        activity: slot.activity().clone(),
        busy: None,
        outcomes: Arc::default(),
        undelivered: 0,
        answers: Answers::default(),
        kept: Vec::new(),
        searched: 0,
        skipping: false,
    };
    if let Err(error) = client.run(&stop).await {
        debug!(component = %component, "the connection of {address} has ended: {error}");
    }
}

impl Client {
    async fn run(mut self, stop: &CancellationToken) -> io::Result<()> {
        let (outcomes, activity) = (self.outcomes.clone(), self.activity.clone());
        let mut open = true;
        while open {
            let silent_until = self.context.idle.map(|idle| Instant::now() + idle);
            tokio::select! {
                biased;
                () = stop.cancelled() => open = false,
                () = activity.evicted() => {
                    self.report_unfinished();
                    return Ok(());
                }
                () = outcomes.changed.notified() => self.note_outcomes(),
                step = self.step() => match step.inspect_err(|_broken| self.report_unfinished())? {
                    Step::Wrote => {}
                    Step::Read(0) => {
                        self.send_complete(Ending::End).await?;
                        open = false;
                    }
                    Step::Read(_) => {
                        self.send_complete(Ending::Open).await?;
                        self.activity.set_partial(self.skipping || !self.kept.is_empty());
                    }
                },
                () = deadline::reached(silent_until) => {
                    self.context.meter.count("connections_idle", 1);
                    open = false;
                }
            }
        }
        self.report_unfinished();
        // The source ends when all senders are dropped, and this client sends no more lines.
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.chunks, closed));
        while self.undelivered > 0 || self.answers.are_pending() {
            tokio::select! {
                biased;
                () = activity.evicted() => return Ok(()),
                () = outcomes.changed.notified() => self.note_outcomes(),
                written = self.answers.write(&mut self.connection), if self.answers.are_pending() => written?,
            }
        }
        tokio::select! {
            () = activity.evicted() => Ok(()),
            done = self.connection.shutdown() => done,
        }
    }

    /// Writes answers if some are due, else reads. So nothing is read from a client that does not read its answers.
    /// Dropping the future loses nothing.
    async fn step(&mut self) -> io::Result<Step> {
        if self.answers.are_pending() {
            self.answers.write(&mut self.connection).await?;
            return Ok(Step::Wrote);
        }
        let read = self.connection.read_onto(&mut self.kept, &self.context.buffers).await?;
        self.decode(read);
        Ok(Step::Read(read))
    }

    /// Decodes the last bytes that were received; none at the end of the connection.
    fn decode(&mut self, received: usize) {
        let before = self.kept.len() - received;
        let (text, is_right) = self.decoder.decode(&self.kept[before..], received == 0);
        if let Cow::Owned(text) = text {
            self.kept.truncate(before);
            self.kept.extend_from_slice(&text);
        }
        if !is_right {
            self.context.meter.count("malformed_reads", 1);
            let (component, client) = (&self.context.component, self.address);
            if let Some(more) = self.context.malformed.occurred() {
                warn!(
                    component = %component,
                    "what {client} sends is not right in its encoding: what is wrong becomes U+FFFD{more}"
                );
            }
        }
    }

    /// Takes over the outcomes of lines: delivered lines are to be answered.
    fn note_outcomes(&mut self) {
        let delivered = self.outcomes.delivered.swap(0, Ordering::AcqRel);
        let refused = self.outcomes.refused.swap(0, Ordering::AcqRel);
        self.undelivered -= (delivered + refused).min(self.undelivered);
        if self.undelivered == 0 {
            self.busy = None;
        }
        self.answers.unwritten_bytes += delivered * ANSWER.len();
    }

    /// Sends the complete lines to the gatherer.
    async fn send_complete(&mut self, ending: Ending) -> io::Result<()> {
        if self.skipping && !self.skip() {
            return Ok(());
        }
        let LineRules { line_bytes_max, long_lines, .. } = self.context.rules;
        let Some(end) = self.end_of_lines(ending) else {
            if self.kept.len() <= line_bytes_max + 1 {
                return Ok(());
            }
            // A line that is longer than the bound is not kept.
            self.context.meter.count("long_lines", 1);
            self.skipping = true;
            let mut line = std::mem::take(&mut self.kept);
            self.searched = 0;
            line.truncate(line_bytes_max);
            return match long_lines {
                LongLine::Skip => Ok(()),
                LongLine::Truncate => self.send(line, Ending::End).await,
            };
        };
        let rest = self.kept[end..].to_vec();
        let mut lines = std::mem::replace(&mut self.kept, rest);
        self.searched = self.kept.len();
        lines.truncate(end);
        self.send(lines, ending).await
    }

    /// Counts and logs an incomplete line that is given up.
    fn report_unfinished(&self) {
        if !self.kept.is_empty() && !self.skipping {
            self.context.meter.count("unfinished_lines", 1);
            let (component, client, bytes) = (&self.context.component, self.address, self.kept.len());
            debug!(component = %component, "a line of {client} is given up after its first {bytes} bytes");
        }
    }

    /// Drops the rest of a line that is too long. Returns whether the line's end was received.
    fn skip(&mut self) -> bool {
        let end = memchr(b'\n', &self.kept);
        self.skipping = end.is_none();
        self.kept.drain(..end.map_or(self.kept.len(), |end| end + 1));
        self.searched = 0;
        end.is_some()
    }

    /// Returns where the complete lines end in `kept`; `None` if no line is complete.
    fn end_of_lines(&mut self, ending: Ending) -> Option<usize> {
        if ending == Ending::End {
            return (!self.kept.is_empty()).then_some(self.kept.len());
        }
        let end = memchr::memrchr(b'\n', &self.kept[self.searched..]).map(|end| self.searched + end + 1);
        self.searched = self.kept.len();
        end
    }

    async fn send(&mut self, lines: Vec<u8>, ending: Ending) -> io::Result<()> {
        let mut rest = self.context.buffers.share(lines);
        let time = self.context.clock.now();
        // A client that waits for space in the channels is not quiet.
        let _sending = self.activity.begin_work();
        while !rest.is_empty() {
            let split = self.context.rules.split(&rest, 0, ending, self.context.events_max);
            if split.too_long > 0 {
                self.context.meter.count("long_lines", split.too_long);
            }
            let buffer = rest.clone();
            rest = rest.slice(split.consumed);
            let lines = split.spans.len();
            let attachment = self.context.answers.then(|| {
                self.undelivered += lines;
                self.busy.get_or_insert_with(|| self.activity.begin_work());
                UnansweredLines { lines, since: Instant::now(), outcomes: self.outcomes.clone() }
            });
            let chunk = Chunk { buffer, spans: split.spans, client: self.address, time, attachment };
            if self.chunks.send(chunk).await.is_err() {
                return Err(io::Error::other("the source has ended"));
            }
        }
        Ok(())
    }
}
