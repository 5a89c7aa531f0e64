//! The HDFS cluster that the tests use, and helpers that read and write it with its client.

use std::io::Read;
use std::process::Command;
use std::sync::Arc;

use hdfs_native::file::FileWriter;
use hdfs_native::{Client, ClientBuilder, WriteOptions};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Locked for reading by tests that share the servers, and for writing by a test that kills some of them.
static IN_USE: std::sync::LazyLock<Arc<RwLock<()>>> = std::sync::LazyLock::new(Arc::default);

/// A directory on HDFS for one test.
pub(crate) struct Cluster {
    pub(crate) url: String,
    root: String,
    client: Client,
    _usage: Usage,
}

enum Usage {
    Shared(#[allow(dead_code)] OwnedRwLockReadGuard<()>),
    Alone(#[allow(dead_code)] OwnedRwLockWriteGuard<()>),
}

/// A complete file.
pub(crate) struct StoredFile {
    /// Below the test's directory.
    pub(crate) directory: String,
    pub(crate) name: String,
    pub(crate) length: usize,
    path: String,
}

impl Cluster {
    /// Makes an empty directory for the test of this name.
    pub(crate) async fn shared(name: &str) -> Cluster {
        let usage = Usage::Shared(IN_USE.clone().read_owned().await);
        Cluster::new(name, usage).await
    }

    /// Makes an empty directory while no other test runs.
    pub(crate) async fn alone(name: &str) -> Cluster {
        let usage = Usage::Alone(IN_USE.clone().write_owned().await);
        Cluster::new(name, usage).await
    }

    async fn new(name: &str, usage: Usage) -> Cluster {
        let Ok(url) = std::env::var("HDFS_URL") else {
            panic!(
                "this test needs a real HDFS: set HDFS_URL to its address, as printed by \
                 `tests/services/services up hdfs`, and WEIR_SERVICES_DIR to the folder it runs in"
            );
        };
        let root = format!("/weir-stdlib-tests/{}/{name}", std::process::id());
        let client = ClientBuilder::new().with_url(&url).build().unwrap();
        client.delete(&root, true).await.unwrap();
        Cluster { url, root, client, _usage: usage }
    }

    pub(crate) fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.root)
    }

    /// Kills a server, as a power failure would.
    pub(crate) fn kill(&self, role: &str) {
        services(&["signal", "hdfs", role, "KILL"]);
    }

    /// Starts a server again, with the same data.
    pub(crate) fn start(&self, role: &str) {
        services(&["start", "hdfs", role]);
    }

    /// Begins a file, and leaves it open.
    pub(crate) async fn begin_file(&self, path: &str) -> FileWriter {
        let mut writer = self.client().create(path, WriteOptions::default()).await.unwrap();
        writer.write_bytes("begun".into()).await.unwrap();
        writer
    }

    /// Makes a new client, so that no other client renews its leases.
    pub(crate) fn client(&self) -> Client {
        ClientBuilder::new().with_url(&self.url).build().unwrap()
    }

    pub(crate) async fn exists(&self, path: &str) -> bool {
        self.client.get_file_info(path).await.is_ok()
    }

    /// Returns the complete files, sorted by path.
    pub(crate) async fn files(&self) -> Vec<StoredFile> {
        self.list().await.into_iter().filter(|file| !file.name.starts_with('.')).collect()
    }

    async fn list(&self) -> Vec<StoredFile> {
        if !self.exists(&self.root).await {
            return Vec::new();
        }
        let statuses = self.client.list_status(&self.root, true).await.unwrap();
        let mut files: Vec<StoredFile> = statuses
            .into_iter()
            .filter(|status| !status.isdir)
            .map(|status| {
                let below = status.path.strip_prefix(&format!("{}/", self.root)).unwrap();
                let (directory, name) = below.rsplit_once('/').unwrap_or(("", below));
                let (directory, name) = (directory.to_string(), name.to_string());
                StoredFile { directory, name, length: status.length, path: status.path }
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// Returns the numbers at the beginning of the lines of these files.
    pub(crate) async fn numbers(&self, files: &[StoredFile]) -> Vec<u64> {
        let mut numbers = Vec::new();
        for file in files {
            let reader = self.client.read(&file.path).await.unwrap();
            let bytes = reader.read_range(0, file.length).await.unwrap();
            let text = decoded(&file.name, &bytes);
            let number = |line: &str| line.split(' ').next().unwrap().parse::<u64>().unwrap();
            numbers.extend(text.lines().map(number));
        }
        numbers
    }

    /// Asserts that the complete files have every event from 1 to `count` and no others.
    pub(crate) async fn assert_nothing_lost(&self, count: u64) {
        let files = self.files().await;
        let mut numbers = self.numbers(&files).await;
        let lines = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        eprintln!("{} files, {lines} lines, {} of them repeats", files.len(), lines - numbers.len());
        assert!(numbers.iter().copied().eq(1..=count), "{} of {count} events are there", numbers.len());
    }
}

fn decoded(name: &str, bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut reader: Box<dyn Read + '_> = match name.rsplit('.').next() {
        Some("gz") => Box::new(flate2::read::GzDecoder::new(bytes)),
        Some("zst") => Box::new(zstd::Decoder::new(bytes).unwrap()),
        _ => Box::new(bytes),
    };
    reader.read_to_string(&mut text).unwrap();
    text
}

fn services(arguments: &[&str]) {
    assert!(
        std::env::var_os("WEIR_SERVICES_DIR").is_some(),
        "this test takes a server down: set WEIR_SERVICES_DIR to the folder that tests/services runs it in"
    );
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/services/services");
    let tool = std::env::var("WEIR_SERVICES").unwrap_or_else(|_| tool.to_string());
    let output =
        Command::new(&tool).args(arguments).output().unwrap_or_else(|error| panic!("{tool}: {error}"));
    assert!(output.status.success(), "{tool} {arguments:?}: {output:?}");
}
