//! When an outage of HDFS becomes visible.

use weir_runtime::metrics::TROUBLE_LIMIT;

use super::*;
use crate::components::hdfs::silence::SEARCH_TIMEOUT;

/// The time within which an outage is visible, and what is left of it for the machine and for whoever asks.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_a_trouble_since_it_began() {
    let meter = Arc::<Meter>::default();
    let hdfs = Hdfs::new(Connection {
        component: "lake".into(),
        url: "hdfs://lake:8020".to_owned(),
        security: Security::Plaintext,
        user: None,
        config: None,
        replication: None,
        meter: meter.clone(),
        safe: "nothing is lost",
    });
    let call = async {
        tokio::time::sleep(TROUBLE_LIMIT).await;
        let condition = meter.condition();
        let lasts = condition.troubles().get("data nodes").map(|trouble| trouble.began.elapsed());
        Ok(lasts)
    };
    let lasts = hdfs.answer(Servers::DataNodes, WRITE_TIMEOUT, call).await.unwrap();
    assert_eq!(lasts, Some(TROUBLE_LIMIT));
}

#[test]
fn a_call_without_an_answer_is_visible_in_time() {
    // The limit of `/ready` counts from the begin of the call.
    let visible = (TROUBLE_AFTER + SEARCH_TIMEOUT).max(TROUBLE_LIMIT);
    assert!(visible + MARGIN <= VISIBLE_WITHIN, "{visible:?}");
}
