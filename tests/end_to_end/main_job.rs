//! Two million records from Kafka through a durable channel into three formats on HDFS, and a kill on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_tests::{FedRecord, Scene, Servers, Weir, read_independently, visible_files};

use crate::fed::{assert_once_in_order, record, records};

const RECORDS: usize = 2_000_000;
const PARTITIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(300);
const FLOW: &str = "tests/end_to_end/flows/main_job.flow";

#[test]
fn two_million_records_arrive_once_and_in_order_in_three_formats() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "two_million_records");
    let (kafka, hdfs) = (session.kafka(), session.hdfs());
    let name = format!("{}-{}", scene.name(), std::process::id());
    kafka.create_topic(&name, PARTITIONS as i32);
    let body = |index: usize| {
        let (partition, number) = (index % PARTITIONS, index / PARTITIONS);
        format!("{partition}-{number:08} a record of some length, as topics of events have them")
    };
    kafka.produce(&name, &(0..RECORDS).map(body).collect::<Vec<_>>());
    let directory = format!("/{name}");
    let settings = [
        ("brokers", kafka.brokers()),
        ("topic", name.clone()),
        ("group", name.clone()),
        ("channel", scene.path("channel")),
        ("hdfs", hdfs.url().to_owned()),
        ("directory", directory.clone()),
    ];
    let mut killed = Weir::run(&scene, FLOW, &settings);
    killed.await_event("a file in each format", PATIENCE, |_| {
        let has_file = |kind: &str| hdfs.complete(&format!("{directory}/{kind}")) > 0;
        ["lines", "columns", "pairs"].into_iter().all(has_file).then_some(())
    });
    killed.kill();
    Weir::run_by(&scene, &[], FLOW, &settings, &["--until-idle=5s"]).finish().assert_success();

    let sent: BTreeMap<i32, usize> =
        (0..PARTITIONS as i32).map(|number| (number, RECORDS / PARTITIONS)).collect();
    assert_once_in_order("text", &records(&session, &format!("{directory}/lines"), &scene), &sent);
    for (kind, format) in [("columns", "parquet"), ("pairs", "sequence_file")] {
        let path = format!("{directory}/{kind}");
        let files = visible_files(&hdfs.get(&path, &scene).0);
        let bodies = |file| -> Vec<FedRecord> {
            let rows = read_independently(format, file).into_iter();
            rows.map(|row| record(row["body"].as_str().expect("bodies are text").as_bytes())).collect()
        };
        assert_once_in_order(format, &files.iter().map(|file| bodies(file)).collect::<Vec<_>>(), &sent);
    }
}
