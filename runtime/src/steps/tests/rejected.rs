//! Rejected events: their bodies, reasons and counts.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use weir_plan::{Leg, Route, Rule};

use super::*;
use crate::environment::clock::Clock;
use crate::expressions::Reason;
use crate::observability::meter::RuleReading;
use crate::parsers::{MakeParser, Parsed, Parser};
use crate::routing::CompiledLeg;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> i64 {
        43_200_000_000
    }
}

/// Parses a letter into its position in the alphabet, and fails for `b`, which it quotes.
struct Letters;

impl Parser for Letters {
    fn parse(&self, bodies: &BinaryViewArray) -> Result<Parsed, BatchError> {
        let places = bodies.iter().map(|body| body.map(|body| i64::from(body[0] - b'a')));
        let mut failures = Failures::default();
        for (row, body) in bodies.iter().enumerate().filter(|(_, body)| *body == Some(b"b")) {
            failures.push(row, Reason::unreadable(Some(&"place".into()), "an Int", body.unwrap(), 0));
        }
        Ok(Parsed { columns: vec![Arc::new(places.collect::<Int64Array>())], failures })
    }
}

fn sensitive(field: Field) -> Field {
    field.with_metadata(HashMap::from([(SENSITIVE.to_owned(), String::new())]))
}

/// Returns the events that steps reject as `step: body, reason`, in order, and the meter.
fn rejected_by(steps: Vec<PlannedStep>, after: Vec<Field>) -> (Vec<String>, Meter) {
    let parsers = Parsers::from([("letters", (|_| Ok(Box::new(Letters))) as MakeParser)]);
    let event_types = [EventType::new(Schema::new(after))];
    let as_json: EventsAsJson = |events| {
        let shown = events.schema().fields().iter().map(|field| format!("\"{}\":1", field.name()));
        let shown = format!("{{{}}}", shown.collect::<Vec<_>>().join(","));
        Ok(BinaryViewArray::from_iter_values(std::iter::repeat_n(shown, events.rows())))
    };
    let none = StepTools::none();
    let tools = StepTools { event_types: &event_types, parsers: &parsers, as_json: Some(as_json), ..none };
    let leg = Leg { steps, to: Route::End };
    let compiled = CompiledLeg::compile(&leg, Some(batch().schema()), &tools, &mut Vec::new()).unwrap();
    let numbered = crate::batch::Identities::counting(crate::batch::Partition::new("p"), 1);
    let batch = batch().with_identities(numbered).unwrap();
    let mut pass = Pass::default();
    pass.through(&compiled.steps, &batch, 0).unwrap();
    let meter = Meter::default();
    meter.count_steps(&pass.counts);
    let events = RejectEvents::new("in".into(), Arc::new(Noon), Some(as_json), None);
    let made = events.make(&pass.rejected.iter().collect::<Vec<_>>(), &batch).unwrap();
    let text = |name: &str, row| made.column(name).unwrap().values().as_string_view().value(row).to_owned();
    let body = |row| String::from_utf8_lossy(made.bodies().unwrap().value(row)).into_owned();
    let shown =
        (0..made.rows()).map(|row| format!("{}: {}, {}", text("step", row), body(row), text("reason", row)));
    (shown.collect(), meter)
}

fn labelled(label: &str, action: Action, on_failure: Option<OnFailure>) -> PlannedStep {
    PlannedStep { label: label.into(), ..step(action, on_failure) }
}

fn parse() -> PlannedStep {
    let fields = vec![ParsedField { name: "place".into(), ..ParsedField::default() }];
    let (settings, strict) = (Settings::default(), false);
    let action = Action::Parse { parser: "letters".into(), settings, fields, strict };
    labelled("parse letters", action, Some(OnFailure::Reject))
}

fn parsed() -> Vec<Field> {
    vec![int_field("n"), int_field("place")]
}

#[test]
fn a_rejected_event_has_the_body_as_it_came_in_and_all_are_in_order() {
    let reject = Action::Reject { condition: is(n(), 1), reason: Some("one".into()) };
    let (shown, meter) = rejected_by(vec![parse(), labelled("reject if", reject, None)], parsed());
    let expected = ["reject if: a, one", "parse letters: b, field `place`: \"b\" at byte 0 is not an Int"];
    assert_eq!(shown, expected);
    let rejected = meter.rejected_by_step();
    assert_eq!(rejected["parse letters"]["conversion"].events, 1);
    assert_eq!((rejected["reject if"]["condition"].events, meter.rejected().events), (1, 2));
    assert_eq!(meter.dropped().events, 0);
}

#[test]
fn a_reason_does_not_quote_a_sensitive_field() {
    let (shown, _) = rejected_by(vec![parse()], vec![int_field("n"), sensitive(int_field("place"))]);
    assert_eq!(shown, ["parse letters: b, field `place`: \"***\" at byte 0 is not an Int"]);
}

#[test]
fn a_step_that_fails_and_rejects_gives_each_event_its_reason() {
    let reject = Action::Reject { condition: fails_at_1(), reason: None };
    let fields = vec![body(), int_field("n")];
    let (shown, meter) = rejected_by(vec![labelled("reject if x", reject, Some(OnFailure::Reject))], fields);
    let expected = ["reject if x: a, the divisor is 0", "reject if x: c, reject if x"];
    assert_eq!(shown, expected);
    assert_eq!(meter.rejected_by_step()["reject if x"]["division_by_zero"].events, 1);
}

/// Every event is counted for every rule, and rejected for the first rule that it breaks.
#[test]
fn rules_of_a_quality_are_counted_and_show_the_first_event_that_breaks_them() {
    let rule = |name: &str, condition, reason: Option<&str>| Rule {
        name: name.into(),
        condition,
        reason: reason.map(str::to_owned),
    };
    let rules = vec![
        rule("is_three", is(n(), 3), Some("only three")),
        rule("is_one", is(n(), 1), None),
        rule("any", of(DataType::Boolean, Operation::Literal(Value::Bool(true))), None),
    ];
    let check = Action::Check { quality: "sane".into(), rules };
    for (field, shown_value) in
        [(int_field("n"), "{\"n\":1}"), (sensitive(int_field("n")), "{\"n\":\"***\"}")]
    {
        let fields = vec![body(), field];
        let set = Action::Set { column: "n".into(), value: *n() };
        let steps = vec![step(set, None), labelled("check sane", check.clone(), None)];
        let (shown, meter) = rejected_by(steps, fields);
        let expected = [
            "check sane: a, is_three: only three",
            "check sane: b, is_three: only three",
            "check sane: c, is_one",
        ];
        assert_eq!(shown, expected);
        let counts =
            |rule: &RuleReading| (rule.rule.clone(), rule.checked, rule.broken, rule.first_broken.clone());
        let broken = Some(shown_value.to_owned());
        let expected = [
            ("is_three".to_owned(), 3, 2, broken.clone()),
            ("is_one".to_owned(), 3, 2, broken),
            ("any".to_owned(), 3, 0, None),
        ];
        assert_eq!(meter.rules().iter().map(counts).collect::<Vec<_>>(), expected);
        assert_eq!(meter.rejected_by_step()["check sane"]["rule"].events, 3);
    }
}
