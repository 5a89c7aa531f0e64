//! Tools that several components share: none of them is a component, and none knows one.

pub(crate) mod buffers;
pub(crate) mod due;
pub(crate) mod file_writer;
pub(crate) mod lines;
pub(crate) mod listener;
pub(crate) mod secrets;
pub(crate) mod template;
