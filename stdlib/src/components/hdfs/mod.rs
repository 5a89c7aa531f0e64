//! HDFS: the source, which reads closed files, and the sink, which writes files.

mod connection;
mod file_system;
pub(crate) mod repair;
mod security;
mod silence;
pub(crate) mod sink;
pub(crate) mod source;
mod writers;
