//! A port of this process that forwards connections to a server, and can do with them what networks do.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

/// The wait before a change of the network is looked for.
const TICK: Duration = Duration::from_millis(5);

/// What a slow network lets through at once, in bytes, and how long it takes.
const SLOW_BYTES: usize = 4 << 10;
const SLOW_TIME: Duration = Duration::from_millis(20);

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// They are forwarded.
    Fine,
    /// They are accepted and stay open, and no byte comes through. What was sent comes later.
    Stalled,
    /// Bytes come through slowly.
    Slow,
    /// They are cut, and nobody listens.
    Down,
}

/// Forwards connections to a server until the process ends.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    network: Mutex<Network>,
    open: Mutex<Vec<Connection>>,
}

/// Both ends of a connection.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Whether the client's end stays open although the other one is gone.
    is_forgotten: Arc<AtomicBool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Forwarder {
    /// Begins to forward connections to this server, from any port.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn to(server: SocketAddr) -> Forwarder {
        Forwarder::between(SocketAddr::from(([127, 0, 0, 1], 0)), server)
    }

    /// Begins to forward connections from this port to this server.
    ///
    /// # Panics
    ///
    /// When the port is taken.
    pub fn between(address: SocketAddr, server: SocketAddr) -> Forwarder {
        let listener = listen(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().expect("it has an address");
        let state = Arc::new(State { network: Mutex::new(Network::Fine), open: Mutex::default() });
        let of_thread = state.clone();
        thread::spawn(move || accept(listener, address, server, &of_thread));
        Forwarder { address, state }
    }

    /// Returns the address to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets the network become like this.
    pub fn become_like(&self, network: Network) {
        *lock(&self.state.network) = network;
        if network == Network::Down {
            self.cut();
        }
    }

    /// Cuts all connections. New ones are forwarded.
    pub fn cut(&self) {
        for Connection { client, server, .. } in lock(&self.state.open).drain(..) {
            for end in [client, server] {
                // The connection may have ended.
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }

    /// Forgets all connections, as a router does that was started again: the server sees their ends, and the clients nothing at all. New
    /// ones are forwarded.
    pub fn forget(&self) {
        for Connection { server, is_forgotten, .. } in &*lock(&self.state.open) {
            is_forgotten.store(true, Ordering::Release);
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts connections while the network is not down.
fn accept(listener: TcpListener, address: SocketAddr, server: SocketAddr, state: &Arc<State>) {
    let mut listener = Some(listener);
    loop {
        if *lock(&state.network) == Network::Down {
            listener = None;
            sleep(TICK);
            continue;
        }
        let Some(listening) = &listener else {
            listener = listen(address).ok();
            continue;
        };
        match listening.accept() {
            Ok((client, _)) => {
                // A client whose server is gone sees its connection closed.
                if let Ok(connection) = forward(client, server, state) {
                    lock(&state.open).push(connection);
                }
            }
            Err(_) => sleep(TICK),
        }
    }
}

/// Starts a thread for each direction.
fn forward(client: TcpStream, server: SocketAddr, state: &Arc<State>) -> io::Result<Connection> {
    client.set_nonblocking(false)?;
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let is_forgotten = Arc::<AtomicBool>::default();
    for (mut from, mut to) in
        [(client.try_clone()?, server.try_clone()?), (server.try_clone()?, client.try_clone()?)]
    {
        let (state, is_forgotten) = (state.clone(), is_forgotten.clone());
        thread::spawn(move || {
            // Either side may close the connection at any time.
            let _ = pass(&mut from, &mut to, &state, &is_forgotten);
            if !is_forgotten.load(Ordering::Acquire) {
                let _ = to.shutdown(Shutdown::Write);
            }
        });
    }
    Ok(Connection { client, server, is_forgotten })
}

/// Passes bytes on as the network does. What a forgotten client sends is lost.
fn pass(
    from: &mut TcpStream,
    to: &mut TcpStream,
    state: &State,
    is_forgotten: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let most = match *lock(&state.network) {
            Network::Slow => SLOW_BYTES,
            _ => bytes.len(),
        };
        let count = from.read(&mut bytes[..most])?;
        if count == 0 {
            return Ok(());
        }
        while *lock(&state.network) == Network::Stalled && !is_forgotten.load(Ordering::Acquire) {
            sleep(TICK);
        }
        if *lock(&state.network) == Network::Slow {
            sleep(SLOW_TIME);
        }
        if !is_forgotten.load(Ordering::Acquire) {
            to.write_all(&bytes[..count])?;
        }
    }
}
