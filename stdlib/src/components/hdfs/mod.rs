//! The sink `hdfs`: writes events into files on HDFS.

mod file_system;
pub(crate) mod sink;
