//! The signals that stop an agent.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use weir_runtime::agent::Stop;

/// Registers the signal handlers. The returned future passes the signals to `stop` while it is polled.
///
/// The first SIGTERM or SIGINT drains the channels; a second one stops the agent immediately. SIGQUIT stops it
/// immediately. SIGHUP only ever drains, since a closing terminal sends it several times; under `nohup` it stays ignored.
/// SIGUSR1 and SIGUSR2 have no effect.
///
/// # Errors
/// When the system refuses a handler.
pub(super) fn handle(stop: Stop) -> io::Result<impl Future<Output = ()>> {
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
                _ = terminate.recv() => drain_or_stop(&stop, "SIGTERM"),
                _ = interrupt.recv() => drain_or_stop(&stop, "SIGINT"),
                _ = user_1.recv() => info!("SIGUSR1 has no effect on an agent"),
                _ = user_2.recv() => info!("SIGUSR2 has no effect on an agent"),
                _ = quit.recv() => {
                    info!("SIGQUIT: stopping immediately, without draining the channels");
                    stop.now.cancel();
                }
                _ = async { hang_up.as_mut()?.recv().await }, if hang_up.is_some() => {
                    info!("SIGHUP: draining the channels, then stopping; this version can't reload its program");
                    stop.drain.cancel();
                }
            }
        }
    })
}

/// Drains on the first signal, and stops immediately on a second one.
fn drain_or_stop(stop: &Stop, signal: &str) {
    if stop.drain.is_cancelled() {
        info!("{signal} during the drain: stopping immediately");
        stop.now.cancel();
    } else {
        info!("{signal}: draining the channels, then stopping");
        stop.drain.cancel();
    }
}

/// Returns whether this process inherited the signal as ignored from its parent, such as `nohup`.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}

/// Reads the mask of ignored signals from the text of `/proc/self/status`.
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_parsed() {
        assert_eq!(ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored("Name:\tweir\n"), None);
        assert!(!is_ignored(Signal::TERM));
    }
}
