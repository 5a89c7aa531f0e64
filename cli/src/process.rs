//! The set-up of the whole process before a command begins.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;
use weir_runtime::Descriptors;

use crate::program::tell;

/// Makes a write beyond the limit of file sizes (`ulimit -f`) an error of that write. Otherwise the system
/// ends the process with a signal, without a word.
pub(crate) fn survive_file_size_limit() {
    // That there is a handler is enough: nobody looks at the flag.
    if let Err(error) = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))) {
        tell(format_args!("weir: a write beyond the limit of file sizes would end it: {error}"));
    }
}

/// Allows as many file descriptors as the hard limit does.
pub(crate) fn raise_descriptor_limit() {
    if let Err(error) = Descriptors::raise_limit() {
        tell(format_args!("weir: the limit of file descriptors can't be raised to the hard one: {error}"));
    }
}
