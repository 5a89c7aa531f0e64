//! Addresses of this machine.

use std::net::{SocketAddr, TcpListener};

/// Returns a loopback address with a free port.
///
/// # Panics
///
/// When no port is free.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address")
}
