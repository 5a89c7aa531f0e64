//! What the tests of the parsers share: a step of a program, and its rows as JSON.

pub(super) mod mutations;
mod unread;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{BinaryViewArray, RecordBatch};
use arrow_schema::{Field, Schema};
use serde_json::Value;
use weir_compiler::{Library, Options, analyse, lower};
use weir_plan::{Action, Settings};
use weir_runtime::parsers::{Parsed, Parser, ParserCall, WantedField};

#[test]
fn every_parser_has_its_rust() {
    let texts = crate::library_sources().iter().map(|(_, text)| *text);
    let items = texts.flat_map(|text| text.lines().filter_map(|line| line.strip_prefix("extern parser ")));
    let declared: BTreeSet<&str> = items.filter_map(|item| item.split(':').next()).collect();
    let registry = super::register(weir_runtime::Registry::default());
    let carried_out: BTreeSet<&str> = registry.parser_names().collect();
    assert_eq!(carried_out, declared);
}

/// A row as a JSON object without its null fields, or the reason why its body can't be parsed.
pub(super) type ParsedRow = Result<Value, String>;

/// A step `parse` of a program.
pub(super) struct ParseStep {
    parser: String,
    settings: Settings,
    pub(super) fields: Vec<WantedField>,
    known: usize,
    strict: bool,
}

impl ParseStep {
    /// Compiles a step such as `parse json as Click`, in a program with these schemas.
    pub(super) fn compile(step: &str, schemas: &str) -> ParseStep {
        let library = Library::parse(crate::library_sources().iter().copied()).expect("the library is right");
        let program = format!(
            "{schemas}\nsource a = generate {{}}\nsink b = null {{}}\nflow main {{ a -> {step} else drop -> b }}\n"
        );
        let analysis = analyse(&("a.flow", program.as_str()), "a.flow", &library, &Options::default());
        let plan = lower(&analysis).unwrap_or_else(|| panic!("{program}: {:?}", analysis.diagnostics));
        let paths = plan.flows.iter().flat_map(|flow| &flow.paths);
        let step = paths.flat_map(|path| &path.leg.steps).next().expect("the program has the step");
        let Action::Parse { parser, settings, fields, strict } = &step.action else {
            panic!("{:?}", step.action)
        };
        let after = &plan.event_types[step.event_type.0 as usize].schema;
        let known = fields.len();
        let fields = WantedField::read(fields, after).expect("the events have the fields");
        ParseStep { parser: parser.clone(), settings: settings.clone(), fields, known, strict: *strict }
    }

    /// Makes the parser.
    pub(super) fn parser(&self) -> Box<dyn Parser> {
        self.try_parser().expect("the parser is made")
    }

    /// Makes the parser, or returns why it is refused.
    pub(super) fn try_parser(&self) -> Result<Box<dyn Parser>, String> {
        let call = ParserCall {
            settings: &self.settings,
            fields: self.fields.clone(),
            known: self.known,
            strict: self.strict,
            clock: Arc::new(weir_runtime::SystemClock),
        };
        let registry = super::register(weir_runtime::Registry::default());
        registry.make_parser(&self.parser, &call).map_err(|refused| refused.to_string())
    }

    /// Parses bodies of one batch.
    pub(super) fn rows(&self, bodies: &[&[u8]]) -> Vec<ParsedRow> {
        let parser = self.parser();
        let batch = BinaryViewArray::from_iter_values(bodies);
        let Parsed { columns, failures } = parser.parse(&batch).expect("the columns are made");
        // A field that failed may be null, whatever its type.
        let fields = self.fields.iter().map(|field| Field::new(&field.name, field.data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, columns).expect("the columns have the types of the fields");
        let failed: BTreeSet<usize> = failures.rows().collect();
        let row = |row: usize| match failed.contains(&row) {
            true => Err(reason(&*parser, bodies[row])),
            false => {
                let mut text = Vec::new();
                crate::formats::json::write_lines(&batch, row..row + 1, usize::MAX, &mut text)
                    .expect("JSON has the types");
                Ok(serde_json::from_slice(&text).expect("JSON is written"))
            }
        };
        (0..bodies.len()).map(row).collect()
    }

    /// Parses one body.
    pub(super) fn row(&self, body: impl AsRef<[u8]>) -> ParsedRow {
        self.rows(&[body.as_ref()]).remove(0)
    }
}

fn reason(parser: &dyn Parser, body: &[u8]) -> String {
    let parsed = parser.parse(&BinaryViewArray::from_iter_values([body])).expect("the columns are made");
    parsed.failures.first().expect("a body fails in every batch").1.to_string()
}
