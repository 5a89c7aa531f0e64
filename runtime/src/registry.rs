//! The registry of the components and functions that an agent can run.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use weir_plan::{Expression, Settings};

use crate::channel::Channel;
use crate::environment::clock::Clock;
use crate::environment::descriptors::Descriptors;
use crate::expressions::{
    CompileError, Function, Functions, MakeFunction, Program, ReadTable, make_function,
};
use crate::failure::Failure;
use crate::observability::meter::Meter;
use crate::parsers::{MakeParser, Parser, ParserCall, Parsers, make_parser};
use crate::previews::{EventsOfLines, Previews, Writes};
use crate::sink::Sink;
use crate::source::Source;
use crate::steps::{EventsAsJson, Observer};

/// The surroundings of a component: its program, its event type and the runtime's services.
#[derive(Clone)]
pub struct Context {
    /// The program's name.
    pub program: Arc<str>,
    /// The component's own name, as the user gave it.
    pub component: Arc<str>,
    /// The type of the events that the component emits, holds or takes.
    pub schema: SchemaRef,
    /// Whether a flow through the component promises `exactly_once`.
    pub exactly_once: bool,
    /// The component's meter, for its own counts.
    pub meter: Arc<Meter>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The component's file descriptors; the process has a limited number.
    pub descriptors: Descriptors,
}

/// Makes a component from its settings, without touching files, networks or other systems.
pub type Make<Made> = Arc<dyn Fn(&Settings, Context) -> Result<Made, Failure> + Send + Sync>;
/// Makes a source.
pub type MakeSource = Make<Box<dyn Source>>;
/// Makes a channel.
pub type MakeChannel = Make<Arc<dyn Channel>>;
/// Makes a sink.
pub type MakeSink = Make<Box<dyn Sink>>;

/// Makes a source that reads its events from the first one that is there, and leaves no trace: it keeps, commits, acknowledges, renames
/// and deletes nothing, and takes nothing from other readers.
pub type MakeUntraced = fn(&Settings, Context) -> Result<Box<dyn Source>, Failure>;

/// How a kind of source gives a sample without a trace.
#[derive(Debug, Clone, Copy)]
pub enum Untraced {
    /// By a source of its own.
    By(MakeUntraced),
    /// Not at all, and why, in words.
    Never(&'static str),
}

/// The kinds of sources, channels and sinks, the functions and the parsers, by name.
#[derive(Default)]
pub struct Registry {
    pub(crate) sources: BTreeMap<Cow<'static, str>, MakeSource>,
    pub(crate) channels: BTreeMap<Cow<'static, str>, MakeChannel>,
    pub(crate) sinks: BTreeMap<Cow<'static, str>, MakeSink>,
    pub(crate) functions: Functions,
    pub(crate) parsers: Parsers,
    pub(crate) events_as_json: Option<EventsAsJson>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) previews: Previews,
    untraced: BTreeMap<&'static str, Untraced>,
    /// Whether agents are built although their plans can't keep what they promise.
    pub(crate) trusts_plans: bool,
}

impl Registry {
    /// Adds a kind of source.
    pub fn source(
        mut self,
        kind: impl Into<Cow<'static, str>>,
        make: impl Fn(&Settings, Context) -> Result<Box<dyn Source>, Failure> + Send + Sync + 'static,
    ) -> Registry {
        self.sources.insert(kind.into(), Arc::new(make));
        self
    }

    /// Adds a kind of channel.
    pub fn channel(
        mut self,
        kind: impl Into<Cow<'static, str>>,
        make: impl Fn(&Settings, Context) -> Result<Arc<dyn Channel>, Failure> + Send + Sync + 'static,
    ) -> Registry {
        self.channels.insert(kind.into(), Arc::new(make));
        self
    }

    /// Sets how a kind of source makes events of lines, for tests of programs.
    pub fn events_of_lines(mut self, kind: &'static str, make: EventsOfLines) -> Registry {
        self.previews.lines.insert(kind.into(), make);
        self
    }

    /// Sets what a kind of sink writes, for tests of programs.
    pub fn writes(mut self, kind: &'static str, write: Writes) -> Registry {
        self.previews.writes.insert(kind.into(), write);
        self
    }

    /// Sets how a kind of source gives a sample without a trace.
    pub fn untraced(mut self, kind: &'static str, untraced: Untraced) -> Registry {
        self.untraced.insert(kind, untraced);
        self
    }

    /// Returns how a kind of source gives a sample without a trace; none if nothing is known of it.
    pub fn untraced_of(&self, kind: &str) -> Option<Untraced> {
        self.untraced.get(kind).copied()
    }

    /// Returns how a kind of source makes events of lines; none if it reads no lines.
    pub fn events_of_lines_of(&self, kind: &str) -> Option<EventsOfLines> {
        self.previews.lines.get(kind).copied()
    }

    /// Returns what a kind of sink writes; none if that can't be known.
    pub fn writes_of(&self, kind: &str) -> Option<Writes> {
        self.previews.writes.get(kind).copied()
    }

    /// Adds a function.
    pub fn function(mut self, name: &'static str, make: MakeFunction) -> Registry {
        self.functions.library.insert(name, make);
        self
    }

    /// Sets the reader of lookup tables.
    pub fn table_reader(mut self, read: ReadTable) -> Registry {
        self.functions.read_table = Some(read);
        self
    }

    /// Prepares a function for a call with these arguments, as building an agent does.
    ///
    /// # Errors
    /// When there is no such function, or it does not take these arguments.
    pub fn make_function(&self, name: &str, arguments: &[Expression]) -> Result<Box<dyn Function>, String> {
        make_function(&self.functions, name, arguments).map_err(CompileError::into_text)
    }

    /// Compiles an expression of a program with these functions, as building an agent does.
    ///
    /// # Errors
    /// When this version does not support a part of the expression, or it can't be prepared.
    pub fn compile(
        &self,
        expression: &Expression,
        program: &[weir_plan::Function],
        clock: &Arc<dyn Clock>,
    ) -> Result<Program, String> {
        let functions = self.functions.of_program(program, clock);
        Program::compile(expression, &functions).map_err(CompileError::into_text)
    }

    /// The kinds of sources.
    pub fn source_kinds(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(AsRef::as_ref)
    }

    /// The kinds of channels.
    pub fn channel_kinds(&self) -> impl Iterator<Item = &str> {
        self.channels.keys().map(AsRef::as_ref)
    }

    /// The kinds of sinks.
    pub fn sink_kinds(&self) -> impl Iterator<Item = &str> {
        self.sinks.keys().map(AsRef::as_ref)
    }

    /// The names of the functions.
    pub fn function_names(&self) -> impl Iterator<Item = &'static str> {
        self.functions.library.keys().copied()
    }

    /// Returns what makes a kind of channel; none if there is no such kind.
    pub fn maker_of_channel(&self, kind: &str) -> Option<MakeChannel> {
        self.channels.get(kind).cloned()
    }

    /// Adds a parser.
    pub fn parser(mut self, name: &'static str, make: MakeParser) -> Registry {
        self.parsers.insert(name, make);
        self
    }

    /// Prepares the parser of this name for a step.
    ///
    /// # Errors
    /// When there is no such parser, or it does not support the step, in words for the user.
    pub fn make_parser(&self, name: &str, call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
        make_parser(&self.parsers, name, call).map_err(CompileError::into_text)
    }

    /// Sets how rejected events that have no body are written as JSON.
    pub fn events_as_json(mut self, write: EventsAsJson) -> Registry {
        self.events_as_json = Some(write);
        self
    }

    /// The names of the parsers.
    pub fn parser_names(&self) -> impl Iterator<Item = &'static str> {
        self.parsers.keys().copied()
    }

    /// Adds a kind of sink.
    pub fn sink(
        mut self,
        kind: impl Into<Cow<'static, str>>,
        make: impl Fn(&Settings, Context) -> Result<Box<dyn Sink>, Failure> + Send + Sync + 'static,
    ) -> Registry {
        self.sinks.insert(kind.into(), Arc::new(make));
        self
    }

    /// Sets who watches the events at the steps and routes of the agents that are built.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Registry {
        self.observer = Some(observer);
        self
    }

    /// Lets agents be built of plans that can't keep what they promise, so that a test can show how the promise is broken.
    #[doc(hidden)]
    pub fn trusting_plans(mut self) -> Registry {
        self.trusts_plans = true;
        self
    }
}
