//! The progress line of a run, on a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use weir_plan::Plan;
use weir_runtime::Reading;
use weir_runtime::agent::{Role, bytes_text, grouped};
use weir_runtime::metrics::{ComponentSnapshot, Metrics, Snapshot, TroubleSnapshot};

use super::log::LOG;

/// The interval at which the line is redrawn.
const INTERVAL: Duration = Duration::from_secs(1);
/// The least age of a channel's oldest event that is shown.
const LAG_MIN_SECONDS: f64 = 1.0;

/// Returns whether the line can be shown: standard error is a terminal, and no sink writes events to a terminal.
pub(super) fn can_be_shown(plan: &Plan) -> bool {
    let shows_events = plan.sinks.iter().any(|sink| sink.kind == "stdout") && io::stdout().is_terminal();
    io::stderr().is_terminal() && !shows_events
}

/// Returns the width of the terminal in characters; `usize::MAX` if standard error is not a terminal.
pub(super) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(usize::MAX)
}

/// Shows the line until the future is dropped.
pub(super) async fn show(metrics: Metrics) {
    let _removed_on_drop = ProgressLine;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut since) = (metrics.read(), ticks.tick().await);
    loop {
        let at: Instant = ticks.tick().await;
        let now = metrics.read();
        let text = line(&before, &now, at - since);
        // The last column stays free, since some terminals wrap the line when it is filled.
        LOG.show(text.chars().take(width().saturating_sub(1)).collect());
        (before, since) = (now, at);
    }
}

/// Removes the line when dropped.
struct ProgressLine;

impl Drop for ProgressLine {
    fn drop(&mut self) {
        LOG.show(String::new());
    }
}

/// Renders the line: rates since the last snapshot, the fill and lag of each channel, and the components that are in
/// trouble.
fn line(before: &Snapshot, now: &Snapshot, passed: Duration) -> String {
    let seconds = now.uptime_seconds as u64;
    let mut parts = vec![format!("{}:{:02}", seconds / 60, seconds % 60)];
    let rate = |role: Role, of: fn(&ComponentSnapshot) -> Reading| {
        let sum = |snapshot: &Snapshot| {
            let components = snapshot.components.iter().filter(|component| component.role == role);
            components.map(of).fold((0, 0), |sum, count| (sum.0 + count.events, sum.1 + count.bytes))
        };
        let (old, new) = (sum(before), sum(now));
        let each = |old: u64, new: u64| new.saturating_sub(old) as f64 / passed.as_secs_f64().max(1e-3);
        format!("{}/s ({}/s)", grouped(each(old.0, new.0) as u64), bytes_text(each(old.1, new.1)))
    };
    parts.push(format!("received {}", rate(Role::Source, |component| component.received)));
    parts.push(format!("delivered {}", rate(Role::Sink, |component| component.delivered)));
    for component in &now.components {
        if let Some(channel) = &component.channel {
            let ratio = |held: u64, most: u64| held as f64 / most.max(1) as f64;
            let fill = ratio(channel.events, channel.events_max).max(ratio(channel.bytes, channel.bytes_max));
            let lag = channel.oldest_seconds.filter(|lag| *lag >= LAG_MIN_SECONDS);
            let lag = lag.map_or_else(String::new, |lag| format!(", {lag:.0} s behind"));
            parts.push(format!("{} {:.0} %{lag}", component.name, 100.0 * fill));
        }
        for TroubleSnapshot { cause, seconds, .. } in &component.troubles {
            parts.push(format!("{} in trouble for {seconds:.0} s ({cause})", component.name));
        }
    }
    parts.join("  ")
}
