//! A transfer from a Kafka topic into HDFS: what the tests of it share.

use std::time::Duration;

use weir_tests::{Account, Kafka, Progress, Scene, Session, StoredFile, Weir, access_log};

/// The flow that closes small files, so that there is progress to be seen.
pub(crate) const SMALL_FILES: &str = "tests/end_to_end/flows/kafka_to_hdfs.flow";

/// How long all of a transfer may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many partitions the topic has.
const PARTITIONS: i32 = 4;

/// Lines on their way from a topic into HDFS; topic, group and path are named after the scene.
pub(crate) struct Transfer<'a> {
    scene: &'a Scene,
    session: &'a Session,
    kafka: Kafka,
    progress: Progress,
    path: String,
    sent: Vec<String>,
}

impl<'a> Transfer<'a> {
    /// Makes the topic; nothing is in it yet.
    pub(crate) fn new(scene: &'a Scene, session: &'a Session) -> Transfer<'a> {
        let kafka = session.kafka();
        // a server may have outlived an earlier run of the same test
        let path = format!("/{}-{}", scene.name(), std::process::id());
        let topic = &path[1..];
        kafka.create_topic(topic, PARTITIONS);
        let progress = kafka.progress(topic, topic);
        Transfer { scene, session, kafka, progress, path, sent: Vec::new() }
    }

    /// Writes that many more lines into the topic.
    pub(crate) fn send(&mut self, count: usize) {
        let lines = access_log(self.sent.len(), count);
        self.kafka.produce(self.topic(), &lines);
        self.sent.extend(lines);
    }

    /// Starts Weir with a flow that has the parameters of `examples/kafka_to_hdfs.flow`.
    pub(crate) fn run(&self, flow: &str) -> Weir {
        let settings = [
            ("brokers", self.kafka.brokers()),
            ("topic", self.topic().to_owned()),
            ("group", self.topic().to_owned()),
            ("hdfs", self.session.hdfs().url().to_owned()),
            ("directory", self.path.clone()),
        ];
        Weir::run(self.scene, flow, &settings)
    }

    /// Waits until the source has committed at least that many records.
    pub(crate) fn await_committed(&self, weir: &mut Weir, count: usize) {
        let what = format!("{count} of {} records are committed", self.sent.len());
        weir.await_event(&what, PATIENCE, |_| (self.progress.committed() >= count).then_some(()));
    }

    /// Waits until everything has been committed, ends Weir, and reads back what is in HDFS.
    ///
    /// # Panics
    ///
    /// When a file was left unfinished: no run was killed, so each has closed its own.
    pub(crate) fn finish(&self, weir: Weir) -> Account {
        let (account, unfinished) = self.read_back(weir);
        assert!(unfinished.is_empty(), "{} left files unfinished: {unfinished:?}", self.scene.name());
        account
    }

    /// The same after runs that were killed: the files in which they died may be there, as long as the name node
    /// protects them for their writers.
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
