//! Derives for each path from a source to a sink whether it may lose or repeat events and which order it keeps, and holds
//! the promises of flows against it.

mod handover;
mod order;
mod paths;
mod program;
mod reasons;
mod steps;
mod ways;

use weir_grammar::FileId;
use weir_plan::{Delivery, Order};

use crate::analysis::expressions::UseList;
use crate::analysis::graph::{Flow, Graph, Promised};
use crate::analysis::proofs::{Effect, FlowProof, PathProof, Proofs, Reason, Rule};
use crate::diagnostics::{Diagnostic, UnkeptOrder, UnkeptPromise};
use crate::expressions::no_such_column;
use crate::files::sources::Files;
use crate::names::scopes::ComponentIndex;
use crate::signatures::Library;
use paths::Paths;
use program::Program;

/// Derives what the flows of a program keep, and reports the promises that are not kept.
pub(crate) fn check(
    graph: &Graph,
    library: &Library,
    files: &Files,
    uses: &UseList,
    entry: Option<FileId>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Proofs {
    let program = Program::new(graph, library, files, uses, entry);
    let paths = Paths::of(&program);
    let mut of_flows: Vec<Vec<usize>> = vec![Vec::new(); graph.flows.len()];
    for path in 0..paths.all.len() {
        for flow in paths.flows(path) {
            if of_flows[flow].last() != Some(&path) {
                of_flows[flow].push(path);
            }
        }
    }
    let mut proofs = Proofs::default();
    for (index, of_flow) in of_flows.into_iter().enumerate() {
        let flow = &graph.flows[index];
        let proven: Vec<PathProof> = of_flow.iter().map(|path| paths.prove(*path)).collect();
        let cut = paths.cut_in(index).map(|source| too_many_paths(&program, source));
        let mut proof = FlowProof {
            flow: index,
            paths: proven,
            complete: cut.is_none(),
            strongest: Delivery::BestEffort,
            kept: true,
        };
        if let (Some(cut), Some(first)) = (&cut, proof.paths.first_mut()) {
            first.reasons.push(cut.clone());
        }
        if cut.is_none() {
            proof.strongest = strongest(&proof.paths);
        }
        let before = diagnostics.len();
        if let Some(promised) = &flow.promised {
            keeps_delivery(index, flow, promised, (&proof.paths, cut.as_ref()), diagnostics);
            let proven = of_flow.iter().copied().zip(&proof.paths);
            keeps_order(promised, &paths, proven, cut.as_ref(), diagnostics);
            order_known(promised, graph, index, diagnostics);
        }
        proof.kept = diagnostics.len() == before;
        proofs.flows.push(proof);
    }
    proofs
}

/// Returns the reason that not all paths of a source were derived.
fn too_many_paths(program: &Program<'_>, source: ComponentIndex) -> Reason {
    let declared = &program.component(source).declared;
    reasons::reason(
        Rule::TooManyPaths,
        &[Effect::Loses, Effect::Repeats, Effect::Reorders],
        declared.span,
        format!("more paths begin at `{}` than are derived", declared.name),
        "nothing is known of the other paths",
    )
}

/// Returns the reasons for an effect on the paths that a promise covers, each once.
fn required(paths: &[PathProof], mut applies: impl FnMut(&Reason) -> bool) -> Vec<&Reason> {
    let mut found: Vec<&Reason> = Vec::new();
    for reason in paths.iter().filter(|path| !path.is_optional).flat_map(|path| &path.reasons) {
        let is_known = |other: &&Reason| other.rule == reason.rule && other.shown.place == reason.shown.place;
        if applies(reason) && !found.iter().any(is_known) {
            found.push(reason);
        }
    }
    found
}

/// Returns the strongest promise that the paths could keep if it were made.
fn strongest(paths: &[PathProof]) -> Delivery {
    let has = |effect: Effect, with_positions: bool| {
        let applies = |reason: &Reason| {
            let counts = with_positions || !reason.with_positions;
            counts && reason.rule != Rule::NotPromised && reason.effects.contains(&effect)
        };
        !required(paths, applies).is_empty()
    };
    let repeats = has(Effect::Repeats, true);
    match (has(Effect::Loses, true), has(Effect::Loses, false), repeats) {
        (false, _, false) => Delivery::ExactlyOnce,
        (true, true, false) => Delivery::AtMostOnce,
        (_, false, _) => Delivery::AtLeastOnce,
        (_, true, _) => Delivery::BestEffort,
    }
}

/// Reports the promise about loss and repeats if it is not kept. `cut` is the reason that there are further paths.
fn keeps_delivery(
    index: usize,
    flow: &Flow,
    promised: &Promised,
    (paths, cut): (&[PathProof], Option<&Reason>),
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (never_loses, never_repeats) = (promised.delivery.never_loses(), promised.delivery.never_repeats());
    let breaks = |effect, reason: &Reason| {
        (never_repeats || !reason.with_positions) && reason.effects.contains(&effect)
    };
    let mut broken = Vec::new();
    if never_loses {
        // What these rules lose with stored positions, they would repeat as well: that reason has the remedy.
        let repeats = |rule| matches!(rule, Rule::Balance | Rule::Failover | Rule::NotPromised);
        broken.extend(required(paths, |reason| breaks(Effect::Loses, reason) && !repeats(reason.rule)));
    }
    if never_repeats {
        for reason in required(paths, |reason| breaks(Effect::Repeats, reason)) {
            let is_known = |other: &&Reason| other.shown.place == reason.shown.place;
            if !broken.iter().any(is_known) {
                broken.push(reason);
            }
        }
    }
    if let Some(cut) = cut.filter(|cut| (never_loses || never_repeats) && !broken.contains(cut)) {
        broken.push(cut);
    }
    if broken.is_empty() {
        return;
    }
    // A path that leads over other flows is not seen in the text of this one.
    let breaks_it = |path: &&PathProof| !path.is_optional && path.reasons.contains(broken[0]);
    let path = paths.iter().find(breaks_it).filter(|path| path.flows.iter().any(|flow| *flow != index));
    let is_stated = promised.span != flow.span;
    let instead = if cut.is_some() { Delivery::BestEffort } else { weaker(promised, paths) };
    diagnostics.push(
        UnkeptPromise {
            promise: promised.delivery.to_string(),
            promise_span: promised.span,
            is_stated,
            has_order: promised.order != Order::None,
            may_lose: !instead.never_loses(),
            instead: instead.to_string(),
            path: path.map(PathProof::names),
            reasons: broken.into_iter().map(|reason| reason.shown.clone()).collect(),
        }
        .into(),
    );
}

/// Returns the strongest weaker promise that would be kept.
fn weaker(promised: &Promised, paths: &[PathProof]) -> Delivery {
    let loses = |reason: &Reason| !reason.with_positions && reason.effects.contains(&Effect::Loses);
    match (promised.delivery, required(paths, loses).is_empty()) {
        (Delivery::ExactlyOnce | Delivery::AtMostOnce, true) => Delivery::AtLeastOnce,
        _ => Delivery::BestEffort,
    }
}

/// Reports the promise about order if it is not kept. `of_flow` are the paths of the flow, each with its proof, and `cut` is the
/// reason that there are further paths.
fn keeps_order<'p>(
    promised: &Promised,
    paths: &Paths<'_>,
    of_flow: impl Iterator<Item = (usize, &'p PathProof)>,
    cut: Option<&Reason>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(promise_span) = promised.order_span else { return };
    let mut reasons: Vec<Reason> = Vec::new();
    let mut kept: Option<Option<String>> = None;
    for (path, proof) in of_flow.filter(|(_, proof)| !proof.is_optional && !proof.is_rejects) {
        let found = paths.order_breaks(path, &promised.order);
        let of_path = proof.order.promise();
        kept = Some(match kept {
            None => of_path,
            Some(kept) => kept.filter(|kept| Some(kept) == of_path.as_ref()),
        });
        for reason in found {
            let is_known =
                |other: &Reason| other.rule == reason.rule && other.shown.place == reason.shown.place;
            if !reasons.iter().any(is_known) {
                reasons.push(reason);
            }
        }
    }
    if let Some(cut) = cut {
        reasons.push(cut.clone());
        kept = None;
    }
    if reasons.is_empty() {
        return;
    }
    diagnostics.push(
        UnkeptOrder {
            promise: promised.order.to_string(),
            promise_span,
            kept: kept.flatten(),
            reasons: reasons.into_iter().map(|reason| reason.shown).collect(),
        }
        .into(),
    );
}

/// Checks that the events of a flow have the column that the flow orders them by.
fn order_known(promised: &Promised, graph: &Graph, flow: usize, diagnostics: &mut Vec<Diagnostic>) {
    let Some((by, span)) = promised.by.clone() else { return };
    let edges = graph.edges.iter().filter(|edge| edge.flow == flow);
    let on_way = edges.flat_map(|edge| {
        let arrivals = edge.leg.required_arrivals().into_iter();
        std::iter::once(edge.from).chain(arrivals.map(|arrival| arrival.to))
    });
    let known: Option<Vec<_>> = on_way.map(|index| graph.components[index].events.clone()).collect();
    if let Some(known) = known
        && let Some(first) = known.first()
        && !known.iter().any(|columns| !columns.lacks(&by))
    {
        diagnostics.push(no_such_column(by, span, first).into());
    }
}
