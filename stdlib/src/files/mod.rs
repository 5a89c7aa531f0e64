//! Files on the local disk.

mod lines;
pub(crate) mod sink;
pub(crate) mod source;
