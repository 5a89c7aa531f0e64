//! How each program is started for each kind of work.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::server::Program;

/// After this time without an event, Flume closes its file on HDFS.
pub(crate) const FLUME_IDLE: Duration = Duration::from_secs(1);

/// The events that a channel in memory holds, in Weir and in Flume.
const CAPACITY: u32 = 100_000;

/// A program that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Weir,
    Flume,
    Rsyslog,
    SyslogNg,
}

/// The work of a program that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Takes events of Flume's JSON over HTTP and drops them.
    Http,
    /// The same with a durable channel before they are dropped.
    HttpDurable,
    /// Takes lines over TCP, answers each, and drops them.
    Lines,
    /// Takes messages of syslog over TCP and writes their texts into a file.
    Syslog,
}

impl Work {
    pub(super) fn title(self) -> &'static str {
        match self {
            Work::Http => "HTTP -> memory channel -> null",
            Work::HttpDurable => "HTTP -> file channel -> null, single events",
            Work::Lines => "lines over TCP, one at a time, each acknowledged -> memory channel -> null",
            Work::Syslog => "syslog over TCP -> file in memory, one connection",
        }
    }
}

impl Peer {
    pub(super) const ALL: [Peer; 4] = [Peer::Weir, Peer::Flume, Peer::Rsyslog, Peer::SyslogNg];

    pub(super) fn name(self) -> &'static str {
        match self {
            Peer::Weir => "Weir",
            Peer::Flume => "Flume",
            Peer::Rsyslog => "rsyslog",
            Peer::SyslogNg => "syslog-ng",
        }
    }

    /// Returns the program for this work; `None` if the program does not do this work, or the reason why it can't be
    /// started.
    pub(super) fn program(self, work: Work) -> Option<Result<Program, String>> {
        match (self, work) {
            (Peer::Weir, _) => Some(weir(work)),
            (Peer::Flume, _) => Some(flume(work)),
            (Peer::Rsyslog, Work::Syslog) => Some(rsyslog()),
            (Peer::SyslogNg, Work::Syslog) => Some(syslog_ng()),
            (Peer::Rsyslog | Peer::SyslogNg, _) => None,
        }
    }
}

fn weir(work: Work) -> Result<Program, String> {
    let flow = |source: &str, channel: &str, sink: &str| {
        format!(
            "source in = {source}\n\nchannel buffer = {channel}\n\nsink out = {sink}\n\n\
             flow main delivers best_effort {{ in -> buffer -> out }}\n"
        )
    };
    let memory = format!("memory {{ capacity: {CAPACITY} }}");
    let http = "http { bind: \"ADDRESS\", format: flume_json }";
    let text = match work {
        Work::Http => flow(http, &memory, "null {}"),
        Work::HttpDurable => flow(http, "file { path: \"FOLDER/channel\" }", "null {}"),
        Work::Lines => flow("tcp_lines { bind: \"ADDRESS\", ack: true }", &memory, "null {}"),
        Work::Syslog => {
            flow("syslog { bind: \"ADDRESS\", transport: tcp {} }", &memory, "stdout { format: text }")
        }
    };
    let binary = env::current_exe().map_err(|error| error.to_string())?.with_file_name("weir");
    if !binary.exists() {
        return Err(format!("{} is missing: `cargo build --release -p weir` makes it", binary.display()));
    }
    let mut command = Command::new(binary);
    command.arg("run").arg("--quiet").arg("FOLDER/program");
    Ok(Program { command, text, in_memory: work == Work::Syslog })
}

fn flume(work: Work) -> Result<Program, String> {
    let classpath = fetched("WEIR_PEERS_FLUME")?;
    let source = match work {
        Work::Http | Work::HttpDurable => "type=http\na.sources.s.bind=HOST\na.sources.s.port=PORT",
        Work::Lines => "type=netcat\na.sources.s.bind=HOST\na.sources.s.port=PORT",
        Work::Syslog => "type=syslogtcp\na.sources.s.host=HOST\na.sources.s.port=PORT",
    };
    let memory = |capacity| {
        format!("type=memory\na.channels.c.capacity={capacity}\na.channels.c.transactionCapacity=10000")
    };
    let channel = match work {
        Work::HttpDurable => {
            "type=file\na.channels.c.checkpointDir=FOLDER/checkpoint\na.channels.c.dataDirs=FOLDER/data"
                .to_owned()
        }
        Work::Http | Work::Lines => memory(CAPACITY),
        // The source drops messages when the channel is full.
        Work::Syslog => memory(20 * CAPACITY),
    };
    let sink = match work {
        Work::Syslog => {
            "type=file_roll\na.sinks.k.sink.directory=FOLDER\na.sinks.k.sink.rollInterval=0\na.sinks.k.sink.pathManager.prefix=output"
        }
        _ => "type=null",
    };
    let text = format!(
        "a.sources=s\na.channels=c\na.sinks=k\na.sources.s.{source}\na.sources.s.channels=c\na.channels.c.{channel}\n\
         a.sinks.k.{sink}\na.sinks.k.channel=c\na.sinks.k.batchSize=1000\n"
    );
    Ok(Program { command: flume_agent(&classpath), text, in_memory: work == Work::Syslog })
}

/// The command of a Flume agent with the name `a`.
fn flume_agent(classpath: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xms1g", "-Xmx2g", "-cp", classpath, "org.apache.flume.node.Application"]);
    command.args(["--no-reload-conf", "-n", "a", "-f", "FOLDER/program"]);
    command
}

/// Flume's source of Kafka, channel in memory and sink of HDFS: one file compressed with gzip, which is closed when no event has
/// come for [`FLUME_IDLE`]. With one DataNode, Flume would close a file at each batch without `minBlockReplicas`.
pub(super) fn flume_to_hdfs(
    (brokers, topic, group): (&str, &str, &str),
    directory: &str,
) -> Result<Program, String> {
    let classpath = fetched("WEIR_PEERS_FLUME_HDFS")?;
    let text = format!(
        "a.sources=s\na.channels=c\na.sinks=k\na.sources.s.type=org.apache.flume.source.kafka.KafkaSource\n\
         a.sources.s.kafka.bootstrap.servers={brokers}\na.sources.s.kafka.topics={topic}\n\
         a.sources.s.kafka.consumer.group.id={group}\na.sources.s.kafka.consumer.auto.offset.reset=earliest\n\
         a.sources.s.batchSize=5000\na.sources.s.channels=c\n\
         a.channels.c.type=memory\na.channels.c.capacity=1000000\na.channels.c.transactionCapacity=10000\n\
         a.sinks.k.type=hdfs\na.sinks.k.channel=c\na.sinks.k.hdfs.path={directory}\na.sinks.k.hdfs.batchSize=5000\n\
         a.sinks.k.hdfs.fileType=CompressedStream\na.sinks.k.hdfs.codeC=gzip\na.sinks.k.hdfs.rollInterval=0\n\
         a.sinks.k.hdfs.rollSize=0\na.sinks.k.hdfs.rollCount=0\na.sinks.k.hdfs.idleTimeout={}\n\
         a.sinks.k.hdfs.minBlockReplicas=1\n",
        FLUME_IDLE.as_secs()
    );
    Ok(Program { command: flume_agent(&classpath), text, in_memory: false })
}

fn rsyslog() -> Result<Program, String> {
    let root = PathBuf::from(fetched("WEIR_PEERS_RSYSLOG")?);
    let text = "global(workDirectory=\"FOLDER\")\nmodule(load=\"imtcp\")\n\
                template(name=\"text\" type=\"string\" string=\"%msg%\\n\")\n\
                input(type=\"imtcp\" address=\"HOST\" port=\"PORT\")\n\
                action(type=\"omfile\" file=\"FOLDER/output\" template=\"text\")\n";
    let mut command = Command::new(root.join("usr/sbin/rsyslogd"));
    let modules = root.join("usr/lib").join(machine()).join("rsyslog");
    command.arg("-n").arg("-M").arg(modules).args(["-i", "FOLDER/pid", "-f", "FOLDER/program"]);
    command.env("LD_LIBRARY_PATH", libraries(&root));
    Ok(Program { command, text: text.to_owned(), in_memory: true })
}

fn syslog_ng() -> Result<Program, String> {
    let root = PathBuf::from(fetched("WEIR_PEERS_SYSLOG_NG")?);
    let text = "@version: 3.38\noptions { use-dns(no); stats-freq(0); };\n\
                source s { network(ip(\"HOST\") port(PORT) transport(\"tcp\") log-iw-size(10000)); };\n\
                destination d { file(\"FOLDER/output\" template(\"${MSG}\\n\")); };\n\
                log { source(s); destination(d); flags(flow-control); };\n";
    let modules = root.join("usr/lib/syslog-ng");
    let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
    command.args(["-F", "--no-caps", "-f", "FOLDER/program", "-R", "FOLDER/persist", "-p", "FOLDER/pid"]);
    command.args(["-c", "FOLDER/control"]).arg("--module-path").arg(modules.join("3.38"));
    let libraries = format!("{}:{}", modules.display(), libraries(&root));
    command.env("LD_LIBRARY_PATH", libraries);
    Ok(Program { command, text: text.to_owned(), in_memory: true })
}

/// The folders with the libraries of an unpacked package of Debian, as `LD_LIBRARY_PATH` has them.
fn libraries(root: &Path) -> String {
    ["usr/lib", "lib"].map(|folder| root.join(folder).join(machine()).display().to_string()).join(":")
}

/// The name of this kind of machine in the folders of Debian.
fn machine() -> String {
    format!("{}-linux-gnu", env::consts::ARCH)
}

fn fetched(variable: &str) -> Result<String, String> {
    env::var(variable).map_err(|_missing| {
        format!("{variable} is not set: `set -a; eval \"$(benches/peers/fetch)\"; set +a` downloads it and sets it")
    })
}
