//! A client's connection, with TLS or without.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::eviction::Activity;
use crate::tools::buffers::Buffers;

/// About how many bytes one read takes.
const READ_BYTES: usize = 256 << 10;

/// The most bytes of an incomplete event that a read copies into a new buffer.
const COPIED_BYTES_MAX: usize = 4 << 10;

/// A connection that notes in its [`Activity`] when bytes are received.
pub(crate) struct Connection {
    stream: Stream,
    activity: Arc<Activity>,
}

/// The socket of a connection, with TLS or without.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn new(stream: Stream, activity: Arc<Activity>) -> Connection {
        Connection { stream, activity }
    }

    /// Waits for bytes and appends them to `kept`. Returns how many they are, 0 at the end of the connection.
    /// Dropping the future loses no bytes.
    ///
    /// While the future waits, `kept` has no more memory than its bytes need, so an idle connection holds no buffer.
    pub(crate) async fn read_onto(&mut self, kept: &mut Vec<u8>, buffers: &Buffers) -> io::Result<usize> {
        read_onto(self, kept, buffers).await
    }
}

/// Reads into a large buffer. If `kept` is short, its bytes are copied to the front of that buffer. If it is long,
/// the bytes read are appended to it instead: a client may send its bytes one by one, and `kept` must not be copied
/// for each of them.
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
        let mut buffer = buffers.take(READ_BYTES);
        let read = pin!(connection.read_buf(&mut buffer)).poll(context);
        kept.extend_from_slice(&buffer);
        buffers.give_back(buffer);
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
        let Connection { stream, activity } = self.get_mut();
        let before = buffer.filled().len();
        let read = match stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            activity.received(bytes);
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

    /// A client of which each read returns `bytes` bytes, until none of `left` are left.
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
    async fn kept_bytes_are_not_copied_at_each_read() {
        let buffers = Buffers::default();
        let (mut kept, mut moved) = (Vec::new(), 0);
        let mut client = Trickle { bytes: 1, left: 200_000 };
        loop {
            let (memory, length) = (kept.as_ptr(), kept.len());
            if read_onto(&mut client, &mut kept, &buffers).await.unwrap() == 0 {
                break;
            }
            // The bytes were copied into the large buffer and back, or into a larger vector.
            moved += if kept.as_ptr() == memory { 0 } else { 2 * length };
        }
        assert_eq!(kept.len(), 200_000);
        assert!(moved <= 2 * COPIED_BYTES_MAX * COPIED_BYTES_MAX + 10 * 200_000, "{moved} bytes were copied");
        assert!(kept.capacity() <= 2 * kept.len());
    }

    #[tokio::test]
    async fn one_read_takes_many_bytes_whether_few_or_many_are_kept() {
        let buffers = Buffers::default();
        for kept_before in [0, COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1] {
            let mut kept = vec![b'x'; kept_before];
            let mut client = Trickle { bytes: 1 << 20, left: 100_000 };
            assert_eq!(read_onto(&mut client, &mut kept, &buffers).await.unwrap(), 100_000);
            assert_eq!(kept, vec![b'x'; kept_before + 100_000]);
        }
    }
}
