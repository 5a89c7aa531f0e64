//! Files on the local disk.

#[cfg(test)]
mod simulation;
pub(crate) mod sink;
pub(crate) mod source;
