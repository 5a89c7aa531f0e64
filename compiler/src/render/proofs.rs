//! What was derived about the delivery of events, hop by hop: as text for people and as JSON for programs.

use serde::Serialize;
use weir_plan::{Delivery, Order};

use super::resources::{self, JsonResources};
use super::{JsonPlace, kind_in_words, place, security};
use crate::analysis::Analysis;
use crate::analysis::proofs::{Effect, FlowProof, Hop, HopKind, KeptOrder, PathProof, Reason, Rule};
use crate::flows::graph::role_name;

/// The version of the JSON, which grows with incompatible changes.
const VERSION: u32 = 1;

/// The most paths of a flow that the text shows. The JSON has all.
const PATHS_SHOWN: usize = 50;

/// Renders the derivation as text: for each flow its promise and its paths, for each path its hops, and why events may be
/// lost or repeated or arrive in another order, with their places in the text if they are wanted. At the end, the most memory
/// and disk space that the program takes.
pub fn proofs(analysis: &Analysis, places: bool) -> String {
    let text = Text { analysis, places };
    let flows = analysis.proofs.flows.iter().map(|proof| text.flow(proof));
    let resources = Some(resources::text(analysis)).filter(|text| !text.is_empty());
    flows.chain(resources).chain(security::text(analysis)).collect::<Vec<_>>().join("\n")
}

/// What was derived for a flow, for an editor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownProof {
    /// The derivation in a few words: `never lost, may be repeated, ordered`.
    pub summary: String,
    /// The whole derivation.
    pub text: String,
}

/// Renders what was derived for a flow of the graph; `None` if nothing was, since it has no path.
pub fn proof_of_flow(analysis: &Analysis, flow: usize) -> Option<ShownProof> {
    let proof = analysis.proofs.flows.iter().find(|proof| proof.flow == flow)?;
    let promised = analysis.graph.flows.get(flow)?.promised.as_ref()?;
    let covered: Vec<&PathProof> = proof.paths.iter().filter(|path| !path.is_optional).collect();
    let may = |effect| covered.iter().any(|path| !reasons(path, effect, promised.delivery).is_empty());
    let lost = if may(Effect::Loses) { "may be lost" } else { "never lost" };
    let repeated = if may(Effect::Repeats) { "may be repeated" } else { "never repeated" };
    let mut orders = covered.iter().filter(|path| !path.is_rejects).map(|path| path.order.promise());
    let first = orders.next()?;
    let order = first.filter(|first| orders.all(|other| other.as_ref() == Some(first)));
    let order = order.unwrap_or_else(|| "in no order".to_owned());
    let text = Text { analysis, places: false }.flow(proof);
    Some(ShownProof { summary: format!("{lost}, {repeated}, {order}"), text })
}

/// Renders the derivation as text.
struct Text<'a> {
    analysis: &'a Analysis,
    /// Whether reasons have their places.
    places: bool,
}

impl Text<'_> {
    fn flow(&self, proof: &FlowProof) -> String {
        let flow = &self.analysis.graph.flows[proof.flow];
        let Some(promised) = &flow.promised else {
            return format!("flow {}: its promise is not known\n", flow.name);
        };
        let kept = if proof.kept { "kept" } else { "not kept" };
        let order = match &promised.order {
            Order::None => String::new(),
            order => format!(", {order}"),
        };
        let mut text = format!("flow {} promises {}{order}: {kept}\n", flow.name, promised.delivery);
        let stronger =
            proof.strongest != promised.delivery && strength(proof.strongest) > strength(promised.delivery);
        if stronger {
            text += &format!("  it could promise {}\n", proof.strongest);
        }
        for path in proof.paths.iter().take(PATHS_SHOWN) {
            text += "\n";
            text += &self.path(path, promised.delivery);
        }
        if proof.paths.len() > PATHS_SHOWN {
            text += &format!("\n  and {} more paths\n", proof.paths.len() - PATHS_SHOWN);
        }
        if !proof.complete {
            text += "\n  and further paths that were not derived\n";
        }
        text
    }

    fn path(&self, path: &PathProof, promised: Delivery) -> String {
        let mut text = format!("  {}\n", path.names());
        let width = path.hops.iter().map(|hop| hop.name.chars().count()).max().unwrap_or(0).min(40);
        for hop in &path.hops {
            let says =
                kind_of(self.analysis, hop).map_or(hop.says.clone(), |kind| format!("{kind}, {}", hop.says));
            text += &format!("    {:width$}  {says}\n", hop.name);
        }
        if path.is_optional {
            text += "    this branch is optional: the promise does not cover it\n";
        }
        for (effect, question, no) in
            [(Effect::Loses, "lost", "never"), (Effect::Repeats, "repeated", "never")]
        {
            let because = reasons(path, effect, promised);
            let answer = if because.is_empty() { no } else { "may be" };
            text += &format!("    {question:9} {answer}\n");
            text += &because.iter().map(|reason| self.reason(reason)).collect::<String>();
        }
        if path.is_rejects {
            return text;
        }
        text += &format!("    {:9} {}\n", "order", order_in_words(&path.order));
        // That the source has several partitions is what the order says.
        let shown = path.disorder.iter().filter(|reason| reason.rule != Rule::PartitionsOfSource);
        text += &shown.map(|reason| self.reason(reason)).collect::<String>();
        text
    }

    fn reason(&self, reason: &Reason) -> String {
        let place = match self.places {
            true => {
                let (start, _) = self.analysis.files.positions(reason.shown.place);
                format!(" ({}:{}:{})", self.analysis.files.name(reason.shown.place), start.line, start.column)
            }
            false => String::new(),
        };
        format!("      {}: {}{place}\n", reason.shown.what, reason.shown.why)
    }
}

/// Returns a number that is greater for a stronger promise.
fn strength(delivery: Delivery) -> u8 {
    u8::from(delivery.never_repeats()) + 2 * u8::from(delivery.never_loses())
}

/// Returns the reasons for an effect with a promise: what needs stored positions counts only where they are stored.
fn reasons(path: &PathProof, effect: Effect, promised: Delivery) -> Vec<&Reason> {
    let counts = |reason: &&Reason| !reason.with_positions || promised.never_repeats();
    let mut found: Vec<&Reason> = Vec::new();
    for reason in path.because(effect).filter(counts) {
        let is_known =
            |other: &&Reason| other.shown.place == reason.shown.place && other.shown.why == reason.shown.why;
        if !found.iter().any(is_known) {
            found.push(reason);
        }
    }
    // That the flow itself does not promise it is no news if there is another reason.
    let has_other = found.iter().any(|reason| reason.rule != Rule::NotPromised);
    found.retain(|reason| !has_other || reason.rule != Rule::NotPromised);
    found
}

fn order_in_words(order: &KeptOrder) -> String {
    let named = |columns: &[String]| {
        let names: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
        names.join(", ")
    };
    match order {
        KeptOrder::Total => "of all events".to_owned(),
        KeptOrder::Partition(columns) if columns.is_empty() => "of each partition of the source".to_owned(),
        KeptOrder::Partition(columns) => {
            format!("of each partition of the source, and of events with equal {}", named(columns))
        }
        KeptOrder::By(columns) => format!("of events with equal {}", named(columns)),
        KeptOrder::None => "none".to_owned(),
    }
}

/// Returns the role and the kind of a component: `source kafka`.
fn kind_of(analysis: &Analysis, hop: &Hop) -> Option<String> {
    let HopKind::Component(index) = hop.kind else { return None };
    kind_in_words(analysis.graph.components.get(index)?)
}

#[derive(Debug, Serialize)]
struct JsonProofs<'a> {
    version: u32,
    program: &'a str,
    flows: Vec<JsonFlow<'a>>,
    resources: JsonResources<'a>,
    security: security::JsonSecurity<'a>,
}

#[derive(Debug, Serialize)]
struct JsonFlow<'a> {
    name: &'a str,
    promise: Option<Delivery>,
    order: Option<String>,
    kept: bool,
    /// The strongest promise about loss and repeats that would be kept.
    strongest: Delivery,
    /// Whether `paths` has all paths.
    complete: bool,
    paths: Vec<JsonPath<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonPath<'a> {
    hops: Vec<JsonHop<'a>>,
    optional: bool,
    rejects: bool,
    lost: JsonAnswer<'a>,
    repeated: JsonAnswer<'a>,
    order: JsonOrder<'a>,
}

#[derive(Debug, Serialize)]
struct JsonHop<'a> {
    name: &'a str,
    /// `source`, `channel`, `sink` or `rejects`; `step` for a step or a fork.
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    says: &'a str,
}

#[derive(Debug, Serialize)]
struct JsonAnswer<'a> {
    may: bool,
    reasons: Vec<JsonReason<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonOrder<'a> {
    /// The promise about order that the path keeps.
    keeps: Option<String>,
    /// In words.
    says: String,
    reasons: Vec<JsonReason<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonReason<'a> {
    rule: &'static str,
    what: &'a str,
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'a str>,
    place: JsonPlace<'a>,
}

/// Renders the derivations of programs as JSON, one object for each.
pub fn proofs_json<'a>(analyses: impl IntoIterator<Item = &'a Analysis>) -> String {
    let all: Vec<JsonProofs<'_>> = analyses.into_iter().map(json_proofs).collect();
    // Text and numbers always have a JSON form.
    serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
}

fn json_proofs(analysis: &Analysis) -> JsonProofs<'_> {
    let flows = analysis.proofs.flows.iter().map(|proof| {
        let flow = &analysis.graph.flows[proof.flow];
        let promised = flow.promised.as_ref();
        let delivery = promised.map(|promised| promised.delivery);
        JsonFlow {
            name: &flow.name,
            promise: delivery,
            order: promised
                .filter(|promised| !promised.order.is_none())
                .map(|promised| promised.order.to_string()),
            kept: proof.kept,
            strongest: proof.strongest,
            complete: proof.complete,
            paths: proof.paths.iter().map(|path| json_path(analysis, path, delivery)).collect(),
        }
    });
    JsonProofs {
        version: VERSION,
        program: &analysis.program,
        flows: flows.collect(),
        resources: resources::json(analysis),
        security: security::json(analysis),
    }
}

fn json_path<'a>(analysis: &'a Analysis, path: &'a PathProof, promised: Option<Delivery>) -> JsonPath<'a> {
    let answer = |effect| {
        let reasons = reasons(path, effect, promised.unwrap_or(Delivery::AtLeastOnce));
        let reasons: Vec<JsonReason<'_>> =
            reasons.into_iter().map(|reason| json_reason(analysis, reason)).collect();
        JsonAnswer { may: !reasons.is_empty(), reasons }
    };
    let hops = path.hops.iter().map(|hop| {
        let component = match hop.kind {
            HopKind::Component(index) => analysis.graph.components.get(index),
            HopKind::Step => None,
        };
        let role = component.map_or("step", |component| match component.declared.rejects_of {
            Some(_) => "rejects",
            None => role_name(component.declared.role),
        });
        JsonHop {
            name: &hop.name,
            role,
            kind: component.and_then(|component| component.kind()),
            says: &hop.says,
        }
    });
    JsonPath {
        hops: hops.collect(),
        optional: path.is_optional,
        rejects: path.is_rejects,
        lost: answer(Effect::Loses),
        repeated: answer(Effect::Repeats),
        order: JsonOrder {
            keeps: path.order.promise(),
            says: order_in_words(&path.order),
            reasons: path.disorder.iter().map(|reason| json_reason(analysis, reason)).collect(),
        },
    }
}

fn json_reason<'a>(analysis: &'a Analysis, reason: &'a Reason) -> JsonReason<'a> {
    JsonReason {
        rule: reason.rule.name(),
        what: &reason.shown.what,
        why: &reason.shown.why,
        change: reason.shown.remedy.as_deref(),
        place: place(reason.shown.place, &analysis.files),
    }
}
