//! Files on the local disk.

pub(crate) mod sink;
pub(crate) mod source;
