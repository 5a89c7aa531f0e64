//! What the language itself has in the library: functions, parsers, interceptors and types. Parsers and
//! interceptors have signatures only (`.flow`) so far.

pub(crate) mod functions;
pub(crate) mod types;
