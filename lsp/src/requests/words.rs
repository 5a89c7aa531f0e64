//! The meanings of promises, types and keywords, in the words of the language reference.

use weir_grammar::Span;
use weir_grammar::tree::{Act, ActKind, Fault, Field, Item, ItemKind, Node, nodes_at};
use weir_grammar::{TokenKind, tokens};

use crate::places::View;

/// A word with its meaning.
type Meaning = (&'static str, &'static str);

const PROMISES: [Meaning; 6] = [
    ("best_effort", "Events may be lost, and may be repeated."),
    ("at_most_once", "Events may be lost, and are never repeated."),
    ("at_least_once", "No event is lost; events may be repeated. A flow without `delivers` promises this."),
    ("exactly_once", "No event is lost or repeated."),
    (
        "ordered",
        "The order of the events of each partition of a source is kept; with `by @key`, the order of the events with equal values.",
    ),
    ("totally", "The order of all events is kept."),
];

const TYPES: [Meaning; 29] = [
    ("Bool", "`true` or `false`."),
    ("Int", "Integers of 64 bits."),
    ("Float", "Floating-point numbers of 64 bits."),
    ("Text", "Text in UTF-8."),
    ("Bytes", "Bytes."),
    ("Decimal", "`Decimal(p, s)`: exact numbers of `p` digits (up to 38), `s` of them after the point."),
    ("Time", "An instant, to the microsecond; written as text in RFC 3339: `\"2026-01-31T12:00:00Z\"`."),
    ("Duration", "A duration: `250ms`, `1.5h`."),
    ("Size", "A number of bytes: `64KiB`, `1GB`."),
    ("Ip", "An IPv4 or IPv6 address, written as text: `\"10.0.0.1\"`."),
    ("Json", "Any JSON value."),
    ("Map", "`Map<T>`: a map from `Text` to `T`."),
    ("EventRate", "A number of events in a time, for settings and steps: `5_000/s`."),
    ("ByteRate", "A number of bytes in a time, for settings and steps: `10MiB/s`."),
    ("Percent", "A percentage, for settings and steps: `0.5%`."),
    ("Address", "For settings, written as text: `\"host:9092\"`."),
    ("Url", "For settings, written as text: `\"hdfs://lake\"`."),
    ("Glob", "For settings, written as text: `\"/var/log/*.log\"`."),
    ("Zone", "For settings, written as text: `\"Europe/Berlin\"`."),
    ("Regex", "A regular expression, for settings and functions, written as text: `r\"^\\d+\"`."),
    ("Network", "For settings and functions, written as text: `\"10.0.0.0/8\"`."),
    ("Pointer", "For settings and functions, written as text: `\"/user/name\"`."),
    ("TimePattern", "For settings and functions, written as text: `\"%H:%M\"` writes times."),
    (
        "InstantPattern",
        "For settings and functions, written as text: `\"%Y-%m-%d %H:%M\"` has a date and can read times.",
    ),
    ("Grok", "For settings: a regular expression with the public patterns `%{NAME:field}`."),
    ("Group", "For functions: the number of a group in the `Regex` of the same call."),
    ("Template", "For settings: text with holes that events fill."),
    ("Header", "For settings: the name of a header."),
    ("Secret", "For settings: a reference to a secret, `secret env(\"NAME\")` or `secret file(\"/path\")`."),
];

const RANGE_OF_FIELD: &str = "The integers that the field may have; a body with another one can't be parsed.";
const UNIT_OF_FIELD: &str =
    "The body has the `Duration` as a number of this unit; without this, as text such as `5s`.";
const PATTERN_OF_FIELD: &str = "The body has the `Time` in this format; without this, in RFC 3339.";
const DISK_FULL: &str = "The next calls fail as if the disk were full.";

const KEYWORDS: [Meaning; 37] = [
    ("import", "Makes the names of another file known."),
    ("param", "A value from outside."),
    ("let", "A name for a value: a constant of the file, or of the following steps up to the next channel."),
    ("schema", "The fields of events."),
    ("source", "A component that events come from."),
    ("channel", "A component that holds events between sources and sinks."),
    ("sink", "A component that events go to."),
    ("fn", "A pure function."),
    ("interceptor", "A named list of steps."),
    ("quality", "A named list of rules for events."),
    ("flow", "A graph and its delivery promise."),
    ("delivers", "What the flow promises about loss, repetition and order of its events."),
    ("test", "A test of the program."),
    ("agent", "Limits for the complete program."),
    ("secret", "A reference to a secret, which the agent reads when it starts."),
    ("sensitive", "The value must not be shown to everybody."),
    ("field", "The argument is a field or a header itself instead of a value."),
    ("copy", "Sends every event to every branch."),
    (
        "optional",
        "A failure of this branch does not fail the event. Promises of the flow do not cover the branch.",
    ),
    ("match", "Sends each event to the first case whose condition is true; `_` is for all others."),
    (
        "balance",
        "Distributes batches over its branches; with `by`, events with equal keys go to the same branch.",
    ),
    ("failover", "Sends all events to the first branch that works, in the order of the text."),
    ("rejects", "The events that steps of the flow reject."),
    ("keep", "Drops all other events; dropped events are counted, and count as delivered."),
    ("drop", "Drops events; they are counted, and count as delivered."),
    ("reject", "Sends events to the flow's rejects."),
    ("check", "Sends events that break a rule of the quality to the rejects."),
    ("because", "The reason, which messages and rejected events have."),
    ("else", "What happens if the value can't be computed."),
    ("strict", "Fields that are not in the schema fail the step."),
    ("send", "Sends events to a source."),
    ("expect", "The events that a sink receives. Headers and fields that are not listed are not compared."),
    ("advance", "Lets virtual time pass."),
    ("fail", "Makes the next calls of a component fail."),
    ("crash", "The agent is killed and started again."),
    ("times", "The number of calls that fail."),
    ("by", "The value that decides: events with equal values belong together."),
];

/// Returns the meaning of the word at a position, and the place of the word.
pub(crate) fn meaning(view: &View, offset: u32) -> Option<(&'static str, Span)> {
    let tree = view.analysis.tree(view.file)?;
    let nodes = nodes_at(tree, offset);
    let Some(Node::Item(item)) = nodes.first() else { return None };
    let start = item.span.start as usize;
    let text = item.span.slice(view.text());
    let at = offset as usize - start;
    let token = tokens(text)
        .find(|token| token.kind == TokenKind::Word && token.range.start <= at && at <= token.range.end)?;
    let word = &text[token.range.clone()];
    let span = view.span(start + token.range.start, start + token.range.end);
    let found = in_place(item, &nodes, word, span).or_else(|| named(&KEYWORDS, word));
    Some((found?, span))
}

fn named(all: &[Meaning], word: &str) -> Option<&'static str> {
    all.iter().find(|(name, _)| *name == word).map(|(_, meaning)| *meaning)
}

/// Returns the meaning that a word has only at some places.
fn in_place(item: &Item, nodes: &[Node<'_>], word: &str, span: Span) -> Option<&'static str> {
    if let ItemKind::Flow(flow) = &item.kind
        && flow.promises.iter().any(|promise| promise.span.contains(span))
        && let Some(promise) = named(&PROMISES, word)
    {
        return Some(promise);
    }
    nodes.iter().rev().find_map(|node| match node {
        Node::Type(_) => named(&TYPES, word),
        Node::Field(field) => of_field(field, word, span),
        Node::Act(Act { kind: ActKind::Fail(_, Fault::Named(name)), .. }) if name.span == span => {
            (word == "disk_full").then_some(DISK_FULL)
        }
        _ => None,
    })
}

fn of_field(field: &Field, word: &str, span: Span) -> Option<&'static str> {
    if span.start < field.type_name.span.end {
        return None;
    }
    let is_unit = field.unit.as_ref().is_some_and(|unit| unit.span == span);
    match word {
        _ if is_unit => Some(UNIT_OF_FIELD),
        "in" if field.unit.is_some() => Some(UNIT_OF_FIELD),
        "in" => Some(RANGE_OF_FIELD),
        "as" => Some(PATTERN_OF_FIELD),
        _ => None,
    }
}
