//! The files of a program: their text, what they import, and what is wrong with their syntax.

pub(crate) mod modules;
pub(crate) mod sources;
pub(crate) mod syntax;
