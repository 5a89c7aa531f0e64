//! What flows promise, and what the classes of components can keep.

use weir_grammar::Span;
use weir_grammar::tree::Flow;
use weir_plan::{Delivery, Order};

use crate::checker::Checker;
use crate::diagnostics::{Diagnostic, Misplaced, UnkeptPromise, UnknownPromise};
use crate::expressions::no_such_column;
use crate::flows::Edge;
use crate::flows::components::SetShortfall;
use crate::flows::graph::required_destinations;
use crate::lowering::Lowered;
use crate::signatures::classes::{Class, rules_out};
use crate::spelling::nearest;

const PROMISES: [&str; 5] = ["best_effort", "at_most_once", "at_least_once", "exactly_once", "ordered"];

/// A promise and where it is made.
#[derive(Debug, Clone)]
pub(crate) struct Promised {
    pub(crate) delivery: Delivery,
    pub(crate) order: Order,
    pub(crate) span: Span,
    /// What the events are ordered by, and where that is said.
    pub(crate) by: Option<(String, Span)>,
}

/// Reads what a flow promises. `None` if that is unknown, which has been reported.
pub(crate) fn promise(flow: &Flow, diagnostics: &mut Vec<Diagnostic>) -> Option<Promised> {
    let mut promised =
        Promised { delivery: Delivery::AtLeastOnce, order: Order::None, span: flow.name.span, by: None };
    let mut known = true;
    let mut made: [Option<Span>; 2] = [None, None];
    for promise in &flow.promises {
        // One promise about loss and repeats, and one about order.
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

/// A component on a flow's way.
pub(crate) struct Hop<'h> {
    pub(crate) name: &'h str,
    pub(crate) declared: Span,
    pub(crate) class: Class,
    pub(crate) class_span: Span,
    /// What its settings make it do although its class would not.
    pub(crate) shortfalls: Vec<SetShortfall<'h>>,
}

impl SetShortfall<'_> {
    fn breaks(&self, delivery: Delivery) -> bool {
        let [no_loss, no_repeat] = rules_out(delivery);
        if self.clause.loses { no_loss } else { no_repeat }
    }
}

impl Hop<'_> {
    /// Why it can't keep a promise, if it can't.
    fn shortfall(&self, promised: &Promised) -> Option<UnkeptPromise> {
        let set = self.shortfalls.iter().find(|shortfall| shortfall.breaks(promised.delivery));
        let (what, why, library_span, loses) = match set {
            Some(SetShortfall { clause, set_to, place, .. }) => {
                let what = set_to.map_or(self.class.name().to_owned(), |name| format!("set to `{name}`"));
                (what, clause.because.text.clone(), *place, clause.loses)
            }
            None => {
                let why = self.class.breaks(promised.delivery)?;
                let loses = self.class.loses().is_some();
                (self.class.name().to_owned(), why.to_owned(), self.class_span, loses)
            }
        };
        Some(UnkeptPromise {
            promise: promised.delivery.to_string(),
            promise_span: promised.span,
            component: self.name.to_owned(),
            what,
            settings: set.map(|set| set.settings.clone()).unwrap_or_default(),
            why,
            loses,
            declared: self.declared,
            library_span,
        })
    }
}

/// Holds a promise against the components on its way: the first that can't keep it is reported.
pub(crate) fn keep<'h>(
    promised: &Promised,
    hops: impl IntoIterator<Item = Hop<'h>>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let hops: Vec<Hop<'h>> = hops.into_iter().collect();
    // What is never sent again, and held by nothing that outlives the agent, never comes twice.
    let never_again = hops.iter().all(|hop| match hop.class {
        Class::Replayable | Class::Acknowledging | Class::Durable | Class::BestEffort => false,
        Class::FireAndForget | Class::Volatile | Class::Transactional | Class::Idempotent | Class::Plain => {
            hop.shortfalls.iter().all(|shortfall| shortfall.clause.loses)
        }
    });
    if promised.delivery == Delivery::AtMostOnce && never_again {
        return;
    }
    diagnostics.extend(hops.iter().find_map(|hop| hop.shortfall(promised)).map(Diagnostic::from));
}

/// Holds what flows order their events by against the events that they move.
pub(crate) fn orders_known(
    promises: &[Option<Promised>],
    edges: &[Edge<'_>],
    lowered: &Lowered,
    checker: &mut Checker<'_>,
) {
    for (flow, promised) in promises.iter().enumerate() {
        let Some((by, span)) = promised.as_ref().and_then(|promised| promised.by.clone()) else { continue };
        let on_way = edges.iter().filter(|edge| edge.flow == flow);
        let on_way =
            on_way.flat_map(|edge| std::iter::once(edge.from).chain(required_destinations(&edge.leg)));
        let known: Option<Vec<_>> = on_way.map(|index| lowered.columns[index].clone()).collect();
        if let Some(known) = known
            && let Some(first) = known.first()
            && !known.iter().any(|columns| !columns.lacks(&by))
        {
            checker.report(no_such_column(by, span, first));
        }
    }
}
