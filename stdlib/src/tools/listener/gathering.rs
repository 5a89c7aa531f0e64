//! Gathers the events of many connections into batches.
//!
//! Events that clients push have no position of their own. The gatherer numbers them as it puts them, after the last
//! number that the channels have, so that a channel recognizes a batch that is put again.

use std::collections::VecDeque;
use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{BinaryViewArray, BooleanArray};
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, SchemaRef};
use thiserror::Error;
use tokio::sync::mpsc::Receiver;
use tracing::warn;
use weir_runtime::batch::{Awaited, Batch, BatchError, Column, Identities, Origins, Partition};
use weir_runtime::source::{Delivered, Deliveries, Outlet, PutError, SourcePort};
use weir_runtime::{Context, Failure, LogLimit, Meter};

use super::addresses;
use crate::tools::departure::Departure;
use crate::tools::lines::Span;

/// The most bytes of a batch's bodies, approximately, and of the columns that its kind of source adds.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// The most bytes that an event is charged beside its body and the columns that its kind of source adds: a view, an
/// address, a time and an identity.
const EVENT_BYTES: usize = 56;
/// The same for events that all come from one address.
const EVENT_BYTES_ONE_CLIENT: usize = 40;
/// The most bytes that a batch is charged for the values that all its events share.
const SHARED_BYTES: usize = 1024;

/// What a kind of source attaches to the events of one client: whom to tell when they are delivered or refused, and
/// the values of the columns that only this kind of source has.
pub(crate) trait Attachment: Send {
    /// Whether one event that is refused refuses all events of the chunk.
    const ALL_OR_NONE: bool = false;

    /// Tells the client that its events are delivered.
    fn delivered(self);

    /// Tells the client that this many of its events were refused, and why.
    fn refused(&mut self, _events: usize, _reason: &str) {}

    /// Since when and until when the client waits for the delivery; `None` if it does not wait.
    fn awaited(&self) -> Option<Awaited> {
        None
    }

    /// The bytes that the source's own columns take for this many events, if each event has its own values.
    fn column_bytes(&self, _rows: usize) -> usize {
        0
    }

    /// Whether the source's own columns have one value for all events of this chunk and the other.
    fn shares_columns(&self, _other: &Self) -> bool {
        false
    }

    /// Makes the source's own columns for a batch of these chunks.
    fn columns(chunks: &[Chunk<Self>], schema: &SchemaRef) -> Result<Vec<(&'static str, Column)>, BatchError>
    where
        Self: Sized;
}

/// Some events of one client, in one buffer.
pub(crate) struct Chunk<Attachment> {
    /// The bytes that the spans refer to.
    pub(crate) buffer: Buffer,
    /// The body of each event.
    pub(crate) spans: Vec<Span>,
    pub(crate) client: IpAddr,
    /// When the events were received, in microseconds since 1970-01-01T00:00:00Z.
    pub(crate) time: i64,
    pub(crate) attachment: Attachment,
}

/// The most bytes that can be put as one unit: the smallest transaction limit of the channels behind a source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PutLimit {
    bytes_max: usize,
}

impl PutLimit {
    /// Returns the limit of the channels behind this port.
    pub(crate) fn of(port: &SourcePort) -> PutLimit {
        PutLimit { bytes_max: usize::try_from(port.outlet.event_bytes_max()).unwrap_or(usize::MAX) }
    }

    /// The longest body of an event without source-specific columns, in bytes.
    pub(crate) fn body_bytes_max(self) -> usize {
        self.bytes_max.saturating_sub(SHARED_BYTES + EVENT_BYTES).max(1)
    }

    /// Whether all events of a chunk can be put as one unit.
    pub(crate) fn allows_chunk<N: Attachment>(self, chunk: &Chunk<N>) -> bool {
        let rows = chunk.spans.len();
        let shares = chunk.attachment.shares_columns(&chunk.attachment);
        let columns = chunk.attachment.column_bytes(if shares { 1 } else { rows });
        self.allows(chunk.buffer.len() + rows * EVENT_BYTES_ONE_CLIENT + columns)
    }

    fn allows(self, bytes: usize) -> bool {
        bytes + SHARED_BYTES <= self.bytes_max
    }
}

impl<N> Chunk<N> {
    /// The most bytes that its events are charged, without the source's own columns.
    fn bytes(&self) -> usize {
        self.buffer.len() + self.spans.len() * EVENT_BYTES
    }
}

/// The size of the batch that is being gathered, in bytes unless said otherwise.
#[derive(Debug, Default, Clone, Copy)]
struct BatchSize {
    /// The number of events.
    rows: usize,
    /// The buffers of the bodies.
    buffers: usize,
    /// What the events are charged without the source's own columns.
    charged: usize,
    /// The source's own columns, if each event has its own values.
    columns: usize,
    /// The source's own columns if all events share one value.
    shared: Option<usize>,
}

impl BatchSize {
    /// Returns the size of the batch with one more chunk. `before` is the batch's last chunk.
    fn with<N: Attachment>(self, before: Option<&Chunk<N>>, chunk: &Chunk<N>) -> BatchSize {
        let rows = chunk.spans.len();
        let shares = match before {
            None => chunk.attachment.shares_columns(&chunk.attachment),
            Some(before) => self.shared.is_some() && before.attachment.shares_columns(&chunk.attachment),
        };
        BatchSize {
            rows: self.rows + rows,
            buffers: self.buffers + chunk.buffer.len(),
            charged: self.charged + chunk.bytes(),
            columns: self.columns + chunk.attachment.column_bytes(rows),
            shared: shares.then(|| chunk.attachment.column_bytes(1)),
        }
    }

    /// Whether a batch of this size has at most `rows_max` events and can be put as one unit.
    fn fits(self, rows_max: usize, put_limit: PutLimit) -> bool {
        let columns = self.shared.unwrap_or(self.columns);
        self.rows <= rows_max
            && self.buffers <= BATCH_BYTES_MAX
            && columns <= BATCH_BYTES_MAX
            && put_limit.allows(self.charged + columns)
    }
}

/// Why a batch could not be made or put.
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

/// Gathers chunks into batches, puts them, and keeps the attachments of events until these are delivered.
pub(crate) struct Gatherer<Attachment> {
    schema: SchemaRef,
    component: Arc<str>,
    meter: Arc<Meter>,
    too_large: LogLimit,
    partition: Partition,
    host: String,
    rows_max: usize,
    departure: Departure,
    identities: bool,
    put_limit: PutLimit,
    chunks: Vec<Chunk<Attachment>>,
    size: BatchSize,
    /// The number of the last event that was put.
    sequence: u64,
    /// Of each batch that was put: the number of its last event, and its chunks' attachments.
    undelivered: VecDeque<(u64, Vec<Undelivered<Attachment>>)>,
}

/// A run of events in a batch that came as one chunk.
struct Undelivered<Attachment> {
    rows: usize,
    client: IpAddr,
    attachment: Attachment,
}

impl<N: Attachment> Gatherer<N> {
    /// Makes a gatherer for one run of a source. `sequence` is the last number of the previous run.
    pub(crate) fn new(
        context: &Context,
        (rows_max, linger): (usize, Duration),
        sequence: u64,
        port: &SourcePort,
    ) -> Gatherer<N> {
        let Context { schema, component, meter, .. } = context;
        let partition = Partition::new(component.clone());
        let given = port.given.through(&partition).map_or(0, |given| given.position());
        Gatherer {
            schema: schema.clone(),
            component: component.clone(),
            meter: meter.clone(),
            too_large: LogLimit::default(),
            partition,
            host: super::host(),
            rows_max,
            departure: Departure::new(linger),
            identities: port.wants_identities(),
            put_limit: PutLimit::of(port),
            chunks: Vec::new(),
            size: BatchSize::default(),
            sequence: sequence.max(given),
            undelivered: VecDeque::new(),
        }
    }

    /// Returns the number of the last event that was put.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Adds a chunk. Returns the present batch if the chunk does not fit into it.
    fn add(&mut self, chunk: Chunk<N>) -> Result<Option<Batch>, GatherError> {
        let mut size = self.size.with(self.chunks.last(), &chunk);
        let batch = if size.fits(self.rows_max, self.put_limit) { None } else { self.take()? };
        if self.chunks.is_empty() {
            size = BatchSize::default().with(None, &chunk);
        }
        self.size = size;
        self.departure.joined();
        self.chunks.push(chunk);
        Ok(batch)
    }

    /// Takes the present batch, and numbers its events.
    fn take(&mut self) -> Result<Option<Batch>, GatherError> {
        let chunks = std::mem::take(&mut self.chunks);
        let rows = std::mem::take(&mut self.size).rows;
        self.departure.left();
        if rows == 0 {
            return Ok(None);
        }
        let mut clients = Vec::with_capacity(rows);
        let mut times = Vec::with_capacity(rows);
        for Chunk { spans, client, time, .. } in &chunks {
            clients.resize(clients.len() + spans.len(), *client);
            times.resize(times.len() + spans.len(), *time);
        }
        let mut named = N::columns(&chunks, &self.schema)?;
        named.extend([
            ("@client", addresses(&clients)?),
            ("@host", Column::constant_text(&self.host)),
            ("@timestamp", Column::times(times)),
            (weir_plan::BODY, bodies(&chunks, rows)?.into()),
        ]);
        let after = self.sequence;
        self.sequence += rows as u64;
        let origins = Origins::one(self.partition.clone(), after, self.sequence);
        let awaited = chunks.iter().filter_map(|chunk| chunk.attachment.awaited()).reduce(earliest);
        let mut batch = Batch::assemble(&self.schema, named, rows, origins)?.with_awaited(awaited);
        if self.identities {
            batch = batch.with_identities(Identities::counting(self.partition.clone(), after + 1))?;
        }
        let undelivered = chunks.into_iter().map(|chunk| {
            let Chunk { spans, client, attachment, .. } = chunk;
            Undelivered { rows: spans.len(), client, attachment }
        });
        self.undelivered.push_back((self.sequence, undelivered.collect()));
        Ok(Some(batch))
    }

    /// Tells clients which of their events are delivered.
    pub(crate) fn deliver(&mut self, delivered: &Delivered) {
        let through = delivered.positions().map(|(_, through)| through.position()).max().unwrap_or(0);
        while let Some((_, undelivered)) = self.undelivered.pop_front_if(|(last, _)| *last <= through) {
            undelivered.into_iter().for_each(|undelivered| undelivered.attachment.delivered());
        }
    }

    /// Puts the chunks of the queue until it is closed, then waits until all events are delivered.
    ///
    /// # Errors
    /// When a batch can't be made or put.
    pub(crate) async fn run_to_end(
        &mut self,
        mut queue: Receiver<Chunk<N>>,
        mut outlet: Outlet,
        mut deliveries: Deliveries,
    ) -> Result<(), Failure> {
        let put = self.put_until_closed(&mut queue, &mut outlet, &mut deliveries).await;
        put.map_err(GatherError::into_failure)?;
        outlet.close();
        while let Some(delivered) = deliveries.next().await {
            self.deliver(&delivered);
        }
        Ok(())
    }

    /// Puts the chunks of the queue until it is closed.
    ///
    /// # Errors
    /// When a batch can't be made or put.
    async fn put_until_closed(
        &mut self,
        queue: &mut Receiver<Chunk<N>>,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), GatherError> {
        loop {
            let batch = tokio::select! {
                biased;
                Some(delivered) = deliveries.next() => {
                    self.deliver(&delivered);
                    None
                }
                () = ready(()), if self.size.rows >= self.rows_max => self.take()?,
                chunk = queue.recv() => match chunk {
                    Some(chunk) => self.add(chunk)?,
                    None => {
                        if let Some(last) = self.take()? {
                            self.put(last, outlet, deliveries).await?;
                        }
                        return Ok(());
                    }
                },
                () = self.departure.due() => self.take()?,
            };
            if let Some(batch) = batch {
                self.put(batch, outlet, deliveries).await?;
            }
        }
    }

    /// Puts the newest batch, without the events that are too large for a transaction.
    async fn put(
        &mut self,
        mut batch: Batch,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), GatherError> {
        loop {
            match self.put_all(batch.clone(), outlet, deliveries).await {
                Err(GatherError::Put(error @ PutError::TooLarge { .. })) => {
                    batch = self.without_too_large(&batch, &error)?;
                }
                other => return other,
            }
        }
    }

    /// Returns the newest batch without the events that are too large, and tells their clients so.
    fn without_too_large(&mut self, batch: &Batch, error: &PutError) -> Result<Batch, GatherError> {
        let PutError::TooLarge { rows: too_large, bytes, bound, channel } = error else {
            return Ok(batch.clone());
        };
        let mut keep = vec![true; batch.rows()];
        let mut too_large = too_large.as_slice();
        let (mut begin, mut refused, mut from): (usize, usize, Option<IpAddr>) = (0, 0, None);
        let undelivered = self.undelivered.back_mut().into_iter().flat_map(|(_, undelivered)| undelivered);
        for Undelivered { rows, client, attachment } in undelivered {
            let all = begin..begin + *rows;
            begin = all.end;
            let (in_chunk, later) = too_large.split_at(too_large.partition_point(|row| *row < begin));
            too_large = later;
            if in_chunk.is_empty() {
                continue;
            }
            let left_out = if N::ALL_OR_NONE { all.collect() } else { in_chunk.to_vec() };
            left_out.iter().for_each(|row| keep[*row] = false);
            *rows -= left_out.len();
            refused += left_out.len();
            from.get_or_insert(*client);
            attachment.refused(left_out.len(), &error.to_string());
        }
        self.meter.count("events_too_large", refused as u64);
        if let (Some(client), Some(more)) = (from, self.too_large.occurred()) {
            let component = &self.component;
            warn!(
                component = %component,
                "an event from {client} is refused: behind the steps it takes {bytes} bytes, and a transaction of \
                 channel {channel} holds {bound}{more}"
            );
        }
        Ok(batch.filter(&BooleanArray::from(keep))?)
    }

    /// Puts a batch, and meanwhile tells clients which of their events are delivered.
    async fn put_all(
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

/// Returns the earlier begin and the earlier end of two waits.
fn earliest(one: Awaited, other: Awaited) -> Awaited {
    Awaited { since: one.since.min(other.since), until: one.until.min(other.until) }
}

/// Makes views of the events' bodies into the buffers of their chunks.
fn bodies<Attachment>(chunks: &[Chunk<Attachment>], rows: usize) -> Result<BinaryViewArray, ArrowError> {
    let mut builder = BinaryViewBuilder::with_capacity(rows);
    for Chunk { buffer, spans, .. } in chunks {
        let block = builder.append_block(buffer.clone());
        for span in spans {
            builder.try_append_view(block, span.begin, span.length)?;
        }
    }
    Ok(builder.finish())
}
