//! The files of a program: their text, their imports and their syntax errors.

pub(crate) mod modules;
pub(crate) mod sources;
pub(crate) mod syntax;
