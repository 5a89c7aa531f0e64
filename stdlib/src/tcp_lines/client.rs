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
use weir_runtime::batch::{BatchError, Column};
use weir_runtime::{Clock, Meter};

use crate::buffers::Buffers;
use crate::due::until;
use crate::lines::{Ending, LineRules, LongLine};
use crate::listening::{Arrival, Connection, Notice, Piece};

/// What each line is answered with, as Flume does.
const ANSWER: &[u8] = b"OK\n";
/// So many answers are written at once.
const ANSWERS_MAX: usize = 1024;

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
    account: Arc<Account>,
}

impl Notice for Option<Owed> {
    fn delivered(self) {
        if let Some(owed) = self {
            owed.account.due.fetch_add(owed.lines, Ordering::AcqRel);
            owed.account.changed.notify_one();
        }
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
    changed: Notify,
}

/// A client that is connected.
struct Client {
    connection: Connection,
    arrival: std::net::IpAddr,
    terms: Arc<Terms>,
    pieces: mpsc::Sender<Piece<Option<Owed>>>,
    account: Arc<Account>,
    /// Lines that are read and not yet answered.
    unanswered: usize,
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
    let Some((connection, _place)) = protected else { return };
    let client = Client {
        connection,
        arrival: address,
        terms,
        pieces,
        account: Arc::default(),
        unanswered: 0,
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
        let mut open = true;
        while open {
            let silent_until = self.terms.idle.map(|idle| Instant::now() + idle);
            tokio::select! {
                biased;
                () = stop.cancelled() => open = false,
                () = self.account.changed.notified(), if self.terms.answers => self.answer().await?,
                read = self.connection.read_onto(&mut self.kept, &self.terms.buffers) => match read? {
                    0 => {
                        self.hand_on(Ending::End).await?;
                        open = false;
                    }
                    _ => self.hand_on(Ending::Open).await?,
                },
                () = until(silent_until) => {
                    self.terms.meter.count("connections_idle", 1);
                    open = false;
                }
            }
        }
        // Nothing more comes from here: the source need not wait for this client.
        let (nobody, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.pieces, nobody));
        while self.terms.answers && self.unanswered > 0 {
            self.account.changed.notified().await;
            self.answer().await?;
        }
        self.connection.shutdown().await
    }

    async fn answer(&mut self) -> io::Result<()> {
        let mut due = self.account.due.swap(0, Ordering::AcqRel);
        self.unanswered -= due.min(self.unanswered);
        while due > 0 {
            let count = due.min(ANSWERS_MAX);
            self.connection.write_all(&ANSWER.repeat(count)).await?;
            due -= count;
        }
        self.connection.flush().await
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
        while !rest.is_empty() {
            let split = self.terms.rules.split(&rest, 0, ending, self.terms.events_max);
            if split.too_long > 0 {
                self.terms.meter.count("long_lines", split.too_long);
            }
            let buffer = rest.clone();
            rest = rest.slice(split.consumed);
            let lines = split.spans.len();
            self.unanswered += lines;
            let owed = Owed { lines, account: self.account.clone() };
            let notice = self.terms.answers.then_some(owed);
            let piece = Piece { buffer, spans: split.spans, client: self.arrival, time, notice };
            if self.pieces.send(piece).await.is_err() {
                return Err(io::Error::other("the source has ended"));
            }
        }
        Ok(())
    }
}
