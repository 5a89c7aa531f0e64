//! One request: checks its head, reads and parses its body, puts its events, and answers it.

use std::convert::Infallible;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_ENCODING, COOKIE, EXPECT, HeaderMap, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use weir_runtime::batch::{Awaited, BatchError, Column};
use weir_runtime::source::PendingAnswers;
use weir_runtime::{Clock, Meter};

use super::authentication::Credentials;
use super::body_memory::{BodyMemory, BodyReservation, Exhausted};
use super::encoding::Encoding;
use super::events::{BodyError, Events, Format};
use super::health;
use super::refused_body::discard;
use crate::formats::codec::Codec;
use crate::tools::listener::{Attachment, Chunk, PutLimit, RETRY_PAUSE, STOP_GRACE, Slot, TextMaps};

/// The value of `Retry-After`, in seconds.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// A body of at most this many bytes is parsed in the connection's task, a longer one on a thread for blocking work. Parsing so many
/// takes about half a millisecond, and the way to the thread and back would double the time of a usual request.
const SHORT_BODY_BYTES: usize = 256 << 10;
/// The longest time for which a request waits for the permits or the memory of clients that become quiet.
const EVICTION_WAIT: Duration = Duration::from_secs(2);
/// How many bytes of a body are decompressed or decoded at a time.
const PIECE_BYTES: usize = 64 << 10;
/// The bytes that an entry of the headers takes in memory beside its text.
const ENTRY_BYTES: usize = 32;
/// The column of headers.
const HEADERS: &str = "headers";

/// Serves the requests of all connections during one run of the source.
pub(super) struct Service {
    pub(super) meter: Arc<Meter>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) path: Arc<str>,
    /// The path at which the source says whether it takes requests.
    pub(super) health: Option<Arc<str>>,
    pub(super) format: Format,
    pub(super) body_bytes_max: usize,
    pub(super) put_limit: PutLimit,
    pub(super) events_max: usize,
    /// The longest time from a request's head to its answer.
    pub(super) timeout: Duration,
    /// A permit for each request that is served at once.
    pub(super) request_permits: Semaphore,
    pub(super) body_memory: BodyMemory,
    pub(super) credentials: Credentials,
    /// The gatherer's queue, until the source is stopped. Each request that is being read holds a sender, and the
    /// gatherer puts events until all senders are dropped.
    pub(super) chunks: mpsc::WeakSender<Chunk<PendingRequest>>,
    pub(super) stop: CancellationToken,
    /// Keeps an agent that ends from dropping the source before all clients are answered.
    pub(super) answering: PendingAnswers,
}

/// A request whose events are in the gatherer or in channels, and not yet delivered.
pub(super) struct PendingRequest {
    /// Receives `Ok` when the events are delivered, or the reason why they were refused. `None` once it was used.
    outcome: Option<oneshot::Sender<Result<(), String>>>,
    path: Arc<str>,
    awaited: Awaited,
    /// The headers of each event, or one entry for all events.
    headers: Vec<Vec<(String, String)>>,
}

impl PendingRequest {
    fn complete(&mut self, outcome: Result<(), String>) {
        if let Some(sender) = self.outcome.take() {
            // The request may have timed out meanwhile.
            let _: Result<(), Result<(), String>> = sender.send(outcome);
        }
    }
}

impl Attachment for PendingRequest {
    const ALL_OR_NONE: bool = true;

    fn delivered(mut self) {
        self.complete(Ok(()));
    }

    fn refused(&mut self, _events: usize, reason: &str) {
        self.complete(Err(reason.to_owned()));
    }

    fn awaited(&self) -> Option<Awaited> {
        Some(self.awaited)
    }

    fn column_bytes(&self, rows: usize) -> usize {
        let entry = |(name, value): &(String, String)| ENTRY_BYTES + name.len() + value.len();
        let bytes: usize = self.headers.iter().flatten().map(entry).sum();
        if self.headers.len() == 1 { rows * bytes } else { bytes }
    }

    fn shares_columns(&self, other: &PendingRequest) -> bool {
        self.headers.len() == 1 && self.headers == other.headers
    }

    fn columns(
        chunks: &[Chunk<PendingRequest>],
        schema: &SchemaRef,
    ) -> Result<Vec<(&'static str, Column)>, BatchError> {
        // All requests that are served have the same path.
        let path = chunks.first().map_or("", |chunk| &*chunk.attachment.path);
        let mut columns = vec![("@path", Column::constant_text(path))];
        let Ok(field) = schema.field_with_name(HEADERS) else { return Ok(columns) };
        let Some(mut maps) = TextMaps::new(field.data_type()) else { return Ok(columns) };
        let shared = chunks
            .first()
            .filter(|first| chunks.iter().all(|chunk| first.attachment.shares_columns(&chunk.attachment)));
        let column = if let Some(Chunk { attachment, .. }) = shared {
            maps.push(attachment.headers.first().map_or(&[], Vec::as_slice));
            maps.constant()?
        } else {
            for Chunk { spans, attachment, .. } in chunks {
                for row in 0..spans.len() {
                    let index = if attachment.headers.len() == 1 { 0 } else { row };
                    maps.push(attachment.headers.get(index).map_or(&[], Vec::as_slice));
                }
            }
            maps.finish()?
        };
        columns.push((HEADERS, column));
        Ok(columns)
    }
}

/// An answer other than 200, with its reason.
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }

    fn stopping() -> Refusal {
        let message = "the source is being stopped; nothing of the request was taken";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    fn too_slow(message: &str) -> Refusal {
        Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
    }

    fn too_long(bytes_max: usize) -> Refusal {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {bytes_max} bytes"))
    }
}

impl From<Exhausted> for Refusal {
    fn from(_: Exhausted) -> Refusal {
        let message = "the bodies of all requests take as many bytes as `max_bodies` allows";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

/// Answers a request once its events are committed, or it is refused.
pub(super) async fn answer(
    service: Arc<Service>,
    client: IpAddr,
    slot: Arc<Slot>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if health::is_asked(&request, service.health.as_deref()) {
        return Ok(health::answer(service.stop.is_cancelled()));
    }
    service.meter.count("requests", 1);
    let refusal = match service.handle(client, &slot, request).await {
        Ok(()) => return Ok(Response::new(Full::default())),
        Err(refusal) => refusal,
    };
    service.meter.count("requests_refused", 1);
    let Refusal { status, message } = refusal;
    let mut response = Response::new(Full::from(message + "\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(service.credentials.challenge()));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        StatusCode::METHOD_NOT_ALLOWED => drop(headers.insert(ALLOW, HeaderValue::from_static("POST, PUT"))),
        _ => {}
    }
    Ok(response)
}

impl Service {
    async fn handle(
        self: &Arc<Self>,
        client: IpAddr,
        slot: &Slot,
        request: Request<Incoming>,
    ) -> Result<(), Refusal> {
        let since = Instant::now();
        let awaited = Awaited { since, until: since + self.timeout };
        let busy = slot.activity().begin_work();
        let admitted = match self.check(&request) {
            Ok(()) => self.admit(slot).await,
            Err(refusal) => Err(refusal),
        };
        let (head, body) = request.into_parts();
        let (chunks, _permit) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                // A client that sent `Expect: 100-continue` sends no body after a refusal.
                if !head.headers.contains_key(EXPECT) {
                    discard(body);
                }
                return Err(refusal);
            }
        };
        // Held until the request is answered.
        let mut reservation = self.body_memory.reservation();
        let reading = slot.activity().begin_body();
        drop(busy);
        let body = tokio::select! {
            biased;
            body = timeout_at(awaited.until, self.read(body, slot, &mut reservation)) => {
                body.unwrap_or_else(|_elapsed| Err(Refusal::too_slow("the body has not come in time")))?
            }
            () = self.after_stop(STOP_GRACE) => return Err(Refusal::stopping()),
            () = slot.activity().evicted() => {
                return Err(Refusal::too_slow("the body makes no progress, and other clients wait"));
            }
        };
        // From here on the client waits for the source, so the connection is not quiet.
        let _busy = slot.activity().begin_work();
        drop(reading);
        let encoding = head.headers.get(CONTENT_ENCODING).cloned();
        let (events, _reservation) = self.clone().parse(body, encoding, reservation).await?;
        if events.spans.is_empty() {
            return Ok(());
        }
        let (chunk, outcome) = self.chunk(client, events, &head.headers, awaited);
        if !self.put_limit.allows_chunk(&chunk) {
            let message = "the request is larger than what the channels behind take as one unit";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        self.commit(chunks, (chunk, outcome), awaited.until).await
    }

    /// Puts the events of a request and waits until they are committed.
    async fn commit(
        &self,
        chunks: mpsc::Sender<Chunk<PendingRequest>>,
        (chunk, outcome): (Chunk<PendingRequest>, oneshot::Receiver<Result<(), String>>),
        until: Instant,
    ) -> Result<(), Refusal> {
        let committed = async {
            chunks.send(chunk).await.ok()?;
            // A stopped source closes its outlet when all senders are dropped, and only then do its sinks commit.
            drop(chunks);
            outcome.await.ok()
        };
        let outcome = tokio::select! {
            biased;
            outcome = timeout_at(until, committed) => outcome,
            () = self.answering.shutdown() => Ok(None),
        };
        match outcome {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(reason))) => Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason)),
            Ok(None) => {
                let message = "the source has stopped before the events were committed; they may still be";
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message))
            }
            Err(_elapsed) => {
                let message = "the events could not be committed in time; they may still be";
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message))
            }
        }
    }

    /// Admits a request: returns a sender of the gatherer's queue, and a permit to be served.
    async fn admit(
        &self,
        slot: &Slot,
    ) -> Result<(mpsc::Sender<Chunk<PendingRequest>>, SemaphorePermit<'_>), Refusal> {
        let chunks = self.chunks.upgrade().ok_or_else(Refusal::stopping)?;
        let permit = self.evicting_quiet_bodies(slot, || self.request_permits.try_acquire().ok()).await;
        let permit = permit.ok_or_else(|| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "there are too many requests at once")
        })?;
        Ok((chunks, permit))
    }

    /// Tries to take a permit or memory, and evicts connections whose bodies are quiet until that succeeds. Returns
    /// `None` if no other body is being read, or the other bodies go on making progress.
    async fn evicting_quiet_bodies<Taken>(
        &self,
        slot: &Slot,
        mut try_take: impl FnMut() -> Option<Taken>,
    ) -> Option<Taken> {
        let until = Instant::now() + EVICTION_WAIT;
        loop {
            let taken = try_take();
            if taken.is_some() || !slot.others_read_bodies() || Instant::now() >= until {
                return taken;
            }
            slot.evict_body_reader();
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep(RETRY_PAUSE) => {}
            }
        }
    }

    /// Waits until `grace` has passed since the source was stopped, or the agent has to end at once.
    pub(super) async fn after_stop(&self, grace: Duration) {
        self.stop.cancelled().await;
        tokio::select! {
            () = sleep(grace) => {}
            () = self.answering.shutdown() => {}
        }
    }

    /// Refuses a request if its head is wrong.
    fn check(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        if !self.credentials.accept(request.headers().get(AUTHORIZATION)) {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "the credentials are missing or wrong"));
        }
        if request.uri().path() != &*self.path {
            return Err(Refusal::new(StatusCode::NOT_FOUND, format!("events are taken at {}", self.path)));
        }
        if request.method() != Method::POST && request.method() != Method::PUT {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "events are sent with POST"));
        }
        if request.body().size_hint().lower() > self.body_bytes_max as u64 {
            return Err(Refusal::too_long(self.body_bytes_max));
        }
        Ok(())
    }

    /// Reads a body, and reserves memory for it as it is received.
    async fn read(
        &self,
        mut incoming: Incoming,
        slot: &Slot,
        reservation: &mut BodyReservation,
    ) -> Result<Vec<u8>, Refusal> {
        // A body may come in frames of a byte each, so the frames are not kept.
        let (mut body, mut bytes) = (Limited::new(&mut incoming, self.body_bytes_max), Vec::new());
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => {
                    if reservation.grow(data.len()).is_err() {
                        // A connection that waits for memory is not quiet.
                        let _busy = slot.activity().begin_work();
                        let grown =
                            self.evicting_quiet_bodies(slot, || reservation.grow(data.len()).ok()).await;
                        if grown.is_none() {
                            discard(incoming);
                            return Err(Exhausted.into());
                        }
                    }
                    bytes.extend_from_slice(&data);
                }
                Ok(Err(_trailers)) => {}
                Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                    discard(incoming);
                    return Err(Refusal::too_long(self.body_bytes_max));
                }
                Err(error) => {
                    let message = format!("the body ends early: {error}");
                    return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
                }
            }
        }
        Ok(bytes)
    }

    /// Decompresses a body and splits it into events. A long body is parsed on a thread for blocking work, so that
    /// other connections don't wait for it.
    async fn parse(
        self: Arc<Self>,
        body: Vec<u8>,
        encoding: Option<HeaderValue>,
        mut reservation: BodyReservation,
    ) -> Result<(Events, BodyReservation), Refusal> {
        let short = body.len() <= SHORT_BODY_BYTES && encoding.is_none();
        let parse = move || {
            let body = self.decompress(body, encoding.as_ref(), &mut reservation)?;
            let body = self.decode(body, &mut reservation)?;
            let events = self.format.events(body, self.events_max).map_err(|error| match error {
                BodyError::Json(_) => Refusal::new(StatusCode::BAD_REQUEST, error.to_string()),
                BodyError::TooMany(_) => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            })?;
            Ok((events, reservation))
        };
        match short {
            true => parse(),
            false => spawn_blocking(parse).await.unwrap_or_else(|error| {
                Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
            }),
        }
    }

    /// Decompresses a body, within the bound of a body's length.
    fn decompress(
        &self,
        body: Vec<u8>,
        encoding: Option<&HeaderValue>,
        reservation: &mut BodyReservation,
    ) -> Result<Vec<u8>, Refusal> {
        let encoding = encoding.map(HeaderValue::as_bytes).unwrap_or_default();
        let encoding = Encoding::named(encoding)
            .map_err(|unknown| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, unknown.to_string()))?;
        if encoding == Encoding::Codec(Codec::None) {
            return Ok(body);
        }
        let refused = |why: String| Refusal::new(StatusCode::BAD_REQUEST, why);
        let decoder = encoding.decoder(Box::new(&body[..]));
        let mut compressed = decoder.map_err(|error| refused(error.to_string()))?;
        let mut decompressed = Vec::new();
        loop {
            let read = compressed.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut decompressed);
            let read = read.map_err(|error| refused(format!("the body can't be decompressed: {error}")))?;
            if decompressed.len() > self.body_bytes_max {
                return Err(Refusal::too_long(self.body_bytes_max));
            }
            reservation.grow(read)?;
            if read == 0 {
                return Ok(decompressed);
            }
        }
    }

    /// Decodes a body, within the bound of a body's length.
    fn decode(&self, body: Vec<u8>, reservation: &mut BodyReservation) -> Result<Vec<u8>, Refusal> {
        let Some(mut decoder) = self.format.decoder() else { return Ok(body) };
        let (mut text, mut is_right) = (Vec::new(), true);
        for (number, piece) in body.chunks(PIECE_BYTES).enumerate() {
            let (decoded, is_part_right) = decoder.decode(piece, (number + 1) * PIECE_BYTES >= body.len());
            if text.len() + decoded.len() > self.body_bytes_max {
                return Err(Refusal::too_long(self.body_bytes_max));
            }
            reservation.grow(decoded.len())?;
            text.extend_from_slice(&decoded);
            is_right &= is_part_right;
        }
        if !is_right {
            self.meter.count("malformed_bodies", 1);
        }
        text.shrink_to_fit();
        Ok(text)
    }

    /// Makes a chunk of a request's events, and the receiver of its outcome.
    fn chunk(
        &self,
        client: IpAddr,
        events: Events,
        headers: &HeaderMap,
        awaited: Awaited,
    ) -> (Chunk<PendingRequest>, oneshot::Receiver<Result<(), String>>) {
        let headers = match events.headers {
            Some(headers) => headers.into_iter().map(|headers| headers.into_iter().collect()).collect(),
            None => vec![event_headers(headers)],
        };
        let (sender, outcome) = oneshot::channel();
        let attachment = PendingRequest { outcome: Some(sender), path: self.path.clone(), awaited, headers };
        let time = self.clock.now();
        (Chunk { buffer: events.buffer, spans: events.spans, client, time, attachment }, outcome)
    }
}

/// Returns a request's headers for its events, without credentials. Of several headers of one name it keeps the last.
fn event_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let names = headers.keys().filter(|name| **name != AUTHORIZATION && **name != COOKIE);
    let texts = names.filter_map(|name| {
        let value = headers.get_all(name).iter().next_back()?;
        Some((name.to_string(), value.to_str().ok()?.to_string()))
    });
    texts.collect()
}
