//! The line on a terminal that says how a run gets on.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use weir_plan::Plan;
use weir_runtime::agent::{Role, bytes_text, grouped};
use weir_runtime::metrics::{ComponentSnapshot, Metrics, Snapshot};
use weir_runtime::{Phase, Reading};

use super::log::LOG;

/// How often it changes.
const EVERY: Duration = Duration::from_secs(1);
/// An oldest event that is no older is not worth a word.
const LAG_MIN_SECONDS: f64 = 1.0;

/// Whether there is a place for it: a terminal that events are not written to.
pub(super) fn has_place(plan: &Plan) -> bool {
    let events_there = plan.sinks.iter().any(|sink| sink.kind == "stdout") && io::stdout().is_terminal();
    io::stderr().is_terminal() && !events_there
}

/// How many characters a line of the terminal has; no bound where standard error is none.
pub(super) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(usize::MAX)
}

/// Shows the line until it is dropped.
pub(super) async fn show(metrics: Metrics) {
    let _line = Line;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut since) = (metrics.read(), ticks.tick().await);
    loop {
        let at: Instant = ticks.tick().await;
        let now = metrics.read();
        let text = line(&before, &now, at - since);
        // One place stays free: some terminals go on in the next line when the last is taken.
        LOG.show(text.chars().take(width().saturating_sub(1)).collect());
        (before, since) = (now, at);
    }
}

/// Takes the line away in the end.
struct Line;

impl Drop for Line {
    fn drop(&mut self) {
        LOG.show(String::new());
    }
}

/// Rates since the last time, how full channels are, how far sinks lag behind, who is in trouble.
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
            let part = |held: u64, most: u64| held as f64 / most.max(1) as f64;
            let fill = part(channel.events, channel.events_max).max(part(channel.bytes, channel.bytes_max));
            let lag = channel.oldest_seconds.filter(|lag| *lag >= LAG_MIN_SECONDS);
            let lag = lag.map_or_else(String::new, |lag| format!(", {lag:.0} s behind"));
            parts.push(format!("{} {:.0} %{lag}", component.name, 100.0 * fill));
        }
        if component.phase == Phase::BackingOff {
            let wait = component.next_try_seconds.unwrap_or(0.0);
            parts.push(format!("{} failed, next try in {wait:.0} s", component.name));
        }
    }
    parts.join("  ")
}
