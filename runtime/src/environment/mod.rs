//! What the runtime needs of the machine: the time of day, random numbers, threads for blocking and for
//! computing work, file descriptors, directories on disk. A simulation replaces each of them.

pub(crate) mod blocking;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod random;
pub mod storage;
pub(crate) mod workers;
