//! Names: what each means in each file, where it is used, and what is made of itself.

pub(crate) mod cycles;
pub(crate) mod definitions;
pub(crate) mod scopes;
pub(crate) mod unread;
pub(crate) mod uses;
pub(crate) mod visit;
