//! Files on the local disk.

pub(crate) mod sink;
