//! A port of this process that forwards connections to a server, and can cut them.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Forwards connections to a server until the process ends.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Forwarder {
    /// Begins to forward connections to this server.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn to(server: SocketAddr) -> Forwarder {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let connections = open.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client whose server is gone sees its connection closed.
                if let Ok(ends) = forward(client, server) {
                    connections.lock().unwrap_or_else(PoisonError::into_inner).extend(ends);
                }
            }
        });
        Forwarder { address, open }
    }

    /// Returns the address to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections. New ones are forwarded.
    pub fn cut(&self) {
        for end in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // The connection may have ended.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Starts a thread for each direction, and returns both ends.
fn forward(client: TcpStream, server: SocketAddr) -> io::Result<[TcpStream; 2]> {
    let server = TcpStream::connect(server)?;
    let ends = [client.try_clone()?, server.try_clone()?];
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        thread::spawn(move || {
            // Either side may close the connection at any time.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(ends)
}
