//! Tests of the server over a connection in memory, as an editor talks to it.

mod actions;
mod client;
mod completion_requests;
mod completions;
mod diagnostics;
mod hostile;
mod hovers;
mod positions;
mod random_edits;
mod renames;
mod requests;
mod test_runs;
