//! One request: what it must be, what is made of it, and what it is answered.

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
    AUTHORIZATION, CONTENT_ENCODING, COOKIE, EXPECT, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use weir_runtime::batch::{Awaited, BatchError, Column};
use weir_runtime::source::PendingAnswers;
use weir_runtime::{Clock, Meter};

use super::authentication::Known;
use super::budget::{Budget, NoRoom, Share};
use super::events::{BodyError, Events, Format};
use crate::tools::listener::{Notice, PAUSE, Piece, Place, Room, STOP_GRACE, TextMaps};

/// After so many seconds a client may try again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// A body of at most so many bytes is understood at once.
const SHORT_BODY_BYTES: usize = 64 << 10;
/// Of a body that is refused at most so much is read, and for at most so long.
const DISCARD_BYTES_MAX: usize = 64 << 20;
const DISCARD: Duration = Duration::from_secs(5);
/// A request waits at most so long for clients to fall silent whose bodies have what it needs.
const QUIET_BODIES: Duration = Duration::from_secs(2);
/// So much of a packed body is unpacked at a time.
const UNPACKED_BYTES: u64 = 64 << 10;
/// What an entry of the headers takes in memory beside its text.
const ENTRY_BYTES: usize = 32;
/// The column of headers.
const HEADERS: &str = "headers";

/// What serves all requests.
pub(super) struct Service {
    pub(super) meter: Arc<Meter>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) path: Arc<str>,
    pub(super) format: Format,
    pub(super) body_bytes_max: usize,
    /// What the channels behind take as one unit.
    pub(super) room: Room,
    pub(super) events_max: usize,
    /// How long a request may take, from its head to its answer.
    pub(super) patience: Duration,
    pub(super) places: Semaphore,
    pub(super) budget: Budget,
    pub(super) known: Known,
    /// Where events go, until the source is stopped. Whoever reads a request holds a sender, and the source
    /// puts what comes until there is none.
    pub(super) pieces: mpsc::WeakSender<Piece<Waiting>>,
    pub(super) stop: CancellationToken,
    /// Held until all clients are answered.
    pub(super) answering: PendingAnswers,
}

/// A request whose events are on their way.
pub(super) struct Waiting {
    /// Nothing for events that are delivered, or why they are not taken. Used once.
    done: Option<oneshot::Sender<Result<(), String>>>,
    path: Arc<str>,
    awaited: Awaited,
    /// Of each event, or one for all.
    headers: Vec<Vec<(String, String)>>,
}

impl Waiting {
    fn tell(&mut self, outcome: Result<(), String>) {
        if let Some(done) = self.done.take() {
            // The client may have given up meanwhile.
            let _: Result<(), Result<(), String>> = done.send(outcome);
        }
    }
}

impl Notice for Waiting {
    const TOGETHER: bool = true;

    fn delivered(mut self) {
        self.tell(Ok(()));
    }

    fn refused(&mut self, _events: usize, reason: &str) {
        self.tell(Err(reason.to_owned()));
    }

    fn awaited(&self) -> Option<Awaited> {
        Some(self.awaited)
    }

    fn column_bytes(&self, rows: usize) -> usize {
        let entry = |(name, value): &(String, String)| ENTRY_BYTES + name.len() + value.len();
        let bytes: usize = self.headers.iter().flatten().map(entry).sum();
        if self.headers.len() == 1 { rows * bytes } else { bytes }
    }

    fn shares_columns(&self, other: &Waiting) -> bool {
        self.headers.len() == 1 && self.headers == other.headers
    }

    fn columns(
        pieces: &[Piece<Waiting>],
        schema: &SchemaRef,
    ) -> Result<Vec<(&'static str, Column)>, BatchError> {
        // There is one path that is served.
        let path = pieces.first().map_or("", |piece| &*piece.notice.path);
        let mut columns = vec![("@path", Column::constant_text(path))];
        let Ok(field) = schema.field_with_name(HEADERS) else { return Ok(columns) };
        let Some(mut maps) = TextMaps::new(field.data_type()) else { return Ok(columns) };
        let shared = pieces
            .first()
            .filter(|first| pieces.iter().all(|piece| first.notice.shares_columns(&piece.notice)));
        let column = if let Some(Piece { notice, .. }) = shared {
            maps.push(notice.headers.first().map_or(&[], Vec::as_slice));
            maps.constant()?
        } else {
            for Piece { spans, notice, .. } in pieces {
                for row in 0..spans.len() {
                    let of = if notice.headers.len() == 1 { 0 } else { row };
                    maps.push(notice.headers.get(of).map_or(&[], Vec::as_slice));
                }
            }
            maps.finish()?
        };
        columns.push((HEADERS, column));
        Ok(columns)
    }
}

/// Why a request is not answered with 200.
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

impl From<NoRoom> for Refusal {
    fn from(_: NoRoom) -> Refusal {
        let message = "the bodies of requests under way take as much as they may together";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

/// Answers a request, when its events are committed or can't be.
pub(super) async fn answer(
    service: Arc<Service>,
    client: IpAddr,
    place: Arc<Place>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    service.meter.count("requests", 1);
    let refusal = match service.take(client, &place, request).await {
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
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(service.known.challenge()));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        _ => {}
    }
    Ok(response)
}

impl Service {
    async fn take(
        self: &Arc<Self>,
        client: IpAddr,
        place: &Place,
        request: Request<Incoming>,
    ) -> Result<(), Refusal> {
        let since = Instant::now();
        let awaited = Awaited { since, until: since + self.patience };
        let waiting = place.guest().begin();
        let begun = match self.check(&request) {
            Ok(()) => self.begin(place).await,
            Err(refusal) => Err(refusal),
        };
        let (head, body) = request.into_parts();
        let (pieces, _place) = match begun {
            Ok(begun) => begun,
            Err(refusal) => {
                // Who waits for leave to send the body hears of the refusal instead.
                if !head.headers.contains_key(EXPECT) {
                    discard(body);
                }
                return Err(refusal);
            }
        };
        // Held until the request is answered.
        let mut share = self.budget.share();
        let reading = place.guest().read();
        drop(waiting);
        let body = tokio::select! {
            biased;
            body = timeout_at(awaited.until, self.read(body, place, &mut share)) => {
                body.unwrap_or_else(|_elapsed| Err(Refusal::too_slow("the body has not come in time")))?
            }
            () = self.stopped_for(STOP_GRACE) => return Err(Refusal::stopping()),
            () = place.guest().has_to_leave() => {
                return Err(Refusal::too_slow("the body does not come, and others wait for a place"));
            }
        };
        // From here on the client waits, and not the source.
        let _waiting = place.guest().begin();
        drop(reading);
        let encoding = head.headers.get(CONTENT_ENCODING).cloned();
        let (events, _share) = self.clone().understood(body, encoding, share).await?;
        if events.spans.is_empty() {
            return Ok(());
        }
        let (piece, done) = self.piece(client, events, &head.headers, awaited);
        if !self.room.holds(&piece) {
            let message = "the request is larger than what the channels behind take as one unit";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        self.committed(pieces, (piece, done), awaited.until).await
    }

    /// Puts the events of a request and waits until they are committed.
    async fn committed(
        &self,
        pieces: mpsc::Sender<Piece<Waiting>>,
        (piece, done): (Piece<Waiting>, oneshot::Receiver<Result<(), String>>),
        until: Instant,
    ) -> Result<(), Refusal> {
        let committed = async {
            pieces.send(piece).await.ok()?;
            // A stopped source closes its outlet when nobody holds a sender, and sinks commit then.
            drop(pieces);
            done.await.ok()
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

    /// Where the events of a request go, and its place among those that are served at once.
    async fn begin(
        &self,
        place: &Place,
    ) -> Result<(mpsc::Sender<Piece<Waiting>>, SemaphorePermit<'_>), Refusal> {
        let pieces = self.pieces.upgrade().ok_or_else(Refusal::stopping)?;
        let permit = self.after_quiet_bodies(place, || self.places.try_acquire().ok()).await;
        let permit = permit.ok_or_else(|| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "there are too many requests at once")
        })?;
        Ok((pieces, permit))
    }

    /// What could be taken, at once or when quiet clients have left whose bodies have it now. None if nobody's body
    /// has it, or they all get on.
    async fn after_quiet_bodies<Taken>(
        &self,
        place: &Place,
        mut take: impl FnMut() -> Option<Taken>,
    ) -> Option<Taken> {
        let until = Instant::now() + QUIET_BODIES;
        loop {
            let taken = take();
            if taken.is_some() || !place.reads_another() || Instant::now() >= until {
                return taken;
            }
            place.dismiss_a_body();
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep(PAUSE) => {}
            }
        }
    }

    /// Returns this long after the source was stopped, or when it has to end at once.
    pub(super) async fn stopped_for(&self, grace: Duration) {
        self.stop.cancelled().await;
        tokio::select! {
            () = sleep(grace) => {}
            () = self.answering.shutdown() => {}
        }
    }

    /// Refuses what its head shows to be wrong.
    fn check(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        if !self.known.lets_in(request.headers().get(AUTHORIZATION)) {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "who you are is not known here"));
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

    async fn read(
        &self,
        mut incoming: Incoming,
        place: &Place,
        share: &mut Share,
    ) -> Result<Vec<u8>, Refusal> {
        // A body may come in pieces of a byte each, so they are not kept as such.
        let (mut body, mut bytes) = (Limited::new(&mut incoming, self.body_bytes_max), Vec::new());
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => {
                    if share.take(data.len()).is_err() {
                        // Whoever waits for room is not quiet.
                        let _waiting = place.guest().begin();
                        let room = self.after_quiet_bodies(place, || share.take(data.len()).ok()).await;
                        if room.is_none() {
                            discard(incoming);
                            return Err(NoRoom.into());
                        }
                    }
                    bytes.extend_from_slice(&data);
                }
                // Headers behind the body.
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

    /// The events of a body. A long one takes a while, which other connections don't wait for.
    async fn understood(
        self: Arc<Self>,
        body: Vec<u8>,
        encoding: Option<HeaderValue>,
        mut share: Share,
    ) -> Result<(Events, Share), Refusal> {
        let short = body.len() <= SHORT_BODY_BYTES && encoding.is_none();
        let understand = move || {
            let body = self.unpacked(body, encoding.as_ref(), &mut share)?;
            let events = self.format.events(body, self.events_max).map_err(|error| match error {
                BodyError::Json(_) => Refusal::new(StatusCode::BAD_REQUEST, error.to_string()),
                BodyError::TooMany(_) => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            })?;
            Ok((events, share))
        };
        match short {
            true => understand(),
            false => spawn_blocking(understand).await.unwrap_or_else(|error| {
                Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
            }),
        }
    }

    /// The body as it was before it was packed for its way.
    fn unpacked(
        &self,
        body: Vec<u8>,
        encoding: Option<&HeaderValue>,
        share: &mut Share,
    ) -> Result<Vec<u8>, Refusal> {
        let mut packed = match encoding.map(HeaderValue::as_bytes) {
            None | Some(b"" | b"identity") => return Ok(body),
            Some(b"gzip" | b"x-gzip") => {
                Box::new(flate2::read::MultiGzDecoder::new(&body[..])) as Box<dyn Read + '_>
            }
            Some(b"zstd") => match zstd::stream::read::Decoder::with_buffer(&body[..]) {
                Ok(decoder) => Box::new(decoder),
                Err(error) => return Err(Refusal::new(StatusCode::BAD_REQUEST, error.to_string())),
            },
            Some(_) => {
                let message = "the content encodings are gzip and zstd";
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
            }
        };
        let mut unpacked = Vec::new();
        loop {
            let read = packed.by_ref().take(UNPACKED_BYTES).read_to_end(&mut unpacked).map_err(|error| {
                Refusal::new(StatusCode::BAD_REQUEST, format!("the body can't be unpacked: {error}"))
            })?;
            if unpacked.len() > self.body_bytes_max {
                return Err(Refusal::too_long(self.body_bytes_max));
            }
            share.take(read)?;
            if read == 0 {
                return Ok(unpacked);
            }
        }
    }

    fn piece(
        &self,
        client: IpAddr,
        events: Events,
        headers: &HeaderMap,
        awaited: Awaited,
    ) -> (Piece<Waiting>, oneshot::Receiver<Result<(), String>>) {
        let headers = match events.headers {
            Some(headers) => headers.into_iter().map(|headers| headers.into_iter().collect()).collect(),
            None => vec![shown(headers)],
        };
        let (done, waiting) = oneshot::channel();
        let notice = Waiting { done: Some(done), path: self.path.clone(), awaited, headers };
        let time = self.clock.now();
        (Piece { buffer: events.buffer, spans: events.spans, client, time, notice }, waiting)
    }
}

/// Reads what is left of a body that is refused and forgets it, within bounds. Many clients read no answer before
/// they have sent everything, and would find the connection broken. Meanwhile the connection keeps its place, which
/// others may get as if it were quiet.
fn discard(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(DISCARD, async move {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await
            && bytes <= DISCARD_BYTES_MAX
        {
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
    }));
}

/// The headers of a request that events may show; of those of one name the last.
fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = headers.keys().filter(|name| **name != AUTHORIZATION && **name != COOKIE);
    let texts = shown.filter_map(|name| {
        let value = headers.get_all(name).iter().next_back()?;
        Some((name.to_string(), value.to_str().ok()?.to_string()))
    });
    texts.collect()
}
