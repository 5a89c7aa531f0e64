//! Code that several components share. It must not know any component.

pub(crate) mod arrived;
pub(crate) mod buffers;
pub(crate) mod deadline;
pub(crate) mod departure;
pub(crate) mod encoding;
pub(crate) mod file_writer;
#[cfg(any(feature = "hdfs", feature = "kafka"))]
pub(crate) mod kerberos;
pub(crate) mod lines;
pub(crate) mod listener;
pub(crate) mod secrets;
pub(crate) mod template;
pub(crate) mod written;
