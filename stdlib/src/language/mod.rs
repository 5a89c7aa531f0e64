//! The language's own part of the library: functions, parsers, interceptors and types.

pub(crate) mod functions;
pub(crate) mod parsers;
pub(crate) mod types;
