//! The measures over HTTP. Whoever asks slowly, at length, or in another protocol is cut off.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::{Metrics, prometheus};

/// So many connections are open at once. For one more, the one that has been silent for longest is closed, so that
/// whoever asks is answered at once.
const CONNECTIONS_MAX: usize = 32;
/// A request's headers take at most this much.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// They arrive within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// And the answer is read within this time.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long it waits when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers `GET /metrics`, `/metrics.json`, `/health` and `/ready`.
pub struct Server {
    listener: StdListener,
}

impl Server {
    /// Takes the port. Requests wait until the server runs.
    ///
    /// # Errors
    /// When it is in use, or not this machine's.
    pub fn bind(address: SocketAddr) -> io::Result<Server> {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Server { listener })
    }

    /// Where it listens; a port of 0 was replaced by a free one.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// When the port can't be listened to.
    pub async fn run(self, metrics: Metrics) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let mut guests = Guests::default();
        loop {
            // A connection that is gone already is no reason to stop, nor is a lack of descriptors.
            let Ok((stream, _)) = listener.accept().await else {
                guests.dismiss_one();
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            guests.make_room();
            let (metrics, has_asked) = (metrics.clone(), Arc::new(AtomicBool::new(false)));
            let task = tokio::spawn(serve(stream, metrics, has_asked.clone())).abort_handle();
            guests.0.push(Guest { task, has_asked });
        }
    }
}

/// The connections that are open, the oldest first.
#[derive(Default)]
struct Guests(Vec<Guest>);

struct Guest {
    task: AbortHandle,
    /// Its request has come.
    has_asked: Arc<AtomicBool>,
}

impl Guests {
    /// Makes room for one more.
    fn make_room(&mut self) {
        self.0.retain(|guest| !guest.task.is_finished());
        if self.0.len() >= CONNECTIONS_MAX {
            self.dismiss_one();
        }
    }

    /// Closes the oldest connection on which no request has come; if there is none, the oldest.
    fn dismiss_one(&mut self) {
        let silent = self.0.iter().position(|guest| !guest.has_asked.load(Ordering::Relaxed));
        if !self.0.is_empty() {
            self.0.remove(silent.unwrap_or(0)).task.abort();
        }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.0.iter().for_each(|guest| guest.task.abort());
    }
}

/// One request and its answer.
async fn serve(stream: TcpStream, metrics: Metrics, has_asked: Arc<AtomicBool>) {
    let service = service_fn(move |request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        let answer = answer(&request, &metrics);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever went wrong with it is the other side's.
    let _: Result<Result<(), hyper::Error>, _> = timeout(CONNECTION_TIMEOUT, connection).await;
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is answered\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => respond(StatusCode::OK, prometheus::CONTENT_TYPE, prometheus::text(metrics.read())),
        "/metrics.json" => match serde_json::to_string(&metrics.read()) {
            Ok(json) => respond(StatusCode::OK, "application/json", json + "\n"),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        "/health" => verdict("healthy", metrics.unhealthy()),
        "/ready" => verdict("ready", metrics.unready()),
        _ => {
            let there = "there are /metrics, /metrics.json, /health and /ready\n";
            respond(StatusCode::NOT_FOUND, TEXT, there.to_owned())
        }
    }
}

/// The good word, or why not, a line for each reason.
fn verdict(good: &str, reasons: Vec<String>) -> Response<Full<Bytes>> {
    let (status, text) = match reasons.is_empty() {
        true => (StatusCode::OK, good.to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n")),
    };
    respond(status, "text/plain; charset=utf-8", text + "\n")
}

fn respond(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
