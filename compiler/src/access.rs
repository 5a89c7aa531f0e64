//! The list of the ports, hosts, files, state and environment variables that an agent with a program reaches.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use weir_grammar::tree::{ExpressionKind, Node, Role, TextPart, walk};
use weir_plan::{Action, Expression, Operation, SecretReference, Value};

use crate::analysis::Analysis;
use crate::analysis::graph::{Component, Leg};
use crate::flows::surface::{Touched, host_and_port, texts, touched_in};
use crate::options::variable_of_param;
use crate::signatures::Library;

/// The kinds of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    /// Listens on this TCP address: `0.0.0.0:8080`.
    ListensTcp,
    /// Receives datagrams at this UDP address.
    ListensUdp,
    /// Connects to this address. The host `*` stands for hosts that a server names, on the same port if there is none.
    Connects,
    /// Reads this file, or the files below this folder.
    Reads,
    /// Writes, renames and deletes files below this folder.
    Writes,
    /// Keeps its own state in this directory, or in this file and beside it.
    State,
    /// Reads this environment variable.
    Variable,
    /// Reads a secret from this environment variable.
    SecretVariable,
    /// Reads a secret from this file.
    SecretFile,
}

impl AccessKind {
    /// Returns the kind as the first word of a line.
    pub fn word(self) -> &'static str {
        match self {
            AccessKind::ListensTcp => "listens tcp",
            AccessKind::ListensUdp => "listens udp",
            AccessKind::Connects => "connects",
            AccessKind::Reads => "reads",
            AccessKind::Writes => "writes",
            AccessKind::State => "state",
            AccessKind::Variable => "variable",
            AccessKind::SecretVariable => "secret variable",
            AccessKind::SecretFile => "secret file",
        }
    }

    /// Returns whether the access names a path on the machine.
    pub fn is_path(self) -> bool {
        use AccessKind::{Reads, SecretFile, State, Writes};
        matches!(self, Reads | Writes | State | SecretFile)
    }
}

/// One thing that the agent reaches or touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Access {
    /// The kind.
    pub kind: AccessKind,
    /// The address, the path or the name of the variable. A path may be relative, and a glob is as the program has it.
    pub what: String,
    /// The settings that need the access, such as `clicks.brokers`, or a part of the program in words.
    pub by: Vec<String>,
}

impl Access {
    /// Returns the file or the folder of a path: the part before wildcards.
    pub fn root(&self) -> &str {
        match self.what.find(['*', '?', '[', '{']) {
            Some(wildcard) => {
                let end = self.what[..wildcard].rfind('/').map_or(0, |slash| slash.max(1));
                &self.what[..end]
            }
            None => &self.what,
        }
    }
}

/// The places of an agent that a program does not say.
#[derive(Debug, Clone, Default)]
pub struct AgentPlaces {
    /// The state directory, if the agent has one.
    pub state: Option<String>,
    /// The working directory, in which other relative paths begin. Without it they stay relative.
    pub working: Option<String>,
}

impl AgentPlaces {
    /// Returns the directory in which relative paths of state begin.
    fn of_state(&self) -> Option<&String> {
        self.state.as_ref().or(self.working.as_ref())
    }
}

/// The name of a program on standard input.
const STANDARD_INPUT: &str = "-";

/// The accesses of a program, without duplicates.
type Collected = BTreeMap<(AccessKind, String), BTreeSet<String>>;

/// Returns what an agent that runs the program reaches and touches, sorted by kinds. It comes from the signatures of the library.
pub fn access(analysis: &Analysis, library: &Library, places: &AgentPlaces) -> Vec<Access> {
    let mut all = Collected::new();
    for component in analysis.graph.components.iter().filter(|component| component.events.is_some()) {
        of_component(component, analysis, library, places, &mut all);
    }
    let mut expressions = Vec::new();
    for edge in &analysis.graph.edges {
        of_leg(&edge.leg, &mut expressions);
        of_parsers(&edge.leg, library, places, &mut all);
    }
    for function in analysis.functions.iter().flatten() {
        expressions.extend(function.lets.iter().chain([&function.result]));
    }
    for expression in expressions {
        of_expression(expression, places, &mut all);
    }
    of_text(analysis, places, &mut all);
    let all = all.into_iter();
    all.map(|((kind, what), by)| Access { kind, what, by: by.into_iter().collect() }).collect()
}

fn note(all: &mut Collected, kind: AccessKind, what: impl Into<String>, by: impl Into<String>) {
    all.entry((kind, what.into())).or_default().insert(by.into());
}

/// Adds what the agent reads to compile the program: its files, and environment variables.
fn of_text(analysis: &Analysis, places: &AgentPlaces, all: &mut Collected) {
    // The program on standard input has no file.
    for file in analysis.program_files().filter(|file| *file != STANDARD_INPUT) {
        note(all, AccessKind::Reads, path(file, places.working.as_ref()), "the program");
    }
    for param in analysis.params.values() {
        if let Some(variable) = variable_of_param(&param.name) {
            note(all, AccessKind::Variable, variable, format!("param {}", param.name));
        }
    }
    for module in &analysis.modules {
        walk(&module.tree, &mut |node| {
            if let Node::Expression(expression) = node
                && let ExpressionKind::Call(call) = &expression.kind
                && &*call.function.name.text == "env"
                && let [only] = &*call.arguments
                && let ExpressionKind::Text(text) = &only.value.kind
                && let [TextPart::Literal(name)] = &*text.parts
            {
                note(all, AccessKind::Variable, name.to_string(), "the program");
            }
            true
        });
    }
}

/// Returns a path, absolute if its directory is known.
fn path(path: &str, directory: Option<&String>) -> String {
    match directory {
        Some(directory) if !path.starts_with('/') => {
            let path = path.strip_prefix("./").unwrap_or(path);
            format!("{}/{path}", directory.trim_end_matches('/'))
        }
        _ => path.to_owned(),
    }
}

fn of_component(
    component: &Component,
    analysis: &Analysis,
    library: &Library,
    places: &AgentPlaces,
    all: &mut Collected,
) {
    let name = &component.declared.name;
    let state = places.of_state();
    let mut has_state = false;
    for touched in component.touched(library) {
        let by = format!("{name}.{}", touched.setting);
        has_state |= touched.kind == "state";
        for text in texts(touched.value) {
            add(all, touched.kind, &text, &by, places);
        }
    }
    for clause in component.always_touched(library) {
        match (&*clause.kind.text, &*clause.what.text) {
            // The hosts that a server names are on the ports of the servers.
            ("host", "*") => {
                for port in ports(component, library) {
                    note(all, AccessKind::Connects, format!("*{port}"), name.to_string());
                }
            }
            (kind, what) => add(all, kind, what, name, places),
        }
    }
    // A durable channel without a path has a place in the state directory.
    let wants_state = component.signature.as_ref().is_some_and(|signature| {
        let settings = &signature.group.settings;
        let touches = settings.iter().flat_map(|setting| &setting.touches);
        component.declared.role == Role::Channel && touches.into_iter().any(|one| &*one.kind.text == "state")
    });
    if wants_state && !has_state {
        note(all, AccessKind::State, path(&format!("{}/{name}", analysis.program), state), name.to_string());
    }
    for setting in component.settings.iter() {
        if let Some(Value::Secret(secret)) = &setting.value {
            of_secret(secret, &format!("{name}.{}", setting.name), places, all);
        }
    }
}

/// Returns the ports of the servers that the component's own settings name, each with its colon; an empty text for a port that is not
/// known. What a record or a variant within names, such as a registry of schemas, is another server, which names no hosts.
fn ports(component: &Component, library: &Library) -> BTreeSet<String> {
    let own = |touched: &Touched<'_>| touched.kind == "host" && !touched.setting.contains('.');
    let hosts = component.touched(library).into_iter().filter(own);
    let port = |text: Cow<'_, str>| host_and_port(&text).1.map_or(String::new(), |port| format!(":{port}"));
    hosts.flat_map(|host| texts(host.value).into_iter().map(port)).collect()
}

/// Adds what a clause of the library names.
fn add(all: &mut Collected, kind: &str, text: &str, by: &str, places: &AgentPlaces) {
    let (kind, what) = match kind {
        "port" => (AccessKind::ListensTcp, text.to_owned()),
        "datagrams" => (AccessKind::ListensUdp, text.to_owned()),
        "host" => (AccessKind::Connects, text.to_owned()),
        "input" => (AccessKind::Reads, path(text, places.working.as_ref())),
        "output" => (AccessKind::Writes, path(text, places.working.as_ref())),
        "state" => (AccessKind::State, path(text, places.of_state())),
        "variable" => (AccessKind::Variable, text.to_owned()),
        // The server of a group or a topic is named by the setting with its address.
        _ => return,
    };
    note(all, kind, what, by);
}

fn of_secret(secret: &SecretReference, by: &str, places: &AgentPlaces, all: &mut Collected) {
    match secret {
        SecretReference::Environment(name) => note(all, AccessKind::SecretVariable, name, by),
        SecretReference::File(file) => {
            note(all, AccessKind::SecretFile, path(file, places.working.as_ref()), by);
        }
    }
}

/// Adds what the parsers of a leg name: files with schemas.
fn of_parsers(leg: &Leg, library: &Library, places: &AgentPlaces, all: &mut Collected) {
    for step in &leg.steps {
        let Action::Parse { parser, settings, .. } = &step.action else { continue };
        let Some(signature) = library.parsers.get(parser.as_str()) else { continue };
        for touched in touched_in(&signature.group, &settings.values, library) {
            for text in texts(touched.value) {
                add(all, touched.kind, &text, &format!("parse {parser}"), places);
            }
        }
    }
    leg.to.legs().into_iter().for_each(|leg| of_parsers(leg, library, places, all));
}

fn of_leg<'a>(leg: &'a Leg, expressions: &mut Vec<&'a Expression>) {
    expressions.extend(leg.steps.iter().flat_map(|step| step.action.expressions()));
    expressions.extend(leg.to.conditions());
    leg.to.legs().into_iter().for_each(|leg| of_leg(leg, expressions));
}

/// Adds the lookup tables and the secrets of an expression.
fn of_expression(expression: &Expression, places: &AgentPlaces, all: &mut Collected) {
    match &expression.operation {
        Operation::Table(table) => {
            note(all, AccessKind::Reads, path(&table.path, places.working.as_ref()), "lookup");
        }
        Operation::Literal(Value::Secret(secret)) => of_secret(secret, "a function", places, all),
        _ => {}
    }
    expression.operation.parts().into_iter().for_each(|part| of_expression(part, places, all));
}
