//! The messages of a client over a pair of streams, framed as the base protocol of the Language Server Protocol says.
//!
//! The threads of `lsp-server` allocate as much as a header announces; here, memory grows with the bytes that arrive, up to
//! a limit.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use lsp_server::{Connection, Message};

/// The largest message, in bytes.
const MESSAGE_BYTES_MAX: u64 = 64 << 20;
/// The largest header section of a message, in bytes.
const HEADER_BYTES_MAX: u64 = 4096;

/// The threads that read and write the messages of a connection.
#[derive(Debug)]
pub struct Threads {
    reader: JoinHandle<io::Result<()>>,
    writer: JoinHandle<io::Result<()>>,
}

impl Threads {
    /// Waits until the client has ended its side and all messages are written. The connection has to be dropped before.
    ///
    /// # Errors
    /// Returns what was wrong with the client's messages, or why they could not be read or written.
    pub fn join(self) -> io::Result<()> {
        let written = outcome(self.writer);
        outcome(self.reader).and(written)
    }

    /// Returns why the client's messages could not be read, if reading has ended with an error. Does not wait.
    pub fn reading_error(self) -> Option<io::Error> {
        self.reader.is_finished().then(|| outcome(self.reader).err()).flatten()
    }
}

fn outcome(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the connection has panicked")))
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
    let (sender, sent) = bounded(0);
    let reader = std::thread::Builder::new().name("lsp-reader".to_owned());
    let reader = reader.spawn(move || read_messages(BufReader::new(input), &received))?;
    let writer = std::thread::Builder::new().name("lsp-writer".to_owned());
    let writer = writer.spawn(move || write_messages(output, &sent))?;
    Ok((Connection { sender, receiver }, Threads { reader, writer }))
}

fn read_messages(mut input: impl BufRead, received: &Sender<Message>) -> io::Result<()> {
    while let Some(message) = read_message(&mut input)? {
        let is_last = matches!(&message, Message::Notification(sent) if sent.method == "exit");
        if received.send(message).is_err() || is_last {
            break;
        }
    }
    Ok(())
}

fn write_messages(mut output: impl Write, sent: &Receiver<Message>) -> io::Result<()> {
    sent.iter().try_for_each(|message| message.write(&mut output))
}

/// Reads one message. Returns `None` at the end of the input.
fn read_message(input: &mut impl BufRead) -> io::Result<Option<Message>> {
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
    let message = serde_json::from_slice(&body);
    message.map(Some).map_err(|error| invalid(format!("a message is not valid: {error}")))
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

    fn framed(body: &str) -> Vec<u8> {
        format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn error(input: impl AsRef<[u8]>) -> String {
        read_message(&mut input.as_ref()).unwrap_err().to_string()
    }

    #[test]
    fn messages_are_read_until_the_input_ends() {
        let mut input = framed(HOVER);
        let body = r#"{"method":"exit"}"#;
        let other = format!("content-type: x\r\nCONTENT-LENGTH:{}\r\n\r\n{body}", body.len());
        input.extend_from_slice(other.as_bytes());
        let mut input = input.as_slice();
        assert!(matches!(read_message(&mut input).unwrap(), Some(Message::Request(_))));
        assert!(matches!(read_message(&mut input).unwrap(), Some(Message::Notification(_))));
        assert!(read_message(&mut input).unwrap().is_none());
    }

    #[test]
    fn frames_that_are_broken_are_refused_in_bounded_memory() {
        let refused = [
            error("Content-Length: 18446744073709551615\r\n\r\n{}"),
            error("Content-Length: 60000000\r\n\r\n{}"),
            error("Content-Length: -1\r\n\r\n{}"),
            error("Content-Type: x\r\n\r\n{}"),
            error("Content-Length 5\r\n\r\n{}"),
            error("Content-Length: 5\n\n{}"),
            error(vec![b'a'; 100_000]),
            error("a: b\r\n".repeat(10_000)),
            error(framed("{")),
            error(framed("\u{fffd}")),
            error(framed("[]")),
            error(framed(&"[".repeat(100_000))),
            error(b"Content-Length: 2\r\n\r\n\xff\xfe"),
            error("Content-Length: 2\r\n"),
        ];
        let shown: Vec<String> = refused.iter().map(|message| message.chars().take(110).collect()).collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn a_connection_ends_with_the_reason() {
        let (connection, threads) = connect(framed("{").leak() as &[u8], io::sink()).unwrap();
        assert!(connection.receiver.recv().is_err());
        while !threads.reader.is_finished() {
            std::thread::yield_now();
        }
        assert!(threads.reading_error().unwrap().to_string().contains("not valid"));
    }
}
