//! A connection, protected or not.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::places::Guest;
use crate::tools::buffers::Buffers;

/// About how much is read at once.
const READ_BYTES: usize = 256 << 10;

/// At most so much is copied at each read.
const COPIED_BYTES_MAX: usize = 4 << 10;

/// A connection, whose guest is heard with each byte.
pub(crate) struct Connection {
    stream: Stream,
    guest: Arc<Guest>,
}

/// What its bytes come through.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn new(stream: Stream, guest: Arc<Guest>) -> Connection {
        Connection { stream, guest }
    }

    /// Waits for bytes and appends them; none at the end of the connection. Dropping the future loses none.
    ///
    /// Meanwhile `kept` has no more memory than its bytes need, so that a connection on which nothing comes
    /// holds nothing.
    pub(crate) async fn read_onto(&mut self, kept: &mut Vec<u8>, buffers: &Buffers) -> io::Result<usize> {
        read_onto(self, kept, buffers).await
    }
}

/// Little is copied into a large buffer that is read on into. More is not copied at each read, since a client may
/// send its bytes one by one: what was read is appended to it.
async fn read_onto(
    connection: &mut (impl AsyncRead + Unpin),
    kept: &mut Vec<u8>,
    buffers: &Buffers,
) -> io::Result<usize> {
    poll_fn(|context| {
        if kept.len() <= COPIED_BYTES_MAX {
            buffers.make_room(kept, READ_BYTES);
            let read = pin!(connection.read_buf(kept)).poll(context);
            buffers.fit(kept);
            return read;
        }
        let mut behind = buffers.take(READ_BYTES);
        let read = pin!(connection.read_buf(&mut behind)).poll(context);
        kept.extend_from_slice(&behind);
        buffers.give_back(behind);
        read
    })
    .await
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Connection { stream, guest } = self.get_mut();
        let before = buffer.filled().len();
        let read = match stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            guest.brought(bytes);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that sends so many bytes with each read.
    struct Trickle {
        bytes: usize,
        left: usize,
    }

    impl AsyncRead for Trickle {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let bytes = self.bytes.min(self.left).min(buffer.remaining());
            self.left -= bytes;
            buffer.put_slice(&vec![b'x'; bytes]);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_not_copied_at_each_read() {
        let buffers = Buffers::default();
        let (mut kept, mut moved) = (Vec::new(), 0);
        let mut client = Trickle { bytes: 1, left: 200_000 };
        loop {
            let (memory, length) = (kept.as_ptr(), kept.len());
            if read_onto(&mut client, &mut kept, &buffers).await.unwrap() == 0 {
                break;
            }
            // Into the large buffer and back, or into a larger vector.
            moved += if kept.as_ptr() == memory { 0 } else { 2 * length };
        }
        assert_eq!(kept.len(), 200_000);
        assert!(moved <= 2 * COPIED_BYTES_MAX * COPIED_BYTES_MAX + 10 * 200_000, "{moved} bytes were copied");
        assert!(kept.capacity() <= 2 * kept.len());
    }

    #[tokio::test]
    async fn much_is_read_at_once_in_whichever_way() {
        let buffers = Buffers::default();
        for begun in [0, COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1] {
            let mut kept = vec![b'x'; begun];
            let mut client = Trickle { bytes: 1 << 20, left: 100_000 };
            assert_eq!(read_onto(&mut client, &mut kept, &buffers).await.unwrap(), 100_000);
            assert_eq!(kept, vec![b'x'; begun + 100_000]);
        }
    }
}
