//! Reads the promises of flows.

use weir_grammar::Span;
use weir_grammar::tree::Flow;
use weir_plan::{Delivery, Order};

use crate::analysis::graph::{Graph, Promised};
use crate::checker::Checker;
use crate::diagnostics::{Diagnostic, Misplaced, UnknownPromise};
use crate::spelling::nearest;

/// The first words of promises.
pub(crate) const PROMISES: [&str; 5] =
    ["best_effort", "at_most_once", "at_least_once", "exactly_once", "ordered"];

/// Reads the promise of a flow. Returns `None` if the promise is invalid, which has been reported.
pub(crate) fn promise(flow: &Flow, diagnostics: &mut Vec<Diagnostic>) -> Option<Promised> {
    let mut promised = Promised {
        delivery: Delivery::AtLeastOnce,
        order: Order::None,
        span: flow.name.span,
        order_span: None,
        by: None,
    };
    let mut known = true;
    let mut made: [Option<Span>; 2] = [None, None];
    for promise in &flow.promises {
        // A flow may make one promise about loss and repeats, and one about order.
        let made = &mut made[usize::from(&*promise.name.text == "ordered")];
        if PROMISES.contains(&&*promise.name.text)
            && let Some(first) = made.replace(promise.name.span)
        {
            known = false;
            let (name, role) = (format!("`{}`", promise.name.text), "a second promise");
            let rule = "a flow makes one promise about loss and repeats, and one about order".to_owned();
            let (span, declared) = (promise.name.span, Some(first));
            diagnostics.push(Misplaced { name, role, rule, span, declared }.into());
            continue;
        }
        if &*promise.name.text == "ordered" {
            promised.order_span = Some(promise.span);
        }
        let delivery = match (&*promise.name.text, &promise.word, &promise.by) {
            ("best_effort", None, None) => Delivery::BestEffort,
            ("at_most_once", None, None) => Delivery::AtMostOnce,
            ("at_least_once", None, None) => Delivery::AtLeastOnce,
            ("exactly_once", None, None) => Delivery::ExactlyOnce,
            ("ordered", None, None) => {
                promised.order = Order::Partition;
                continue;
            }
            ("ordered", None, Some(by)) => {
                promised.order = Order::By(by.text.to_string());
                promised.by = Some((by.text.to_string(), by.span));
                continue;
            }
            ("ordered", Some(word), None) if &*word.text == "totally" => {
                promised.order = Order::Total;
                continue;
            }
            (name, word, _) => {
                known = false;
                let wrong = word.as_ref().filter(|_| PROMISES.contains(&name));
                let (name, span) = wrong.map_or((name, promise.name.span), |word| (&word.text, word.span));
                let near = nearest(name, PROMISES.into_iter().chain(["totally"])).map(str::to_owned);
                diagnostics.push(UnknownPromise { name: name.to_owned(), near, span }.into());
                continue;
            }
        };
        promised.delivery = delivery;
        promised.span = promise.span;
    }
    known.then_some(promised)
}

/// Notes the uses of the columns by which flows order their events.
pub(crate) fn order_uses(graph: &Graph, checker: &mut Checker<'_>) {
    for edge in &graph.edges {
        let by = graph.flows[edge.flow].promised.as_ref().and_then(|promised| promised.by.as_ref());
        let events = graph.components[edge.from].events.as_ref();
        if let (Some((by, span)), Some(events)) = (by, events)
            && let Some(column) = events.columns.get(by.as_str())
        {
            column.named.iter().for_each(|named| checker.notes.uses.note(*span, *named));
        }
    }
}
