//! Tests of the server over a connection in memory, as an editor talks to it.

mod client;
mod diagnostics;
mod hostile;
mod positions;
mod requests;
