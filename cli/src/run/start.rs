//! The start of a run: looks for problems, and waits a while for those that another process may end.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;
use weir_runtime::Cause;
use weir_runtime::agent::{Agent, Problem};

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Returns whether a problem lasts until somebody changes something, such as an address that another process uses. A full or
/// failed disk, or a lack of descriptors, may pass by itself, so that a running agent waits for it.
pub(super) fn waits_for_somebody(problem: &Problem) -> bool {
    let may_pass = matches!(problem.failure.cause(), Cause::DiskFull | Cause::DiskFailed | Cause::Exhausted);
    !problem.optional && !may_pass
}

/// Probes the agent until no problem waits for somebody, for as long as `limit`. Returns the problems that are left. Looks
/// only once if `once`, or if a problem prevents the start in any case.
pub(super) async fn probe(agent: &mut Agent, limit: Duration, once: bool) -> Vec<Problem> {
    let began = Instant::now();
    let mut has_warned = false;
    loop {
        let problems = agent.probe().await;
        let is_final = once || problems.iter().any(Problem::prevents_start) || began.elapsed() >= limit;
        if is_final || !problems.iter().any(waits_for_somebody) {
            return problems;
        }
        if !has_warned {
            for Problem { component, failure, .. } in
                problems.iter().filter(|found| waits_for_somebody(found))
            {
                warn!(%component, "{failure}; the start waits for at most {limit:?}");
            }
        }
        has_warned = true;
        sleep(LOOK_EVERY).await;
    }
}
