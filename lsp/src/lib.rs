//! The language server of Weir: answers the requests of editors (Language Server Protocol 3.18).
//!
//! [`serve`] talks to one editor over one connection. It runs in one thread: a message is handled completely before the
//! next one, so that each answer belongs to exactly one state of the text. A change of a text marks the programs that
//! read it, and these programs are checked again as a whole.
//!
//! This crate must not know what the compiler knows: it asks the [`Analysis`](weir_compiler::Analysis), and translates
//! places and answers into the protocol. It opens no file; texts come from the editor and from a [`Disk`].

mod capabilities;
mod disk;
mod dispatch;
mod documents;
mod edits;
mod initialization;
mod library_documents;
mod markdown;
mod places;
mod positions;
mod programs;
mod progress;
mod publishing;
mod queue;
mod requests;
mod running;
mod server;
mod session;
mod settings;
pub mod stdio;
#[cfg(test)]
mod tests;
mod uris;

pub use disk::{Disk, MissedPart, RanTests, RequestedTest, RunTest};
pub use lsp_server::Connection;
pub use server::{Ended, ServeError, serve};
