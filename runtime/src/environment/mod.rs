//! The runtime's interfaces to the machine: the time of day, random numbers, threads for blocking calls and for
//! computation, file descriptors, memory, directories on disk. A simulation can replace each of them.

pub(crate) mod blocking;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod memory;
pub(crate) mod random;
pub mod storage;
pub(crate) mod workers;
