//! The Hadoop file system.

mod file_system;
pub(crate) mod sink;
