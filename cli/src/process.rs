//! Settings of the process that are made before a command begins.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;
use weir_runtime::Descriptors;

use crate::program::print_error_line;

/// Makes a write beyond the file size limit (`ulimit -f`) return an error. Without this, the system
/// ends the process with a signal and no message.
pub(crate) fn survive_file_size_limit() {
    // A registered handler is enough; the flag is never read.
    if let Err(error) = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))) {
        print_error_line(format_args!(
            "weir: a write beyond the file size limit would end the process: {error}"
        ));
    }
}

/// Raises the soft limit of file descriptors to the hard limit.
pub(crate) fn raise_descriptor_limit() {
    if let Err(error) = Descriptors::raise_limit() {
        print_error_line(format_args!(
            "weir: the limit of file descriptors can't be raised to the hard limit: {error}"
        ));
    }
}
