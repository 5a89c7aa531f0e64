//! A name service of two NameNodes with three DataNodes, while servers are killed and a quota is used up.

use std::net::SocketAddr;
use std::time::Duration;

use weir_tests::{
    Cluster, Hdfs, Scene, Servers, Weir, ask_agent, free_address, lines_of, print_line, visible_files,
    wait_until,
};

use crate::kerberos::numbers;

const FLOW: &str = "tests/end_to_end/flows/hdfs_name_service.flow";
const DIRECTORY: &str = "/lake";
const PATIENCE: Duration = Duration::from_secs(180);
/// More events than the test waits for.
const ENDLESS: usize = 10_000_000;

/// A running agent, and what it has copied from HDFS.
struct Pipeline<'a> {
    scene: &'a Scene,
    cluster: &'a Cluster,
    metrics: SocketAddr,
}

impl Pipeline<'_> {
    fn run(&self, events: usize) -> Weir {
        let settings = [
            ("hdfs", self.cluster.setting("HDFS_URL")),
            ("configuration", self.cluster.setting("HADOOP_CONF_DIR")),
            ("directory", DIRECTORY.to_owned()),
            ("events", events.to_string()),
            ("positions", self.scene.path("positions")),
            ("local", self.scene.path("local")),
        ];
        Weir::run_by(self.scene, &[], FLOW, &settings, &["--metrics", &self.metrics.to_string()])
    }

    fn copied(&self) -> Vec<usize> {
        let local = self.scene.folder().join("local");
        if local.exists() { numbers(lines_of(&visible_files(&local))) } else { Vec::new() }
    }

    /// Waits until events have gone through both flows.
    fn await_progress(&self, weir: &mut Weir, since: &str) {
        let before = self.copied().len();
        // What was under way is not enough.
        weir.await_event(&format!("it goes on after {since}"), PATIENCE, |_| {
            (self.copied().len() >= before + 5_000).then_some(())
        });
        let log = format_args!("{} events after {since}", self.copied().len());
        print_line(self.scene.name(), log);
    }

    fn await_trouble(&self, cause: &str) {
        let trouble = wait_until(&format!("/ready says {cause}"), PATIENCE, || {
            let (_, ready) = ask_agent(self.metrics, "/ready")?;
            ready.lines().find(|line| line.contains(cause)).map(str::to_owned)
        });
        print_line(self.scene.name(), trouble);
    }
}

/// The paths of the complete files.
fn complete(hdfs: &Hdfs) -> Vec<String> {
    let paths = hdfs.files(DIRECTORY).into_iter().map(|file| file.path);
    paths.filter(|path| !path.contains("/.")).collect()
}

fn use_up_and_raise_the_quota(pipeline: &Pipeline<'_>, hdfs: &Hdfs) {
    hdfs.limit_names(DIRECTORY, 1);
    pipeline.await_trouble("(disk full)");
    hdfs.limit_names(DIRECTORY, 1_000_000);
}

#[test]
fn failovers_dead_datanodes_and_a_used_up_quota_lose_nothing() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "failovers_lose_nothing");
    // A dead DataNode is noticed after 12 s.
    let cluster =
        session.cluster("hdfs_ha", &[("HDFS_EXTRA", "dfs.namenode.heartbeat.recheck-interval=1000")]);
    let hdfs = cluster.hdfs();
    hdfs.make_directory(DIRECTORY, "root", "777");
    let pipeline = Pipeline { scene: &scene, cluster: &cluster, metrics: free_address() };
    let mut weir = pipeline.run(ENDLESS);
    pipeline.await_progress(&mut weir, "its start");
    cluster.tool(&["haadmin", "-failover", "namenode1", "namenode2"]);
    pipeline.await_progress(&mut weir, "a failover");
    let outage = cluster.kill("datanode2");
    pipeline.await_progress(&mut weir, "the end of a DataNode");
    outage.end();
    let outage = cluster.kill("namenode2");
    cluster.tool(&["haadmin", "-failover", "namenode2", "namenode1"]);
    pipeline.await_progress(&mut weir, "the end of the active NameNode");
    outage.end();
    use_up_and_raise_the_quota(&pipeline, &hdfs);
    pipeline.await_progress(&mut weir, "the quota was raised");
    // A NameNode that is started again is on standby until it is told to be active.
    let (first, second) = (cluster.kill("namenode1"), cluster.kill("namenode2"));
    pipeline.await_trouble("in trouble");
    first.end();
    second.end();
    cluster.tool(&["haadmin", "-transitionToActive", "namenode1"]);
    pipeline.await_progress(&mut weir, "a restart of both NameNodes");
    weir.terminate().assert_success();
    let (lines, unfinished) = hdfs.lines(DIRECTORY, &scene);
    let stored = numbers(lines);
    let expected: Vec<usize> = (1..=stored.len()).collect();
    assert!(stored == expected, "each event is in one file on HDFS");
    print_line(scene.name(), format_args!("{} events, unfinished files: {unfinished:?}", stored.len()));
    let files = complete(&hdfs);
    // The rest is copied, and no event is made twice.
    let mut weir = pipeline.run(stored.len());
    weir.await_event("all events are copied", PATIENCE, |_| {
        (pipeline.copied().len() >= stored.len()).then_some(())
    });
    weir.terminate().assert_success();
    assert!(pipeline.copied() == expected, "each event is copied once");
    assert_eq!(complete(&hdfs), files, "no file is written again");
}
