//! What the language itself has in the library: functions, parsers, interceptors and types.

pub(crate) mod functions;
pub(crate) mod parsers;
pub(crate) mod types;
