//! Names: their meanings in each file, their uses, and cycles of declarations.

pub(crate) mod cycles;
pub(crate) mod definitions;
pub(crate) mod scopes;
pub(crate) mod unread;
pub(crate) mod uses;
pub(crate) mod visit;
