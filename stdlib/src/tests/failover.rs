//! `failover` in complete agents: the ends of sinks that wait for each other.

use super::agents::{lines, run};

/// The events that a sink rejects arrive only when the channel of the rejects is closed, which the other sink keeps open.
#[tokio::test]
async fn sinks_end_although_rejected_events_arrive_at_the_end_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let program = format!(
        "source made = generate {{ count: 10, content: numbered {{}} }}\n\
         channel buffer = memory {{}}\n\
         sink first = files {{ path: {:?} }}\n\
         sink second = files {{ path: {:?} }}\n\
         sink dead = files {{ path: {:?}, format: json, roll: {{ age: 1h }} }}\n\
         flow main {{\n  made -> buffer\n  \
         buffer -> failover {{ reject if @sequence > 5 -> first, reject if @sequence > 3 -> second }}\n  \
         rejects -> dead\n}}\n",
        path("first"),
        path("second"),
        path("dead"),
    );
    run(&program).await;
    assert_eq!((lines(&path("first")).len(), lines(&path("dead")).len()), (5, 5));
}

/// Each sink comes first in one `failover` and second in the other.
#[tokio::test]
async fn sinks_of_two_crossed_failovers_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let program = format!(
        "source made = generate {{ count: 10, content: numbered {{}} }}\n\
         sink first = files {{ path: {:?}, roll: {{ age: 1h }} }}\n\
         sink second = files {{ path: {:?}, roll: {{ age: 1h }} }}\n\
         flow main {{\n  made -> match {{\n    @sequence > 4 -> failover {{ first, second }}\n    \
         _ -> failover {{ second, first }}\n  }}\n}}\n",
        path("first"),
        path("second"),
    );
    run(&program).await;
    assert_eq!((lines(&path("first")).len(), lines(&path("second")).len()), (6, 4));
}
