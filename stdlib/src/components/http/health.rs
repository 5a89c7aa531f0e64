//! Answers load balancers that ask whether the source takes requests.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};

/// Returns whether a request asks for the source's health, at this path.
pub(super) fn is_asked<B>(request: &Request<B>, path: Option<&str>) -> bool {
    path == Some(request.uri().path()) && [Method::GET, Method::HEAD].contains(request.method())
}

/// Returns the answer: 200 while the source takes requests, and 503 when it is being stopped.
pub(super) fn answer(is_stopping: bool) -> Response<Full<Bytes>> {
    let (status, text) = match is_stopping {
        true => (StatusCode::SERVICE_UNAVAILABLE, "the source is being stopped\n"),
        false => (StatusCode::OK, "the source takes requests\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
