//! Serves the metrics over HTTP. Clients that are slow, send long requests or speak another protocol are disconnected.

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

use super::{Metrics, Readiness, prometheus};

/// The most connections that are open at once. For one more, the oldest connection without a request is closed, so that
/// every request is answered at once.
const CONNECTIONS_MAX: usize = 32;
/// The most bytes of a request's headers.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The time within which a request's headers have to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The time within which the response has to be read.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the server waits before it accepts again after an error, such as a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers `GET /metrics`, `/metrics.json`, `/health` and `/ready`.
pub struct Server {
    listener: StdListener,
}

impl Server {
    /// Binds the address. Requests wait until the server runs.
    ///
    /// # Errors
    /// When the address is in use, or is not an address of this machine.
    pub fn bind(address: SocketAddr) -> io::Result<Server> {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Server { listener })
    }

    /// The address on which the server listens; port 0 is replaced by the chosen port.
    ///
    /// # Errors
    /// When the system does not return the address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until the future is dropped. `/ready` answers 503 when a component is in trouble for longer than the
    /// limit.
    ///
    /// # Errors
    /// When the system can't listen on the address.
    pub async fn run(self, metrics: Metrics, trouble_limit: Duration) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let mut connections = Connections::default();
        loop {
            // Neither an aborted connection nor a lack of descriptors stops the server.
            let Ok((stream, _)) = listener.accept().await else {
                connections.close_one();
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            connections.free_slot();
            let (metrics, has_request) = (metrics.clone(), Arc::new(AtomicBool::new(false)));
            let task =
                tokio::spawn(serve(stream, metrics, trouble_limit, has_request.clone())).abort_handle();
            connections.0.push(Connection { task, has_request });
        }
    }
}

/// The open connections, oldest first.
#[derive(Default)]
struct Connections(Vec<Connection>);

struct Connection {
    task: AbortHandle,
    /// Whether a request has arrived.
    has_request: Arc<AtomicBool>,
}

impl Connections {
    /// Closes one connection if no further one may be opened.
    fn free_slot(&mut self) {
        self.0.retain(|connection| !connection.task.is_finished());
        if self.0.len() >= CONNECTIONS_MAX {
            self.close_one();
        }
    }

    /// Closes the oldest connection without a request, or else the oldest connection.
    fn close_one(&mut self) {
        let silent = self.0.iter().position(|connection| !connection.has_request.load(Ordering::Relaxed));
        if !self.0.is_empty() {
            self.0.remove(silent.unwrap_or(0)).task.abort();
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.0.iter().for_each(|connection| connection.task.abort());
    }
}

/// Answers the one request of a connection.
async fn serve(stream: TcpStream, metrics: Metrics, trouble_limit: Duration, has_request: Arc<AtomicBool>) {
    let service = service_fn(move |request: Request<Incoming>| {
        has_request.store(true, Ordering::Relaxed);
        let answer = answer(&request, &metrics, trouble_limit);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // An error on a connection concerns only the client.
    let _: Result<Result<(), hyper::Error>, _> = timeout(CONNECTION_TIMEOUT, connection).await;
}

fn answer(request: &Request<Incoming>, metrics: &Metrics, trouble_limit: Duration) -> Response<Full<Bytes>> {
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
        "/health" => verdict("healthy", metrics.unhealthy(), &[]),
        "/ready" => {
            let Readiness { reasons, remarks } = metrics.readiness(trouble_limit);
            verdict("ready", reasons, &remarks)
        }
        _ => {
            let there = "there are /metrics, /metrics.json, /health and /ready\n";
            respond(StatusCode::NOT_FOUND, TEXT, there.to_owned())
        }
    }
}

/// Responds with `ok_text`, or with status 503 and the reasons against it, one on each line. The remarks follow.
fn verdict(ok_text: &str, reasons: Vec<String>, remarks: &[String]) -> Response<Full<Bytes>> {
    let (status, mut lines) = match reasons.is_empty() {
        true => (StatusCode::OK, vec![ok_text.to_owned()]),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons),
    };
    lines.extend_from_slice(remarks);
    respond(status, "text/plain; charset=utf-8", lines.join("\n") + "\n")
}

fn respond(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
