//! The pipelines that the histories run.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use weir_compiler::{Analysis, Library, Options, lower};
use weir_plan::Plan;

use super::forks::Forked;
use super::workload::FOLDER;

/// The pipeline of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Setup {
    /// Whether the channel is a file channel, or else one in memory.
    pub(super) durable: bool,
    /// Whether the source keeps a file of positions. Without it, compressed files are only recognised as copies, since
    /// the source promises nothing for others.
    pub(super) positions: bool,
    /// The mode of the source.
    pub(super) mode: Mode,
    /// Whether a step rejects lines.
    pub(super) rejects: Rejects,
    /// Whether a step makes two events of each line, which end in different files.
    pub(super) explodes: bool,
    /// Whether a `match` behind the channel leads the lines to the sink over two branches.
    pub(super) meets: bool,
    /// The fork that divides the events between two sinks; none if one sink takes them.
    pub(super) forked: Option<Forked>,
}

/// Whether and where a step rejects the lines of some files. They go into a file of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rejects {
    /// No step rejects lines.
    None,
    /// A step before the channel; the rejected lines go through a channel in memory or a durable one.
    Before {
        /// Whether the channel of the rejected lines is durable.
        durable: bool,
    },
    /// A step behind the channel; the channel of the rejected lines is durable.
    Behind,
    /// The sinks behind a `failover` or a `balance`; the channel of the rejected lines is durable.
    BySinks,
}

/// The mode of the source, and what happens to delivered files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    /// Files grow.
    Follow,
    /// Files are complete, and are renamed when they are delivered.
    Rename,
    /// Files are complete, and are deleted when they are delivered.
    Delete,
}

/// The pipeline that the others differ from.
const PLAIN: Setup = Setup {
    durable: true,
    positions: true,
    mode: Mode::Follow,
    rejects: Rejects::None,
    explodes: false,
    meets: false,
    forked: None,
};

/// The pipelines that are tried.
pub(super) const SETUPS: [Setup; 8] = [
    PLAIN,
    Setup { durable: false, ..PLAIN },
    Setup { positions: false, ..PLAIN },
    Setup { durable: false, positions: false, ..PLAIN },
    Setup { mode: Mode::Rename, ..PLAIN },
    Setup { durable: false, mode: Mode::Delete, ..PLAIN },
    Setup { positions: false, mode: Mode::Delete, ..PLAIN },
    Setup { durable: false, positions: false, mode: Mode::Rename, ..PLAIN },
];

/// The pipelines with steps that reject lines.
pub(super) const REJECTING: [Setup; 5] = [
    rejecting(true, Rejects::Before { durable: true }),
    rejecting(true, Rejects::Before { durable: false }),
    rejecting(false, Rejects::Before { durable: false }),
    rejecting(true, Rejects::Behind),
    rejecting(false, Rejects::Behind),
];

const fn rejecting(durable: bool, rejects: Rejects) -> Setup {
    Setup { durable, rejects, ..PLAIN }
}

/// The pipelines that make two events of each line before a durable channel.
pub(super) const EXPLODING: [Setup; 3] = [
    Setup { explodes: true, ..PLAIN },
    Setup { positions: false, explodes: true, ..PLAIN },
    Setup { mode: Mode::Rename, explodes: true, ..PLAIN },
];

/// The pipelines whose sink reads the channel with two readers.
pub(super) const MEETING: [Setup; 3] = [
    Setup { meets: true, ..PLAIN },
    Setup { positions: false, meets: true, ..PLAIN },
    Setup { durable: false, meets: true, ..PLAIN },
];

impl Setup {
    /// Returns whether the lines of a file are rejected, by the file's number.
    pub(super) fn rejects_lines_of(self, generation: usize) -> bool {
        self.rejects != Rejects::None && generation % 2 == 1
    }

    /// Returns the text of the pipeline.
    pub(super) fn program(self) -> String {
        let decompress = self.positions;
        let positions = if self.positions { "positions: \"/state/positions.json\"" } else { "" };
        let channel = match self.durable {
            true => "file { path: \"/channel\", transaction_capacity: 100 }",
            false => "memory { capacity: 60, transaction_capacity: 40 }",
        };
        let mode = match self.mode {
            Mode::Follow => "follow",
            Mode::Rename => "complete { after: rename { suffix: \".done\" } }",
            Mode::Delete => "complete { after: delete }",
        };
        let explode = "-> set side = [\"left\", \"right\"] -> explode side ".to_owned();
        let (before, behind) = match self.rejects {
            Rejects::None if self.explodes => (explode, String::new()),
            Rejects::None | Rejects::BySinks => (String::new(), String::new()),
            Rejects::Before { .. } => (format!("-> {REJECT} "), String::new()),
            Rejects::Behind => (String::new(), format!("-> {REJECT} ")),
        };
        let side = if self.explodes { "{side}/" } else { "" };
        let bad = match self.rejects {
            Rejects::None => "",
            Rejects::Before { durable: false } => {
                "channel bad = memory { capacity: 25, transaction_capacity: 20 }"
            }
            _ => "channel bad = file { path: \"/rejected\", transaction_capacity: 20 }",
        };
        let (dead, route) = match self.rejects {
            Rejects::None => ("", ""),
            _ => (
                "sink dead = files {\n  path: \"/out/rejects\"\n  roll: { count: 9, age: 1s }\n}",
                "rejects -> bad -> dead",
            ),
        };
        let source = format!(
            "source logs = files {{\n  paths: [\"{FOLDER}/*.log*\"]\n  mode: {mode}\n  decompress: {decompress}\n  \
             {positions}\n  poll: 50ms\n  batch: 20\n}}"
        );
        let (sinks, paths) = match self.forked {
            None if self.meets => (
                files("out", "{@file}"),
                format!("logs -> buffer -> match {{ {OF_ODD_FILES} -> out, _ -> out }}"),
            ),
            None => {
                (files("out", &format!("{side}{{@file}}")), format!("logs {before}-> buffer {behind}-> out"))
            }
            Some(forked) => forked.sinks_and_paths(&before, &behind, self.durable),
        };
        let promise = if self.is_exactly_once() { "exactly_once" } else { "at_least_once" };
        format!(
            "{source}\nchannel buffer = {channel}\n{sinks}\n{bad}\n{dead}\n\
             flow main delivers {promise} {{\n  {paths}\n  {route}\n}}\n"
        )
    }

    /// Returns whether the flow promises `exactly_once`.
    pub(super) fn is_exactly_once(self) -> bool {
        self.forked.is_none_or(Forked::keeps_exactly_once)
    }

    /// Returns what the compiler finds about the pipeline.
    pub(super) fn analysis(self) -> Analysis {
        static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
            Library::parse(crate::library_sources().iter().copied()).expect("the library is right")
        });
        let (program, options) = (self.program(), Options::default());
        weir_compiler::analyse(&("logs.flow", &*program), "logs.flow", &LIBRARY, &options)
    }

    pub(super) fn plan(self) -> Plan {
        static PLANS: LazyLock<Mutex<HashMap<Setup, Plan>>> = LazyLock::new(Mutex::default);
        let mut plans = PLANS.lock().unwrap();
        let compiled = || {
            let analysis = self.analysis();
            lower(&analysis).unwrap_or_else(|| panic!("{}: {:?}", self.program(), analysis.diagnostics))
        };
        plans.entry(self).or_insert_with(compiled).clone()
    }
}

/// Whether a line is of a file with an odd number.
const OF_ODD_FILES: &str = "body matches r\"^\\d*[13579] \"";

/// The step that rejects the lines of some files.
pub(super) const REJECT: &str = "reject if body matches r\"^\\d*[13579] \" because \"odd\"";

/// Returns the declaration of a sink of files below `/out`.
pub(super) fn files(name: &str, directory: &str) -> String {
    format!(
        "sink {name} = files {{\n  path: \"/out/{directory}\"\n  roll: {{ count: 12, age: 1s }}\n  max_open: 3\n}}"
    )
}
