//! Batches of what many connections bring.
//!
//! Events that were pushed have no position of their own. They are numbered as they are put, behind
//! what the channels have, so that a batch that is tried again is known.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{BinaryViewArray, BooleanArray};
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, SchemaRef};
use thiserror::Error;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use tracing::warn;
use weir_runtime::batch::{Awaited, Batch, BatchError, Column, Identities, Origins, Partition};
use weir_runtime::source::{Delivered, Deliveries, Outlet, PutError, SourcePort};
use weir_runtime::{Context, Failure, LogLimit, Meter};

use super::addresses;
use crate::tools::due::until;
use crate::tools::lines::Span;

/// A batch's bodies take about this much at most, and so do the columns that only one kind of source has.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// What each event is charged beyond its body and the columns of its kind of source, at most: a view, an address,
/// a time, and which event it is.
const EVENT_BYTES: usize = 56;
/// The same for events that all come from one address.
const EVENT_BYTES_OF_ONE: usize = 40;
/// What a batch is charged for the values that all its events share, at most.
const SHARED_BYTES: usize = 1024;

/// What stands by some events until they are delivered.
pub(crate) trait Notice: Send {
    /// Whether its events are taken together or not at all.
    const TOGETHER: bool = false;

    /// Tells whom it concerns.
    fn delivered(self);

    /// Tells whom it concerns that so many of its events are not taken, for this reason.
    fn refused(&mut self, _events: usize, _reason: &str) {}

    /// Since when a peer waits for the delivery, and until when; none if nobody does.
    fn awaited(&self) -> Option<Awaited> {
        None
    }

    /// The bytes of the columns that only this kind of source has for so many events, if each has its own values.
    fn column_bytes(&self, _rows: usize) -> usize {
        0
    }

    /// Whether these columns are the same for all events of both.
    fn shares_columns(&self, _other: &Self) -> bool {
        false
    }

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

/// How much is put as one unit: what one transaction of each channel behind takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    bytes_max: usize,
}

impl Room {
    /// That of the channels behind this port.
    pub(crate) fn of(port: &SourcePort) -> Room {
        Room { bytes_max: usize::try_from(port.outlet.event_bytes_max()).unwrap_or(usize::MAX) }
    }

    /// The longest body of an event that has little beside it.
    pub(crate) fn body_bytes_max(self) -> usize {
        self.bytes_max.saturating_sub(SHARED_BYTES + EVENT_BYTES).max(1)
    }

    /// Whether the events of a piece can be put as one unit.
    pub(crate) fn holds<N: Notice>(self, piece: &Piece<N>) -> bool {
        let rows = piece.spans.len();
        let shares = piece.notice.shares_columns(&piece.notice);
        let columns = piece.notice.column_bytes(if shares { 1 } else { rows });
        self.has(piece.buffer.len() + rows * EVENT_BYTES_OF_ONE + columns)
    }

    fn has(self, bytes: usize) -> bool {
        bytes + SHARED_BYTES <= self.bytes_max
    }
}

impl<N> Piece<N> {
    /// What its events are charged at most, without the columns that only one kind of source has.
    fn bytes(&self) -> usize {
        self.buffer.len() + self.spans.len() * EVENT_BYTES
    }
}

/// What a batch has so far.
#[derive(Debug, Default, Clone, Copy)]
struct Measure {
    rows: usize,
    /// The bodies' buffers.
    buffers: usize,
    /// What the events are charged without the columns that only one kind of source has.
    charged: usize,
    /// These columns, if each event has its own values.
    columns: usize,
    /// The same for one event, if all share their values.
    shared: Option<usize>,
}

impl Measure {
    /// That of a batch with one more piece.
    fn with<N: Notice>(self, before: Option<&Piece<N>>, piece: &Piece<N>) -> Measure {
        let rows = piece.spans.len();
        let shares = match before {
            None => piece.notice.shares_columns(&piece.notice),
            Some(before) => self.shared.is_some() && before.notice.shares_columns(&piece.notice),
        };
        Measure {
            rows: self.rows + rows,
            buffers: self.buffers + piece.buffer.len(),
            charged: self.charged + piece.bytes(),
            columns: self.columns + piece.notice.column_bytes(rows),
            shared: shares.then(|| piece.notice.column_bytes(1)),
        }
    }

    /// Whether this is a batch of at most so many events that is put as one unit.
    fn fits(self, rows_max: usize, room: Room) -> bool {
        let columns = self.shared.unwrap_or(self.columns);
        self.rows <= rows_max
            && self.buffers <= BATCH_BYTES_MAX
            && columns <= BATCH_BYTES_MAX
            && room.has(self.charged + columns)
    }
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
    component: Arc<str>,
    meter: Arc<Meter>,
    too_large: LogLimit,
    partition: Partition,
    host: String,
    rows_max: usize,
    linger: Duration,
    identities: bool,
    room: Room,
    pieces: Vec<Piece<Notice>>,
    measure: Measure,
    /// When the first of the pieces came.
    since: Option<Instant>,
    /// The number of the last event that was put.
    sequence: u64,
    under_way: VecDeque<(u64, Vec<Awaiting<Notice>>)>,
}

/// Who waits for some events of a batch that are next to each other.
struct Awaiting<Notice> {
    rows: usize,
    client: IpAddr,
    notice: Notice,
}

impl<N: Notice> Gatherer<N> {
    /// A gatherer for one run of a source. `sequence` is the last number of the run before.
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
            linger,
            identities: port.wants_identities(),
            room: Room::of(port),
            pieces: Vec::new(),
            measure: Measure::default(),
            since: None,
            sequence: sequence.max(given),
            under_way: VecDeque::new(),
        }
    }

    /// The number of the last event that was put.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Adds a piece. Gives back a batch if there was no room for it in the present one.
    fn add(&mut self, piece: Piece<N>) -> Result<Option<Batch>, GatherError> {
        let mut measure = self.measure.with(self.pieces.last(), &piece);
        let batch = if measure.fits(self.rows_max, self.room) { None } else { self.take()? };
        if self.pieces.is_empty() {
            measure = Measure::default().with(None, &piece);
        }
        self.measure = measure;
        self.since.get_or_insert_with(Instant::now);
        self.pieces.push(piece);
        Ok(batch)
    }

    /// When the present batch has waited for long enough.
    fn due(&self) -> Option<Instant> {
        let since = self.since?;
        Some(if self.measure.rows >= self.rows_max { since } else { since + self.linger })
    }

    /// What has been gathered.
    fn take(&mut self) -> Result<Option<Batch>, GatherError> {
        let pieces = std::mem::take(&mut self.pieces);
        let rows = std::mem::take(&mut self.measure).rows;
        self.since = None;
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
        let awaited = pieces.iter().filter_map(|piece| piece.notice.awaited()).reduce(both);
        let mut batch = Batch::assemble(&self.schema, named, rows, origins)?.with_awaited(awaited);
        if self.identities {
            batch = batch.with_identities(Identities::counting(self.partition.clone(), after + 1))?;
        }
        let awaiting = pieces.into_iter().map(|piece| {
            let Piece { spans, client, notice, .. } = piece;
            Awaiting { rows: spans.len(), client, notice }
        });
        self.under_way.push_back((self.sequence, awaiting.collect()));
        Ok(Some(batch))
    }

    /// Tells whom it concerns what is delivered.
    pub(crate) fn deliver(&mut self, delivered: &Delivered) {
        let through = delivered.positions().map(|(_, through)| through.position()).max().unwrap_or(0);
        while let Some((_, awaiting)) = self.under_way.pop_front_if(|(last, _)| *last <= through) {
            awaiting.into_iter().for_each(|awaiting| awaiting.notice.delivered());
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

    /// Puts the newest batch, without the events that fit into no transaction.
    async fn put(
        &mut self,
        mut batch: Batch,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), GatherError> {
        loop {
            match self.put_all(batch.clone(), outlet, deliveries).await {
                Err(GatherError::Put(error @ PutError::TooLarge { .. })) => {
                    batch = self.leave_out(&batch, &error)?;
                }
                other => return other,
            }
        }
    }

    /// The newest batch without what is too large, of which its clients are told.
    fn leave_out(&mut self, batch: &Batch, error: &PutError) -> Result<Batch, GatherError> {
        let PutError::TooLarge { rows: too_large, bytes, bound, channel } = error else {
            return Ok(batch.clone());
        };
        let mut keep = vec![true; batch.rows()];
        let mut wrong = too_large.as_slice();
        let (mut begin, mut refused, mut from): (usize, usize, Option<IpAddr>) = (0, 0, None);
        let awaiting = self.under_way.back_mut().into_iter().flat_map(|(_, awaiting)| awaiting);
        for Awaiting { rows, client, notice } in awaiting {
            let all = begin..begin + *rows;
            begin = all.end;
            let (of_this, others) = wrong.split_at(wrong.partition_point(|row| *row < begin));
            wrong = others;
            if of_this.is_empty() {
                continue;
            }
            let left_out = if N::TOGETHER { all.collect() } else { of_this.to_vec() };
            left_out.iter().for_each(|row| keep[*row] = false);
            *rows -= left_out.len();
            refused += left_out.len();
            from.get_or_insert(*client);
            notice.refused(left_out.len(), &error.to_string());
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

    /// Puts a batch, and meanwhile tells clients what is delivered.
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

/// Two peers wait: since the earlier time, until the earlier one.
fn both(one: Awaited, other: Awaited) -> Awaited {
    Awaited { since: one.since.min(other.since), until: one.until.min(other.until) }
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
