//! The text of a pipeline.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::pipeline::{
    Chain, ChannelKind, Condition, Key, Overflow, Pipeline, Reached, SinkKind, SourceKind, Step, To,
};

/// The most events that a source puts at once.
pub(super) const BATCH: u64 = 4;

/// Writes the text of a pipeline.
struct Text<'p> {
    pipeline: &'p Pipeline,
    reached: Reached,
    /// The lines of each flow.
    flows: Vec<Vec<String>>,
    /// The channels whose chains are written.
    written: Vec<bool>,
}

impl Pipeline {
    /// Returns the text of the pipeline, whose flows make these promises.
    pub(super) fn text(&self, promises: &[String]) -> String {
        let reached = self.reached();
        let (flows, written) = (vec![Vec::new(); self.flows.len()], vec![false; self.channels.len()]);
        let mut text = Text { pipeline: self, reached, flows, written };
        for (number, source) in self.sources.iter().enumerate() {
            text.line(source.flow, &format!("s{number}"), &source.chain, false);
        }
        for (flow, of_flow) in self.flows.iter().enumerate() {
            if text.reached.rejects[flow] {
                text.line(flow, "rejects", &of_flow.rejects, true);
            }
        }
        let mut written = self.declarations(&text.reached);
        for (number, lines) in text.flows.iter().enumerate().filter(|(_, lines)| !lines.is_empty()) {
            let promise = promises.get(number).map_or("best_effort", String::as_str);
            let lines = lines.join("\n");
            let _ = write!(written, "flow f{number} delivers {promise} {{\n{lines}\n}}\n");
        }
        written
    }

    fn declarations(&self, reached: &Reached) -> String {
        let mut lines = Vec::new();
        for (number, source) in self.sources.iter().enumerate() {
            lines.push(format!("source s{number} = {}", source_text(source.kind, number)));
        }
        for (number, channel) in
            self.channels.iter().enumerate().filter(|(number, _)| reached.channels[*number])
        {
            lines.push(format!("channel c{number} = {}", channel_text(channel.kind, number)));
        }
        for (number, kind) in self.sinks.iter().enumerate().filter(|(number, _)| reached.sinks[*number]) {
            lines.push(format!("sink k{number} = {}", sink_text(*kind, number)));
        }
        let chains = lines.join("\n");
        format!(
            "schema Numbered {{ n: Int, k: Int }}\nschema Row {{ number: Text }}\n\
             let known = lookup(\"table.csv\", key: \"number\", as: Row)\n{chains}\n"
        )
    }
}

fn source_text(kind: SourceKind, number: usize) -> String {
    let settings = match kind {
        SourceKind::Files => format!("paths: [\"/in{number}/*.log\"]"),
        SourceKind::CompressedFiles => format!("paths: [\"/in{number}/*.log\"], decompress: true"),
        SourceKind::Generate => "count: 1_000".to_owned(),
        SourceKind::Hdfs => format!("url: \"hdfs://name\", paths: [\"/in{number}/*\"]"),
        SourceKind::Kafka => {
            format!(
                "brokers: [\"kafka:9092\"], topics: [\"in{number}\"], group: \"g{number}\", partitions: all"
            )
        }
        SourceKind::KafkaGroup => {
            format!("brokers: [\"kafka:9092\"], topics: [\"in{number}\"], group: \"g{number}\"")
        }
        SourceKind::Stdin => String::new(),
        SourceKind::Http | SourceKind::TcpLines => format!("bind: \"127.0.0.1:{}\"", 8_000 + number),
        SourceKind::Syslog => format!("bind: \"127.0.0.1:{}\", transport: tcp", 8_000 + number),
    };
    let comma = if settings.is_empty() { "" } else { ", " };
    format!("{} {{ {settings}{comma}batch: {BATCH} }}", kind.name())
}

fn channel_text(kind: ChannelKind, number: usize) -> String {
    let overflow = |overflow| match overflow {
        Overflow::Wait => "",
        Overflow::DropNewest => ", overflow: drop_newest",
        Overflow::DropOldest => ", overflow: drop_oldest",
    };
    let limits = format!("capacity: {}, transaction_capacity: 16", 16 + number % 2 * 16);
    // A smaller log is filled with fewer zeros at each start.
    let durable = format!("byte_capacity: 16MiB, {limits}");
    match kind {
        ChannelKind::Memory(full) => format!("memory {{ {limits}{} }}", overflow(full)),
        ChannelKind::File(full) => format!("file {{ path: \"/c{number}\", {durable}{} }}", overflow(full)),
        ChannelKind::Kafka => format!(
            "kafka {{ brokers: [\"kafka:9092\"], topic: \"c{number}\", group: \"c{number}\", partitions: all, {durable}, \
             create: {{ partitions: 1 }} }}"
        ),
    }
}

fn sink_text(kind: SinkKind, number: usize) -> String {
    let kafka = |more: &str| {
        format!("kafka {{ brokers: [\"kafka:9092\"], topic: \"out{number}\", format: json{more} }}")
    };
    match kind {
        SinkKind::Files => format!("files {{ path: \"/out{number}\", format: json }}"),
        SinkKind::FilesByFile => format!("files {{ path: \"/out{number}/{{@file}}\", format: json }}"),
        SinkKind::FilesByPart => format!("files {{ path: \"/out{number}/{{part}}\", format: json }}"),
        SinkKind::Hdfs => format!("hdfs {{ url: \"hdfs://name\", path: \"/out{number}\", format: json }}"),
        SinkKind::Kafka => kafka(""),
        SinkKind::KafkaByKey => kafka(", key: \"{key}\""),
        SinkKind::LooseKafka => kafka(", delivery: at_least_once"),
        SinkKind::Null => "null {}".to_owned(),
        SinkKind::Stdout => "stdout { format: json }".to_owned(),
    }
}

impl Text<'_> {
    /// Writes a chain that begins at a component, and then those behind its channels.
    fn line(&mut self, flow: usize, from: &str, chain: &Chain, parsed: bool) {
        let mut behind = BTreeMap::new();
        let text = chain_text(chain, parsed, &mut behind);
        self.flows[flow].push(format!("  {from} -> {text}"));
        for (channel, parsed) in behind {
            if !std::mem::replace(&mut self.written[channel], true) {
                let of_channel = &self.pipeline.channels[channel];
                self.line(of_channel.flow, &format!("c{channel}"), &of_channel.chain, parsed);
            }
        }
    }
}

/// Writes a chain without its beginning. `behind` gets the channels where it ends, each with whether its events are parsed.
fn chain_text(chain: &Chain, mut parsed: bool, behind: &mut BTreeMap<usize, bool>) -> String {
    let mut text = String::new();
    for step in &chain.steps {
        let _ = write!(text, "{} -> ", step_text(step, parsed));
        parsed |= matches!(step, Step::Parse { .. });
    }
    let list = |chains: &[Chain], behind: &mut BTreeMap<usize, bool>| {
        let texts: Vec<String> = chains.iter().map(|chain| chain_text(chain, parsed, behind)).collect();
        texts.join(", ")
    };
    let to = match &chain.to {
        To::Sink(sink) => format!("k{sink}"),
        To::Channel(channel) => {
            behind.entry(*channel).or_insert(parsed);
            format!("c{channel}")
        }
        To::Copy(branches) => {
            let branch = |(optional, chain): &(bool, Chain)| {
                let optional = if *optional { "optional " } else { "" };
                format!("{optional}{}", chain_text(chain, parsed, behind))
            };
            format!("copy {{ {} }}", branches.iter().map(branch).collect::<Vec<_>>().join(", "))
        }
        To::Match(cases, last) => {
            let mut texts: Vec<String> = Vec::new();
            for (condition, chain) in cases {
                let chain = chain_text(chain, parsed, behind);
                texts.push(format!("{} -> {chain}", condition_text(*condition, parsed)));
            }
            texts.push(format!("_ -> {}", chain_text(last, parsed, behind)));
            format!("match {{ {} }}", texts.join(", "))
        }
        To::Balance(chains) => format!("balance {{ {} }}", list(chains, behind)),
        To::BalanceBy(key, chains) => {
            format!("balance by {} {{ {} }}", key_text(*key), list(chains, behind))
        }
        To::Failover(chains) => format!("failover {{ {} }}", list(chains, behind)),
    };
    text + &to
}

fn step_text(step: &Step, parsed: bool) -> String {
    let condition = |condition: &Condition| condition_text(*condition, parsed);
    match step {
        Step::Keep(of) => format!("keep if {}", condition(of)),
        Step::Drop(of) => format!("drop if {}", condition(of)),
        Step::Reject(of) => format!("reject if {}", condition(of)),
        Step::Check(of) => format!("reject if not ({}) because \"a rule\"", condition(of)),
        Step::Parse { rejects: true } => "parse kv as Numbered else reject".to_owned(),
        Step::Parse { rejects: false } => "parse kv as Numbered else drop".to_owned(),
        Step::SetKey if parsed => "set key = if k == 0 then \"a\" else \"b\"".to_owned(),
        Step::SetKey => "set key = if body matches r\"k=0\" then \"a\" else \"b\"".to_owned(),
        Step::SetHeader => "set @key = bytes(\"same\")".to_owned(),
        Step::Rename => "rename key to other".to_owned(),
        Step::SetStamp => "set stamp = now()".to_owned(),
        Step::SetDice => "set dice = random()".to_owned(),
        Step::Explode => "set part = [\"a\", \"b\"] -> explode part".to_owned(),
        Step::Sample => "sample 50%".to_owned(),
        Step::Throttle => "throttle 100/s".to_owned(),
        Step::DedupeAll if parsed => "dedupe by n within 1h".to_owned(),
        Step::DedupeAll => "dedupe by body within 1h".to_owned(),
        Step::DedupeByKey if parsed => "dedupe by k within 1h".to_owned(),
        Step::DedupeByKey => "dedupe by (capture(body, r\"k=(\\d)\") ?? \"\") within 1h".to_owned(),
    }
}

fn condition_text(condition: Condition, parsed: bool) -> String {
    let text = match (condition, parsed) {
        (Condition::Odd, true) => "n % 2 == 1",
        (Condition::Odd, false) => "body matches r\"^n=?\\d*[13579] \"",
        (Condition::Fifth, true) => "n % 5 == 0",
        (Condition::Fifth, false) => "body matches r\"^n=?\\d*[05] \"",
        (Condition::Random, _) => "random() < 0.5",
        (Condition::Dice, _) => "dice < 0.5",
        (Condition::Now, _) => "second(now()) % 2 == 0",
        (Condition::Timestamp, _) => "second(@timestamp) % 2 == 0",
        (Condition::File, _) => "@file matches r\"b$\"",
        (Condition::Lookup, true) => "text(n) in known",
        (Condition::Lookup, false) => "(capture(body, r\"n=?(\\d+)\") ?? \"\") in known",
    };
    text.to_owned()
}

fn key_text(key: Key) -> &'static str {
    match key {
        Key::Field => "key",
        Key::Header => "@key",
        Key::Body => "capture(body, r\"k=(\\d)\")",
        Key::Dice => "dice",
    }
}
