//! What a program as a whole must keep, and how it is shown that it does.

pub(crate) mod amounts;
pub(crate) mod delivery;
pub(crate) mod resources;
