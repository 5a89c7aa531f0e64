//! A transfer from a Kafka topic into HDFS, for several tests.

use std::time::Duration;

use weir_tests::{Account, Kafka, Progress, Scene, Session, StoredFile, Weir, access_log};

/// The flow that writes small files, so that a test sees progress soon.
pub(crate) const SMALL_FILES: &str = "tests/end_to_end/flows/kafka_to_hdfs.flow";

/// The time limit of a complete transfer.
const PATIENCE: Duration = Duration::from_secs(300);

/// The number of partitions of the topic.
const PARTITIONS: i32 = 4;

/// A transfer of lines from a topic into HDFS; topic, group and path are named after the scene.
pub(crate) struct Transfer<'a> {
    scene: &'a Scene,
    session: &'a Session,
    kafka: Kafka,
    progress: Progress,
    path: String,
    sent: Vec<String>,
}

impl<'a> Transfer<'a> {
    /// Creates the topic, which is empty.
    pub(crate) fn new(scene: &'a Scene, session: &'a Session) -> Transfer<'a> {
        let kafka = session.kafka();
        // the process id makes the name unique if the server is still running from an earlier run of the test
        let path = format!("/{}-{}", scene.name(), std::process::id());
        let topic = &path[1..];
        kafka.create_topic(topic, PARTITIONS);
        let progress = kafka.progress(topic, topic);
        Transfer { scene, session, kafka, progress, path, sent: Vec::new() }
    }

    /// Writes `count` further lines into the topic.
    pub(crate) fn send(&mut self, count: usize) {
        let lines = access_log(self.sent.len(), count);
        self.kafka.produce(self.topic(), &lines);
        self.sent.extend(lines);
    }

    /// Starts Weir with a flow that has the params of `examples/kafka_to_hdfs.flow`.
    pub(crate) fn run(&self, flow: &str) -> Weir {
        self.run_with(flow, &[])
    }

    /// The same with further options of `weir run`.
    pub(crate) fn run_with(&self, flow: &str, options: &[&str]) -> Weir {
        let settings = [
            ("brokers", self.kafka.brokers()),
            ("topic", self.topic().to_owned()),
            ("group", self.topic().to_owned()),
            ("hdfs", self.session.hdfs().url().to_owned()),
            ("directory", self.path.clone()),
        ];
        Weir::run_by(self.scene, &[], flow, &settings, options)
    }

    /// Waits until the source has committed at least `count` records.
    pub(crate) fn await_committed(&self, weir: &mut Weir, count: usize) {
        let event = format!("{count} of {} records are committed", self.sent.len());
        weir.await_event(&event, PATIENCE, |_| (self.progress.committed() >= count).then_some(()));
    }

    /// Waits until all records are committed, ends Weir, and compares the lines in HDFS with the sent lines.
    ///
    /// # Panics
    ///
    /// When a file is unfinished: no run was killed, so each run has closed its files.
    pub(crate) fn finish(&self, weir: Weir) -> Account {
        let (account, unfinished) = self.read_back(weir);
        assert!(unfinished.is_empty(), "{} left files unfinished: {unfinished:?}", self.scene.name());
        account
    }

    /// Like `finish`, after runs that were killed: their unfinished files may still exist while the name node holds the
    /// writers' leases.
    pub(crate) fn finish_after_kills(&self, weir: Weir) -> Account {
        self.read_back(weir).0
    }

    fn read_back(&self, mut weir: Weir) -> (Account, Vec<StoredFile>) {
        self.await_committed(&mut weir, self.sent.len());
        weir.terminate().assert_success();
        let (arrived, unfinished) = self.session.hdfs().lines(&self.path, self.scene);
        (Account::of(&self.sent, &arrived), unfinished)
    }

    fn topic(&self) -> &str {
        &self.path[1..]
    }
}
