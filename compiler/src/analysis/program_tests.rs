//! The checked tests of a program: what each sends, does and expects, as values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_grammar::Span;
use weir_grammar::tree::Operator;
use weir_plan::Value;

use crate::analysis::graph::Step;
use crate::names::scopes::ComponentIndex;
use crate::types::columns::Columns;

/// A test of the program.
#[derive(Debug, Clone)]
pub struct ProgramTest {
    /// The title.
    pub title: String,
    /// The place of the title.
    pub span: Span,
    /// The place of the item, with all acts.
    pub item: Span,
    /// The params that the test sets, with their values.
    pub params: BTreeMap<String, Value>,
    /// The actions and expectations of the test, in their order.
    pub content: TestContent,
}

/// What a test does and expects.
#[derive(Debug, Clone)]
pub enum TestContent {
    /// The program runs, and the acts follow one another.
    Program(Vec<TestAct>),
    /// Steps or a function alone get the rows of a table.
    Alone(StepTest),
}

/// A line of a test that runs the program.
#[derive(Debug, Clone)]
pub struct TestAct {
    /// The place of the line.
    pub span: Span,
    /// What it does or expects.
    pub kind: TestActKind,
}

/// The kinds of acts.
#[derive(Debug, Clone)]
pub enum TestActKind {
    /// Events come to a source.
    Send {
        /// The source.
        source: ComponentIndex,
        /// The events, or lines.
        events: TestEvents,
        /// Whether these are lines, of which the source makes events.
        as_lines: bool,
    },
    /// A sink has written exactly these events since the last act that expected writes there.
    Writes {
        /// The sink.
        at: ComponentIndex,
        /// The name of the sink.
        name: String,
        /// The text that the sink writes of each event: the parts that its settings make, by the names of the settings, and the text as `body`.
        events: Vec<TestEvent>,
    },
    /// A sink has received exactly these events since the last act that expected events there.
    Expect {
        /// The sink; for `rejects`, the pseudo-component of the first flow whose rejected events are used.
        at: ComponentIndex,
        /// The name of the sink, or `rejects`.
        name: String,
        /// The events.
        events: TestEvents,
    },
    /// No event is missing.
    NoLoss,
    /// No event came more often than it should.
    NoDuplicates,
    /// The events of each source are in their order at each sink.
    Order,
    /// A metric of a component has a value.
    Metric {
        /// The component.
        component: ComponentIndex,
        /// The metric's name, one of [`TEST_METRICS`].
        metric: String,
        /// How the metric compares with the value.
        comparison: Operator,
        /// The value.
        value: i64,
    },
    /// Time passes.
    Advance(Duration),
    /// The next calls of a component fail.
    Fail {
        /// The component.
        component: ComponentIndex,
        /// The number of calls.
        times: u64,
    },
    /// The disk of a channel is full at the next call that needs space.
    DiskFull(ComponentIndex),
    /// The agent is killed and started again.
    Crash,
}

/// The metrics of a component that a test can expect.
pub const TEST_METRICS: [&str; 6] = ["received", "processed", "delivered", "dropped", "rejected", "restarts"];

/// Events in a test.
#[derive(Debug, Clone)]
pub enum TestEvents {
    /// Events in the text of the test.
    Listed(Vec<TestEvent>),
    /// Events in a file, one in each line. The name is relative to the file of the program.
    File {
        /// The name.
        name: String,
        /// The place of the name.
        span: Span,
    },
}

/// One event of a test.
#[derive(Debug, Clone)]
pub struct TestEvent {
    /// The place of the event.
    pub span: Span,
    /// The parts that the test gives.
    pub content: EventContent,
}

/// The parts of an event that a test gives.
#[derive(Debug, Clone, PartialEq)]
pub enum EventContent {
    /// The body, as text.
    Body(String),
    /// The body, as a JSON document.
    Json(Value),
    /// Columns by their names.
    Columns(BTreeMap<String, Value>),
}

/// A test of steps or of a function alone.
#[derive(Debug, Clone)]
pub struct StepTest {
    /// The columns of the events that go in.
    pub before: Arc<Columns>,
    /// The steps.
    pub(crate) steps: Vec<Step>,
    /// The rows.
    pub rows: Vec<TestRow>,
    /// Whether a function is tested: its result is the column [`RESULT`].
    pub is_function: bool,
}

impl StepTest {
    /// Returns the places of the steps. A step of an interceptor has its place in the interceptor.
    pub fn places(&self) -> Vec<Span> {
        self.steps.iter().map(|step| step.span).collect()
    }
}

/// The column with the result of a function that is tested alone.
pub const RESULT: &str = "result";

/// A row of a table.
#[derive(Debug, Clone)]
pub struct TestRow {
    /// The place of the row.
    pub span: Span,
    /// What goes in.
    pub given: TestEvent,
    /// The events that have to come out.
    pub out: Vec<TestEvent>,
    /// The place of what has to come out.
    pub out_span: Span,
}
