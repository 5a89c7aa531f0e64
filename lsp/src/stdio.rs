//! The messages of a client over a pair of streams, framed as the base protocol of the Language Server Protocol says.
//!
//! The threads of `lsp-server` allocate as much as a header announces; here, memory grows with the bytes that arrive, up to
//! a limit.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use lsp_server::{Connection, ErrorCode, Message};
use serde_json::{Value, json};

/// The largest message, in bytes.
const MESSAGE_BYTES_MAX: u64 = 64 << 20;
/// The largest header section of a message, in bytes.
const HEADER_BYTES_MAX: u64 = 4096;

/// The threads that read and write the messages of a connection.
#[derive(Debug)]
pub struct Threads {
    reader: JoinHandle<()>,
    writer: JoinHandle<io::Result<()>>,
    /// Why reading has ended. It is there before the connection's receiver is closed.
    reading: Arc<Mutex<Option<io::Error>>>,
}

impl Threads {
    /// Waits until the client has ended its side and all messages are written. The connection has to be dropped before.
    ///
    /// # Errors
    /// Returns what was wrong with the client's messages, or why they could not be read or written.
    pub fn join(self) -> io::Result<()> {
        let panicked = |_| io::Error::other("a thread of the connection has panicked");
        let written = self.writer.join().map_err(panicked)?;
        self.reader.join().map_err(panicked)?;
        lock(&self.reading).take().map_or(written, Err)
    }

    /// Returns why the client's messages could not be read, if reading has ended with an error. Does not wait.
    pub fn reading_error(self) -> Option<io::Error> {
        lock(&self.reading).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects with a client that writes to `input` and reads from `output`.
///
/// # Errors
/// Returns an error if the system starts no thread.
pub fn connect(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
) -> io::Result<(Connection, Threads)> {
    // A channel without a buffer: a client that sends faster than the server handles has to wait.
    let (received, receiver) = bounded(0);
    let (sender, sent) = bounded::<Message>(0);
    let output = Arc::new(Mutex::new(output));
    let reading = Arc::new(Mutex::new(None));
    let (outcome, refusals) = (reading.clone(), output.clone());
    let reader = std::thread::Builder::new().name("lsp-reader".to_owned()).spawn(move || {
        let refuse = |refusal: &Refusal| refusal.write(&mut *lock(&refusals));
        *lock(&outcome) = read_messages(BufReader::new(input), &received, refuse).err();
        drop(received);
    })?;
    let writer = std::thread::Builder::new()
        .name("lsp-writer".to_owned())
        .spawn(move || sent.iter().try_for_each(|message| message.write(&mut *lock(&output))))?;
    Ok((Connection { sender, receiver }, Threads { reader, writer, reading }))
}

/// Reads messages until the input or the session ends. A body that is no message is refused, and the next one is read.
fn read_messages(
    mut input: impl BufRead,
    received: &Sender<Message>,
    mut refuse: impl FnMut(&Refusal) -> io::Result<()>,
) -> io::Result<()> {
    while let Some(body) = read_body(&mut input)? {
        let message = match message(&body) {
            Ok(message) => message,
            Err(refusal) => {
                refuse(&refusal)?;
                continue;
            }
        };
        let is_last = matches!(&message, Message::Notification(sent) if sent.method == "exit");
        if received.send(message).is_err() || is_last {
            break;
        }
    }
    Ok(())
}

/// The answer to a body that is no message.
#[derive(Debug)]
struct Refusal {
    /// The identity of the request; null if it has none.
    id: Value,
    code: ErrorCode,
    message: String,
}

impl Refusal {
    /// Writes the answer. `lsp-server` knows no answers with such identities.
    fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let error = json!({ "code": self.code as i32, "message": self.message });
        let body = json!({ "jsonrpc": "2.0", "id": self.id, "error": error }).to_string();
        write!(output, "Content-Length: {}\r\n\r\n{body}", body.len())?;
        output.flush()
    }
}

/// Reads a message from its body.
fn message(body: &[u8]) -> Result<Message, Refusal> {
    let refused = |id, code, message| Refusal { id, code, message };
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| refused(Value::Null, ErrorCode::ParseError, format!("no JSON: {error}")))?;
    let id = value.get("id").cloned();
    let message = serde_json::from_value::<Message>(value);
    match (message, id) {
        // An identity that is neither text nor a 32-bit number makes a request look like a notification.
        (Ok(Message::Notification(_)) | Err(_), Some(id)) => {
            let message = "a request has a method, and an `id` that is a text or a 32-bit integer";
            Err(refused(id, ErrorCode::InvalidRequest, message.to_owned()))
        }
        (Ok(message), _) => Ok(message),
        (Err(_), None) => {
            let message = "neither a request, nor a response, nor a notification";
            Err(refused(Value::Null, ErrorCode::InvalidRequest, message.to_owned()))
        }
    }
}

/// Reads the body of one message. Returns `None` at the end of the input.
fn read_body(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = read_header(&mut input.by_ref().take(HEADER_BYTES_MAX))? else { return Ok(None) };
    if length > MESSAGE_BYTES_MAX {
        return Err(invalid(format!(
            "a message is announced with {length} bytes, and {MESSAGE_BYTES_MAX} is the most"
        )));
    }
    let mut body = Vec::new();
    let count = input.by_ref().take(length).read_to_end(&mut body)?;
    if (count as u64) < length {
        return Err(invalid(format!("the input ends after {count} of {length} bytes of a message")));
    }
    Ok(Some(body))
}

/// Reads the header section of a message, and returns the length of its body in bytes.
fn read_header(input: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut length = None;
    let mut line = Vec::new();
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    loop {
        line.clear();
        input.read_until(b'\n', &mut line)?;
        let Some(field) = line.strip_suffix(b"\r\n") else {
            let start = String::from_utf8_lossy(&line[..line.len().min(80)]);
            return Err(invalid(format!("a line of a header does not end with CRLF: {start:?}")));
        };
        if field.is_empty() {
            return length.map(Some).ok_or_else(|| invalid("a header has no Content-Length".to_owned()));
        }
        let field = String::from_utf8_lossy(field);
        let Some((name, value)) = field.split_once(':') else {
            return Err(invalid(format!("a line of a header has no colon: {field:?}")));
        };
        if name.eq_ignore_ascii_case("Content-Length") {
            let value = value.trim();
            let parsed = value.parse().map_err(|_| invalid(format!("Content-Length is {value:?}")))?;
            length = Some(parsed);
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOVER: &str = r#"{"jsonrpc":"2.0","id":1,"method":"textDocument/hover","params":{}}"#;

    fn framed(body: &[u8]) -> Vec<u8> {
        [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    }

    #[test]
    fn messages_are_read_until_the_session_ends() {
        let mut input = framed(HOVER.as_bytes());
        let body = r#"{"method":"exit"}"#;
        let other = format!("content-type: x\r\nCONTENT-LENGTH:{}\r\n\r\n{body}", body.len());
        input.extend_from_slice(other.as_bytes());
        input.extend_from_slice(b"never read");
        let (connection, threads) = connect(input.leak() as &[u8], io::sink()).unwrap();
        assert!(matches!(connection.receiver.recv().unwrap(), Message::Request(_)));
        assert!(matches!(connection.receiver.recv().unwrap(), Message::Notification(_)));
        assert!(connection.receiver.recv().is_err());
        drop(connection);
        threads.join().unwrap();
    }

    #[test]
    fn broken_frames_end_the_connection_in_bounded_memory() {
        let error = |input: &[u8]| {
            let (connection, threads) = connect(input.to_vec().leak() as &[u8], io::sink()).unwrap();
            assert!(connection.receiver.recv().is_err());
            threads.reading_error().unwrap().to_string().chars().take(110).collect::<String>()
        };
        let refused = [
            error(b"Content-Length: 18446744073709551615\r\n\r\n{}"),
            error(b"Content-Length: 60000000\r\n\r\n{}"),
            error(b"Content-Length: -1\r\n\r\n{}"),
            error(b"Content-Type: x\r\n\r\n{}"),
            error(b"Content-Length 5\r\n\r\n{}"),
            error(b"Content-Length: 5\n\n{}"),
            error(&[b'a'; 100_000]),
            error("a: b\r\n".repeat(10_000).as_bytes()),
            error(b"Content-Length: 2\r\n"),
        ];
        insta::assert_snapshot!(refused.join("\n"));
    }

    #[test]
    fn bodies_that_are_no_messages_are_refused_and_the_next_one_is_read() {
        let deep = "[".repeat(100_000);
        let bodies: [&[u8]; 11] = [
            b"{",
            b"\xff\xfe",
            deep.as_bytes(),
            b"[]",
            b"null",
            b"{}",
            br#"{"id":2147483648,"method":"a"}"#,
            br#"{"id":1.5,"method":"a"}"#,
            br#"{"id":null,"method":"a"}"#,
            br#"{"id":[],"method":"a"}"#,
            br#"{"id":"x","params":{}}"#,
        ];
        let mut input: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        input.extend(framed(HOVER.as_bytes()));
        let (received, receiver) = bounded(1);
        let mut refused = Vec::new();
        let refuse = |refusal: &Refusal| refusal.write(&mut refused);
        read_messages(&input[..], &received, refuse).unwrap();
        assert!(matches!(receiver.recv().unwrap(), Message::Request(_)));
        let refused = String::from_utf8(refused).unwrap();
        insta::assert_snapshot!(
            refused.replace("\r\n\r\n", " ").replace("Content-Length", "\nContent-Length")
        );
    }
}
