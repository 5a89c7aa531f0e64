//! Files on the local disk.

mod lines;
pub(crate) mod source;
