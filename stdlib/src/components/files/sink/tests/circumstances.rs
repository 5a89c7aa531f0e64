//! Failures of the environment: a full disk, a directory that is removed or read-only, a clock that goes backwards.
//! Most tests run with a ledger and without.

use std::sync::atomic::{AtomicI64, Ordering};

use weir_runtime::Clock;
use weir_runtime::batch::{Identities, Partition};
use weir_runtime::source::Outlet;

use super::*;

/// A small tmpfs that is mounted as long as this lives.
struct Mount(TempDir);

impl Mount {
    fn new() -> Mount {
        let mount = Mount(TempDir::new().unwrap());
        mount.run("mount", &["-t", "tmpfs", "-o", "size=256k", "weir-test"]);
        mount
    }

    fn remount(&self, options: &str) {
        self.run("mount", &["-o", &format!("remount,{options}")]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).arg(self.0.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "this test mounts a tmpfs, so it has to run as root: {errors}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // If unmounting fails, the mount stays until the machine is shut down.
        let _ignored = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

/// A clock whose time a test sets.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A sink with a channel that a test fills.
struct Feed {
    sink: Box<dyn Sink>,
    port: SinkPort,
    channel: Arc<dyn Channel>,
    outlet: Outlet,
    clock: Arc<TestClock>,
    sent: u64,
}

impl Feed {
    async fn new(directory: &Path, count: i64, exactly_once: bool) -> Feed {
        let mut settings = settings(directory, "none");
        if let Some(Value::Record(roll)) = settings.values.get_mut("roll") {
            roll.insert("count".to_string(), Value::Int(count));
        }
        let clock = Arc::new(TestClock(AtomicI64::new(1_767_268_800_000_000)));
        let context = Context { exactly_once, clock: clock.clone(), ..context(Arc::default()) };
        let mut sink = make(&settings, context).unwrap();
        if exactly_once {
            sink.recover().await.unwrap();
        }
        let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(Limits {
            capacity: 1_000_000,
            transaction_capacity: 1_000_000,
            byte_capacity: 1 << 30,
            keep_alive: Duration::from_secs(3),
        }));
        let port = SinkPort::reading(&*channel);
        let outlet = SourcePort::into_channel(channel.clone()).outlet;
        Feed { sink, port, channel, outlet, clock, sent: 0 }
    }

    /// Puts this many events, each a number with padding.
    async fn put(&mut self, events: u64) {
        put(&mut self.outlet, self.sent, events).await;
        self.sent += events;
    }

    /// Closes the channel, and runs the sink to the end.
    async fn end(mut self) {
        self.outlet.close();
        self.channel.close();
        self.sink.run(&mut self.port).await.unwrap();
        assert_eq!(self.channel.fill().events, 0);
    }
}

async fn put(outlet: &mut Outlet, first: u64, events: u64) {
    let lines: Vec<String> = (first..first + events).map(|number| format!("{number:08} {:90}", "")).collect();
    let columns = vec![Column::constant_time(0), BinaryViewArray::from_iter_values(&lines).into()];
    let batch = Batch::new(schema(), columns, lines.len(), Origins::default()).unwrap();
    let identities = Identities::counting(Partition::new("p"), first + 1);
    outlet.put(batch.with_identities(identities).unwrap()).await.unwrap();
}

/// Returns the numbers in all complete files, in the order of the files' names.
fn numbers(directory: &Path) -> Vec<u64> {
    let complete = files(&first_hour(directory)).into_iter();
    let complete = complete.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    let text: String = complete.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| line[..8].parse().unwrap()).collect()
}

fn temporary(directory: &Path) -> usize {
    let hour = first_hour(directory);
    if !hour.exists() {
        return 0;
    }
    let names = files(&hour).into_iter().map(|path| path.file_name().unwrap().to_owned());
    names.filter(|name| name.to_str().unwrap().starts_with('.')).count()
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_the_sink_continues_when_space_is_freed() {
    for exactly_once in [false, true] {
        let mount = Mount::new();
        let directory = mount.0.path();
        let mut feed = Feed::new(directory, 500, exactly_once).await;
        feed.put(5_000).await;
        let failure = feed.sink.run(&mut feed.port).await.unwrap_err();
        assert!(!failure.is_permanent());
        assert!(failure.to_string().contains("No space left on device"), "{failure}");
        let held = feed.channel.fill().events;
        assert!(held + numbers(directory).len() >= 5_000, "{held} are held");
        mount.remount("size=8m");
        feed.end().await;
        let mut found = numbers(directory);
        found.sort_unstable();
        if !exactly_once {
            found.dedup();
        }
        assert_eq!(found, (0..5_000).collect::<Vec<_>>());
        assert_eq!(temporary(directory), 0);
    }
}

#[tokio::test]
async fn a_read_only_directory_is_a_transient_error() {
    for exactly_once in [false, true] {
        let mount = Mount::new();
        let mut feed = Feed::new(mount.0.path(), 10, exactly_once).await;
        mount.remount("ro");
        feed.put(10).await;
        let failure = feed.sink.run(&mut feed.port).await.unwrap_err();
        assert!(!failure.is_permanent());
        let text = failure.to_string();
        assert!(text.starts_with("creating ") && text.contains("Read-only file system"), "{text}");
        mount.remount("rw");
        let directory = mount.0.path().to_path_buf();
        feed.end().await;
        assert_eq!(numbers(&directory), (0..10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_directory_that_is_removed_while_the_sink_writes_is_created_again() {
    for exactly_once in [false, true] {
        let directory = TempDir::new().unwrap();
        let lake = directory.path().join("lake");
        let mut feed = Feed::new(directory.path(), 10, exactly_once).await;
        feed.put(5).await;
        let removal = async {
            // Waits until the sink has created its file.
            while temporary(directory.path()) == 0 {
                tokio::task::yield_now().await;
            }
            std::fs::remove_dir_all(&lake).unwrap();
            put(&mut feed.outlet, 5, 5).await;
        };
        let (outcome, ()) = tokio::join!(feed.sink.run(&mut feed.port), removal);
        let failure = outcome.unwrap_err();
        assert!(!failure.is_permanent(), "{failure}");
        assert!(failure.to_string().contains("No such file or directory"), "{failure}");
        feed.end().await;
        assert_eq!(numbers(directory.path()), (0..10).collect::<Vec<_>>());
        assert_eq!(temporary(directory.path()), 0);
    }
}

#[tokio::test]
async fn a_clock_that_goes_backwards_changes_no_order() {
    let directory = TempDir::new().unwrap();
    let mut last = 0;
    // At each start, the clock is one hour behind the previous start.
    for start in 0..3 {
        let mut feed = Feed::new(directory.path(), 10, true).await;
        feed.clock.0.fetch_sub(start * 3_600_000_000, Ordering::Relaxed);
        feed.sent = last;
        feed.put(25).await;
        let clock = feed.clock.clone();
        let backwards = async {
            clock.0.fetch_sub(60_000_000, Ordering::Relaxed);
        };
        tokio::join!(backwards, feed.end());
        last += 25;
    }
    assert_eq!(numbers(directory.path()), (0..75).collect::<Vec<_>>());
}
