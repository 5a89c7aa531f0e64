//! Tests against a server that gives the answers of a registry.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use weir_plan::SecretReference;

use super::*;

/// Serves one connection for each answer. Returns the address, and the requests when all are answered.
async fn registry(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // The body is the end of a request.
            while !request.ends_with(b"}") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            requests.push(String::from_utf8(request).unwrap());
        }
        requests
    });
    (url, serving)
}

fn settings(url: &str, missing: MissingSchema) -> SchemaRegistry {
    let (url, subject) = (url.to_owned(), "web/clicks-value".to_owned());
    SchemaRegistry { url, subject, missing, user: None, password: None, ca: None }
}

/// Returns the failure of asking a registry that gives this answer.
async fn failure(answer: &'static str) -> Failure {
    let (url, _serving) = registry(vec![answer]).await;
    settings(&url, MissingSchema::Refuse).number("{}").await.unwrap_err().into_failure()
}

#[tokio::test]
async fn a_schema_is_registered_or_looked_up() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"id\":77}";
    let (url, serving) = registry(vec![answer, answer]).await;
    let mut registry = settings(&url, MissingSchema::Register);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hush").unwrap();
    registry.user = Some("weir".to_owned());
    registry.password = Some(SecretReference::File(file.path().to_string_lossy().into_owned()));
    assert_eq!(registry.number("{\"type\":\"string\"}").await.unwrap(), 77);
    assert_eq!(settings(&url, MissingSchema::Refuse).number("\"int\"").await.unwrap(), 77);
    let requests = serving.await.unwrap();
    assert!(
        requests[0].starts_with("POST /api/subjects/web%2Fclicks%2Dvalue/versions HTTP/1.1\r\n"),
        "{requests:?}"
    );
    assert!(requests[0].ends_with("\r\n\r\n{\"schema\":\"{\\\"type\\\":\\\"string\\\"}\"}"), "{requests:?}");
    assert!(requests[0].contains("authorization: Basic d2VpcjpodXNo\r\n"), "{requests:?}");
    assert!(requests[1].starts_with("POST /api/subjects/web%2Fclicks%2Dvalue HTTP/1.1\r\n"), "{requests:?}");
}

#[tokio::test]
async fn a_check_registers_nothing() {
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 55\r\n\r\n\
                   {\"error_code\":40401,\"message\":\"Subject 'x' not found.\"}";
    let (url, serving) = registry(vec![missing, missing]).await;
    settings(&url, MissingSchema::Register).look_up("\"int\"").await.unwrap();
    let error = settings(&url, MissingSchema::Refuse).look_up("\"int\"").await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "`registry`: {url} has no such schema for the subject \"web/clicks-value\": Subject 'x' not found: register it \
             there, or set `missing: register`"
        )
    );
    for request in serving.await.unwrap() {
        assert!(!request.contains("/versions"), "{request}");
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let incompatible = failure(
        "HTTP/1.1 409 Conflict\r\nContent-Length: 58\r\n\r\n{\"error_code\":409,\"message\":\"Incompatible with version 3\"}",
    )
    .await;
    assert!(incompatible.is_permanent() && incompatible.to_string().contains("Incompatible with version 3"));
    let stranger = failure("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello").await;
    assert!(
        stranger.is_permanent() && stranger.to_string().contains("is it the address of a schema registry?")
    );
    let nobody = failure("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((nobody.is_permanent(), nobody.cause()), (false, Cause::NotAuthorised));
    let trouble = failure("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((trouble.is_permanent(), trouble.cause()), (false, Cause::Protocol));
    let rubbish = failure("220 mail.example.org ESMTP\r\n").await;
    assert_eq!((rubbish.is_permanent(), rubbish.cause()), (false, Cause::Protocol));
    let number = failure("HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"id\": 4294967296}").await;
    assert!(number.is_permanent(), "{number}");
}

#[tokio::test]
async fn a_registry_that_is_not_there_may_come_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = settings(&url, MissingSchema::Register).number("{}").await.unwrap_err().into_failure();
    assert_eq!((failure.is_permanent(), failure.cause()), (false, Cause::Refused));
    let unknown = settings("http://registry.invalid:8081", MissingSchema::Register).number("{}").await;
    let failure = unknown.unwrap_err().into_failure();
    assert_eq!((failure.is_permanent(), failure.cause()), (false, Cause::NoSuchHost), "{failure}");
    let no_address = settings("registry:8081", MissingSchema::Register).number("{}").await.unwrap_err();
    assert!(no_address.into_failure().is_permanent());
}

#[tokio::test]
async fn the_connection_is_protected_by_tls() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"id\":1}").await.unwrap();
        // The next connection is answered without TLS.
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_buf(&mut request).await.unwrap();
    });
    let mut registry = settings(&url, MissingSchema::Register);
    registry.ca = Some(authority.path().to_string_lossy().into_owned());
    assert_eq!(registry.number("{}").await.unwrap(), 1);
    let failure = registry.number("{}").await.unwrap_err().into_failure();
    assert_eq!((failure.is_permanent(), failure.cause()), (false, Cause::Tls), "{failure}");
    serving.await.unwrap();
    registry.ca = Some("/nowhere/ca.pem".to_owned());
    let error = registry.number("{}").await.unwrap_err().into_failure();
    assert!(error.is_permanent(), "{error}");
    assert!(error.to_string().starts_with("`ca` of `registry`: /nowhere/ca.pem can't be read: "), "{error}");
}
