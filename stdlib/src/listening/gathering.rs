//! Batches of what many connections bring.
//!
//! Events that were pushed have no position of their own. They are numbered as they are put, behind
//! what the channels have, so that a batch that is tried again is known.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use arrow_array::BinaryViewArray;
use arrow_array::builder::BinaryViewBuilder;
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, SchemaRef};
use thiserror::Error;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use weir_runtime::Failure;
use weir_runtime::batch::{Batch, BatchError, Column, Identities, Origins, Partition};
use weir_runtime::source::{Delivered, Deliveries, Outlet, PutError, SourcePort};

use super::addresses;
use crate::due::until;
use crate::lines::Span;

/// A batch's bodies take about this much at most.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What stands by some events until they are delivered.
pub(crate) trait Notice: Send {
    /// Tells whom it concerns.
    fn delivered(self);

    /// The columns that only this kind of source has, in a batch of this type.
    fn columns(pieces: &[Piece<Self>], schema: &SchemaRef) -> Result<Vec<(&'static str, Column)>, BatchError>
    where
        Self: Sized;
}

/// Some events from one client.
pub(crate) struct Piece<Notice> {
    /// What the events' spans are of.
    pub(crate) buffer: Buffer,
    pub(crate) spans: Vec<Span>,
    pub(crate) client: IpAddr,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub(crate) time: i64,
    /// Who is told when they are delivered.
    pub(crate) notice: Notice,
}

/// What could not be made of pieces, or put.
#[derive(Debug, Error)]
enum GatherError {
    #[error("making a batch")]
    Batch(#[from] BatchError),
    #[error("making views of events")]
    Views(#[from] ArrowError),
    #[error(transparent)]
    Put(#[from] PutError),
}

impl GatherError {
    fn into_failure(self) -> Failure {
        match self {
            GatherError::Put(error) => error.into_failure(),
            error => Failure::permanent(error),
        }
    }
}

/// Gathers pieces into batches, and remembers whom to tell of their delivery.
pub(crate) struct Gatherer<Notice> {
    schema: SchemaRef,
    partition: Partition,
    host: String,
    rows_max: usize,
    linger: Duration,
    identities: bool,
    pieces: Vec<Piece<Notice>>,
    rows: usize,
    bytes: usize,
    /// When the first of the pieces came.
    since: Option<Instant>,
    /// The number of the last event that was put.
    sequence: u64,
    under_way: VecDeque<(u64, Vec<Notice>)>,
}

impl<N: Notice> Gatherer<N> {
    /// A gatherer for one run of a source. `sequence` is the last number of the run before.
    pub(crate) fn new(
        schema: SchemaRef,
        component: &str,
        (rows_max, linger): (usize, Duration),
        sequence: u64,
        port: &SourcePort,
    ) -> Gatherer<N> {
        let partition = Partition::new(component);
        let stored = port.stored.through(&partition).unwrap_or(0);
        Gatherer {
            schema,
            partition,
            host: super::host(),
            rows_max,
            linger,
            identities: port.wants_identities(),
            pieces: Vec::new(),
            rows: 0,
            bytes: 0,
            since: None,
            sequence: sequence.max(stored),
            under_way: VecDeque::new(),
        }
    }

    /// The number of the last event that was put.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Adds a piece. Gives back a batch if there was no room for it in the present one.
    fn add(&mut self, piece: Piece<N>) -> Result<Option<Batch>, GatherError> {
        let full = self.rows + piece.spans.len() > self.rows_max
            || self.bytes + piece.buffer.len() > BATCH_BYTES_MAX;
        let batch = if full { self.take()? } else { None };
        self.rows += piece.spans.len();
        self.bytes += piece.buffer.len();
        self.since.get_or_insert_with(Instant::now);
        self.pieces.push(piece);
        Ok(batch)
    }

    /// When the present batch has waited for long enough.
    fn due(&self) -> Option<Instant> {
        let since = self.since?;
        Some(if self.rows >= self.rows_max { since } else { since + self.linger })
    }

    /// What has been gathered.
    fn take(&mut self) -> Result<Option<Batch>, GatherError> {
        let pieces = std::mem::take(&mut self.pieces);
        let rows = std::mem::take(&mut self.rows);
        (self.bytes, self.since) = (0, None);
        if rows == 0 {
            return Ok(None);
        }
        let mut clients = Vec::with_capacity(rows);
        let mut times = Vec::with_capacity(rows);
        for Piece { spans, client, time, .. } in &pieces {
            clients.resize(clients.len() + spans.len(), *client);
            times.resize(times.len() + spans.len(), *time);
        }
        let mut named = N::columns(&pieces, &self.schema)?;
        named.extend([
            ("@client", addresses(&clients)?),
            ("@host", Column::constant_text(&self.host)),
            ("@timestamp", Column::times(times)),
            (weir_plan::BODY, bodies(&pieces, rows)?.into()),
        ]);
        let after = self.sequence;
        self.sequence += rows as u64;
        let origins = Origins::one(self.partition.clone(), after, self.sequence);
        let mut batch = Batch::assemble(&self.schema, named, rows, origins)?;
        if self.identities {
            batch = batch.with_identities(Identities::counting(self.partition.clone(), after + 1))?;
        }
        let notices = pieces.into_iter().map(|piece| piece.notice).collect();
        self.under_way.push_back((self.sequence, notices));
        Ok(Some(batch))
    }

    /// Tells whom it concerns what is delivered.
    pub(crate) fn deliver(&mut self, delivered: &Delivered) {
        let through = delivered.positions().map(|(_, through)| through).max().unwrap_or(0);
        while let Some((_, notices)) = self.under_way.pop_front_if(|(last, _)| *last <= through) {
            notices.into_iter().for_each(Notice::delivered);
        }
    }

    /// Puts what is gathered until nothing more comes, then waits until all of it is delivered.
    ///
    /// # Errors
    /// When a batch can't be made or put.
    pub(crate) async fn see_through(
        &mut self,
        mut gathered: Receiver<Piece<N>>,
        mut outlet: Outlet,
        mut deliveries: Deliveries,
    ) -> Result<(), Failure> {
        let run = self.run(&mut gathered, &mut outlet, &mut deliveries).await;
        run.map_err(GatherError::into_failure)?;
        outlet.close();
        while let Some(delivered) = deliveries.next().await {
            self.deliver(&delivered);
        }
        Ok(())
    }

    /// Puts what connections bring, until there are none any more.
    ///
    /// # Errors
    /// When something can't be put.
    async fn run(
        &mut self,
        gathered: &mut Receiver<Piece<N>>,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), GatherError> {
        loop {
            let due = self.due();
            let batch = tokio::select! {
                biased;
                Some(delivered) = deliveries.next() => {
                    self.deliver(&delivered);
                    None
                }
                () = until(due) => self.take()?,
                piece = gathered.recv() => match piece {
                    Some(piece) => self.add(piece)?,
                    None => {
                        if let Some(last) = self.take()? {
                            self.put(last, outlet, deliveries).await?;
                        }
                        return Ok(());
                    }
                },
            };
            if let Some(batch) = batch {
                self.put(batch, outlet, deliveries).await?;
            }
        }
    }

    /// Puts a batch, and meanwhile tells clients what is delivered.
    async fn put(
        &mut self,
        batch: Batch,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), GatherError> {
        let mut put = std::pin::pin!(outlet.put(batch));
        loop {
            tokio::select! {
                biased;
                done = &mut put => return Ok(done?),
                Some(delivered) = deliveries.next() => self.deliver(&delivered),
            }
        }
    }
}

fn bodies<Notice>(pieces: &[Piece<Notice>], rows: usize) -> Result<BinaryViewArray, ArrowError> {
    let mut builder = BinaryViewBuilder::with_capacity(rows);
    for Piece { buffer, spans, .. } in pieces {
        let block = builder.append_block(buffer.clone());
        for span in spans {
            builder.try_append_view(block, span.begin, span.length)?;
        }
    }
    Ok(builder.finish())
}
