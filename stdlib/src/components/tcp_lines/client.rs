//! One client: its lines, and the answers to them.

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
use tracing::debug;
use weir_runtime::batch::{Awaited, BatchError, Column};
use weir_runtime::{Clock, Meter};

use crate::tools::buffers::Buffers;
use crate::tools::due::until;
use crate::tools::lines::{Ending, LineRules, LongLine};
use crate::tools::listener::{Arrival, Connection, Guest, Notice, Piece, UnderWay};

/// What each line is answered with, as Flume does.
const ANSWER: &[u8] = b"OK\n";
/// As many answers as are written at once.
static ANSWERS: [u8; 1024 * ANSWER.len()] = {
    let mut answers = [0; 1024 * ANSWER.len()];
    let mut place = 0;
    while place < answers.len() {
        answers[place] = ANSWER[place % ANSWER.len()];
        place += 1;
    }
    answers
};
/// How long a client is thought to wait for an answer: sinks that can't commit sooner are done by then.
const PATIENCE: Duration = Duration::from_secs(30);

/// What holds for every client.
pub(super) struct Terms {
    pub(super) component: Arc<str>,
    pub(super) meter: Arc<Meter>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) buffers: Buffers,
    pub(super) rules: LineRules,
    pub(super) events_max: usize,
    pub(super) answers: bool,
    pub(super) idle: Option<Duration>,
}

/// What a client is owed for some of its lines.
pub(super) struct Owed {
    lines: usize,
    since: Instant,
    account: Arc<Account>,
}

impl Notice for Option<Owed> {
    fn delivered(self) {
        if let Some(owed) = self {
            owed.account.due.fetch_add(owed.lines, Ordering::AcqRel);
            owed.account.changed.notify_one();
        }
    }

    fn refused(&mut self, events: usize, _reason: &str) {
        if let Some(owed) = self {
            owed.lines -= events.min(owed.lines);
            owed.account.refused.fetch_add(events, Ordering::AcqRel);
            owed.account.changed.notify_one();
        }
    }

    fn awaited(&self) -> Option<Awaited> {
        let since = self.as_ref()?.since;
        Some(Awaited { since, until: since + PATIENCE })
    }

    fn columns(
        _pieces: &[Piece<Option<Owed>>],
        _schema: &SchemaRef,
    ) -> Result<Vec<(&'static str, Column)>, BatchError> {
        Ok(Vec::new())
    }
}

/// The answers that a client is to get now.
#[derive(Default)]
struct Account {
    due: AtomicUsize,
    /// Lines that are not taken, and not answered.
    refused: AtomicUsize,
    changed: Notify,
}

/// The answers that are due and not yet with the client.
#[derive(Default)]
struct Answers {
    /// What is not yet written; its end is the end of an answer.
    due_bytes: usize,
    /// Something was written and may still be here.
    unflushed: bool,
}

impl Answers {
    fn are_left(&self) -> bool {
        self.due_bytes > 0 || self.unflushed
    }

    /// Writes some of them, or flushes when all are written. Dropping the future loses none.
    async fn write(&mut self, connection: &mut Connection) -> io::Result<()> {
        if self.due_bytes == 0 {
            connection.flush().await?;
            self.unflushed = false;
            return Ok(());
        }
        let begin = (ANSWER.len() - self.due_bytes % ANSWER.len()) % ANSWER.len();
        let count = self.due_bytes.min(ANSWERS.len() - begin);
        let written = connection.write(&ANSWERS[begin..begin + count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.due_bytes -= written;
        self.unflushed = true;
        Ok(())
    }
}

/// What a client's turn was.
enum Turn {
    Wrote,
    /// So many bytes; none at the connection's end.
    Read(usize),
}

/// A client that is connected.
struct Client {
    connection: Connection,
    arrival: std::net::IpAddr,
    terms: Arc<Terms>,
    pieces: mpsc::Sender<Piece<Option<Owed>>>,
    guest: Arc<Guest>,
    /// While lines are not yet delivered.
    under_way: Option<UnderWay>,
    account: Arc<Account>,
    /// Lines that are read and whose events are not yet delivered.
    undelivered: usize,
    answers: Answers,
    /// What has come of a line that has no end yet.
    kept: Vec<u8>,
    /// In `kept` there is no line's end before this.
    searched: usize,
    /// The line that is coming is too long: what was wanted of it is taken already.
    skipping: bool,
}

/// Takes lines from a client until it ends, or the source does.
pub(super) async fn serve(
    arrival: Arrival,
    terms: Arc<Terms>,
    pieces: mpsc::Sender<Piece<Option<Owed>>>,
    stop: CancellationToken,
) {
    let address = arrival.client;
    let component = terms.component.clone();
    let protected = arrival.protect_until(&stop, &component, &terms.meter).await;
    let Some((connection, place)) = protected else { return };
    let client = Client {
        connection,
        arrival: address,
        terms,
        pieces,
        guest: place.guest().clone(),
        under_way: None,
        account: Arc::default(),
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
        let (account, guest) = (self.account.clone(), self.guest.clone());
        let mut open = true;
        while open {
            let silent_until = self.terms.idle.map(|idle| Instant::now() + idle);
            tokio::select! {
                biased;
                () = stop.cancelled() => open = false,
                () = guest.has_to_leave() => {
                    self.unfinished();
                    return Ok(());
                }
                () = account.changed.notified() => self.settle(),
                turn = self.turn() => match turn.inspect_err(|_broken| self.unfinished())? {
                    Turn::Wrote => {}
                    Turn::Read(0) => {
                        self.hand_on(Ending::End).await?;
                        open = false;
                    }
                    Turn::Read(_) => {
                        self.hand_on(Ending::Open).await?;
                        self.guest.has_begun(self.skipping || !self.kept.is_empty());
                    }
                },
                () = until(silent_until) => {
                    self.terms.meter.count("connections_idle", 1);
                    open = false;
                }
            }
        }
        self.unfinished();
        // Nothing more comes from here: the source need not wait for this client.
        let (nobody, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.pieces, nobody));
        while self.undelivered > 0 || self.answers.are_left() {
            tokio::select! {
                biased;
                () = guest.has_to_leave() => return Ok(()),
                () = account.changed.notified() => self.settle(),
                written = self.answers.write(&mut self.connection), if self.answers.are_left() => written?,
            }
        }
        tokio::select! {
            () = guest.has_to_leave() => Ok(()),
            done = self.connection.shutdown() => done,
        }
    }

    /// Writes answers that are due, or else reads: a client that does not take its answers is not heard.
    /// Dropping the future loses nothing.
    async fn turn(&mut self) -> io::Result<Turn> {
        if self.answers.are_left() {
            self.answers.write(&mut self.connection).await?;
            return Ok(Turn::Wrote);
        }
        Ok(Turn::Read(self.connection.read_onto(&mut self.kept, &self.terms.buffers).await?))
    }

    /// Notes the answers that have become due.
    fn settle(&mut self) {
        let delivered = self.account.due.swap(0, Ordering::AcqRel);
        let refused = self.account.refused.swap(0, Ordering::AcqRel);
        self.undelivered -= (delivered + refused).min(self.undelivered);
        if self.undelivered == 0 {
            self.under_way = None;
        }
        self.answers.due_bytes += delivered * ANSWER.len();
    }

    /// Hands on the lines that are complete.
    async fn hand_on(&mut self, ending: Ending) -> io::Result<()> {
        if self.skipping && !self.skip() {
            return Ok(());
        }
        let LineRules { line_bytes_max, long_lines, .. } = self.terms.rules;
        let Some(end) = self.end_of_lines(ending) else {
            if self.kept.len() <= line_bytes_max + 1 {
                return Ok(());
            }
            // A line without an end is never kept beyond the bound.
            self.terms.meter.count("long_lines", 1);
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

    /// Says that a line is given up of which only the beginning has come.
    fn unfinished(&self) {
        if !self.kept.is_empty() && !self.skipping {
            self.terms.meter.count("unfinished_lines", 1);
            let (component, client, bytes) = (&self.terms.component, self.arrival, self.kept.len());
            debug!(component = %component, "a line of {client} is given up after its first {bytes} bytes");
        }
    }

    /// Drops what belongs to a line that is too long; whether its end has come.
    fn skip(&mut self) -> bool {
        let end = memchr(b'\n', &self.kept);
        self.skipping = end.is_none();
        self.kept.drain(..end.map_or(self.kept.len(), |end| end + 1));
        self.searched = 0;
        end.is_some()
    }

    /// Behind the last line's end.
    fn end_of_lines(&mut self, ending: Ending) -> Option<usize> {
        if ending == Ending::End {
            return (!self.kept.is_empty()).then_some(self.kept.len());
        }
        let end = memchr::memrchr(b'\n', &self.kept[self.searched..]).map(|end| self.searched + end + 1);
        self.searched = self.kept.len();
        end
    }

    async fn send(&mut self, lines: Vec<u8>, ending: Ending) -> io::Result<()> {
        let mut rest = self.terms.buffers.share(lines);
        let time = self.terms.clock.now();
        // A client that waits for room in the channels is not quiet.
        let _sending = self.guest.begin();
        while !rest.is_empty() {
            let split = self.terms.rules.split(&rest, 0, ending, self.terms.events_max);
            if split.too_long > 0 {
                self.terms.meter.count("long_lines", split.too_long);
            }
            let buffer = rest.clone();
            rest = rest.slice(split.consumed);
            let lines = split.spans.len();
            let notice = self.terms.answers.then(|| {
                self.undelivered += lines;
                self.under_way.get_or_insert_with(|| self.guest.begin());
                Owed { lines, since: Instant::now(), account: self.account.clone() }
            });
            let piece = Piece { buffer, spans: split.spans, client: self.arrival, time, notice };
            if self.pieces.send(piece).await.is_err() {
                return Err(io::Error::other("the source has ended"));
            }
        }
        Ok(())
    }
}
