//! Signals: what tells an agent to stop.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use weir_runtime::agent::Stop;

/// Takes the signals from now on. The future passes them on for as long as it is polled.
///
/// SIGTERM and SIGINT drain, and stop at once when they come while it drains. SIGQUIT stops at once. SIGHUP
/// drains and never does more: a terminal that is closed sends several. Under `nohup` it is still ignored. SIGUSR1 and
/// SIGUSR2 mean nothing, and end nothing.
///
/// # Errors
/// When the system refuses a handler.
pub(super) fn take(stop: Stop) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut user_1 = signal(SignalKind::user_defined1())?;
    let mut user_2 = signal(SignalKind::user_defined2())?;
    let mut hang_up = match is_ignored(Signal::HUP) {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => stop_or_hasten(&stop, "SIGTERM"),
                _ = interrupt.recv() => stop_or_hasten(&stop, "SIGINT"),
                _ = user_1.recv() => info!("SIGUSR1 means nothing to an agent: it goes on"),
                _ = user_2.recv() => info!("SIGUSR2 means nothing to an agent: it goes on"),
                _ = quit.recv() => {
                    info!("SIGQUIT: it stops at once");
                    stop.now.cancel();
                }
                _ = async { hang_up.as_mut()?.recv().await }, if hang_up.is_some() => {
                    info!("SIGHUP: the terminal was closed, or somebody asks for a reload, which this version can't do");
                    stop.drain.cancel();
                }
            }
        }
    })
}

/// The first signal drains, one while it drains stops at once.
fn stop_or_hasten(stop: &Stop, signal: &str) {
    if stop.drain.is_cancelled() {
        info!("{signal} while it drains: it stops at once");
        stop.now.cancel();
    } else {
        info!("{signal}: it stops in order");
        stop.drain.cancel();
    }
}

/// Whether who started this process has it ignore the signal.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}

/// The mask of ignored signals in the text of `/proc/self/status`.
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored("Name:\tweir\n"), None);
        assert!(!is_ignored(Signal::TERM));
    }
}
