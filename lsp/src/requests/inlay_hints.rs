//! Hints for what is derived and not written: what flows keep, what components take of the machine, events after a step, implicit channels, derived settings.

use gen_lsp_types::{InlayHint, InlayHintKind, InlayHintParams, Tooltip};
use weir_compiler::analysis::{Columns, Destination, Leg, Origin, UseId};
use weir_compiler::render;
use weir_grammar::Span;
use weir_grammar::tree::{ItemKind, Node, Stage, StepKind, walk};

use crate::dispatch::Answer;
use crate::markdown::{columns, type_of};
use crate::places::View;
use crate::session::Session;

/// The most fields that one hint names.
const FIELDS_MAX: usize = 4;

pub(crate) fn hints(session: &mut Session<'_>, params: InlayHintParams) -> Answer<Option<Vec<InlayHint>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    let wanted = view.places.span(view.file, params.range);
    let mut hints = events(&view);
    hints.extend(channels(&view));
    hints.extend(settings(&view));
    hints.extend(flows(&view));
    hints.extend(resources(&view));
    hints.retain(|hint| wanted.start <= hint.place && hint.place <= wanted.end);
    hints.sort_by_key(|hint| hint.place);
    Ok(Some(hints.into_iter().map(|hint| hint.shown(&view)).collect()))
}

struct Hint {
    place: u32,
    label: String,
    tooltip: Option<String>,
}

impl Hint {
    fn shown(self, view: &View) -> InlayHint {
        let position = view.places.range(Span { file: view.file, start: self.place, end: self.place }).start;
        InlayHint {
            position,
            label: self.label.into(),
            kind: Some(InlayHintKind::Type),
            text_edits: None,
            tooltip: self.tooltip.map(Tooltip::String),
            padding_left: Some(true),
            padding_right: None,
            data: None,
        }
    }
}

/// Returns what each flow keeps, behind its name and its promises.
fn flows(view: &View) -> Vec<Hint> {
    let mut hints = Vec::new();
    for (index, flow) in view.analysis.graph.flows.iter().enumerate() {
        let promised = flow.promised.as_ref().filter(|_| flow.span.file == view.file);
        let Some(promised) = promised else { continue };
        let ends = [Some(flow.span), Some(promised.span), promised.order_span];
        let place = ends.into_iter().flatten().map(|span| span.end).max().unwrap_or(flow.span.end);
        if let Some(proof) = render::proof_of_flow(&view.analysis, index) {
            hints.push(Hint { place, label: proof.summary, tooltip: Some(proof.text) });
        }
    }
    hints
}

/// Returns the memory and disk space that each component takes at most, behind its kind, and those of the program behind `agent`.
fn resources(view: &View) -> Vec<Hint> {
    let mut hints = Vec::new();
    let items = view.analysis.tree(view.file).into_iter().flat_map(|tree| &tree.items);
    for item in items {
        let found = match &item.kind {
            ItemKind::Component(written) => {
                let components = &view.analysis.graph.components;
                let index =
                    components.iter().position(|component| component.declared.span == written.name.span);
                let shown = index.and_then(|index| render::resources_of_component(&view.analysis, index));
                shown.map(|shown| (written.kind.span.end, shown))
            }
            ItemKind::Agent(_) => {
                let place = item.span.start + "agent".len() as u32;
                render::resources_of_program(&view.analysis).map(|shown| (place, shown))
            }
            _ => None,
        };
        if let Some((place, shown)) = found {
            let label = format!("at most {}", shown.summary);
            hints.push(Hint { place, label, tooltip: Some(shown.text) });
        }
    }
    hints
}

/// Returns the events after each step that changes their columns.
fn events(view: &View) -> Vec<Hint> {
    let mut hints = Vec::new();
    let Some(tree) = view.analysis.tree(view.file) else { return hints };
    walk(tree, &mut |node| {
        if let Node::Stage(Stage::Step(step)) = node
            && matches!(
                step.kind,
                StepKind::Parse(_)
                    | StepKind::Use(_)
                    | StepKind::Explode(_)
                    | StepKind::Flatten(_)
                    | StepKind::Select(..)
            )
            && let Some(found) = view.analysis.events(step.span, UseId::NONE)
            && let (Some(before), Some(after)) = (&found.before, &found.after)
            && let Some(label) = changes(before, after)
        {
            hints.push(Hint { place: step.span.end, label, tooltip: Some(columns(after)) });
        }
        true
    });
    hints
}

/// Names the columns that are new or have another type.
fn changes(before: &Columns, after: &Columns) -> Option<String> {
    let is_new =
        |name: &str, shown: &str| before.columns.get(name).is_none_or(|column| type_of(column) != shown);
    let shown = after.columns.iter().map(|(name, column)| (name, type_of(column)));
    let new: Vec<String> = shown
        .filter(|(name, shown)| is_new(name, shown))
        .map(|(name, shown)| format!("{name}: {shown}"))
        .collect();
    if new.is_empty() {
        return None;
    }
    let left = new.len().saturating_sub(FIELDS_MAX);
    let more = if left > 0 { format!(", … {left} more") } else { String::new() };
    Some(format!("{{ {}{more} }}", new[..new.len().min(FIELDS_MAX)].join(", ")))
}

/// Returns the channels that the compiler puts before sinks.
fn channels(view: &View) -> Vec<Hint> {
    let mut hints = Vec::new();
    for edge in &view.analysis.graph.edges {
        of_leg(view, &edge.leg, &mut hints);
    }
    hints
}

fn of_leg(view: &View, leg: &Leg, hints: &mut Vec<Hint>) {
    let implicit = match &leg.to {
        Destination::Component(arrival) => arrival.channel.map(|channel| (channel, arrival.span)),
        Destination::Balance { channel, word, .. } | Destination::Failover { channel, word, .. } => {
            channel.map(|channel| (channel, *word))
        }
        _ => None,
    };
    if let Some((channel, span)) = implicit.filter(|(_, span)| span.file == view.file)
        && let Some(component) = view.analysis.graph.components.get(channel)
    {
        let kind = component.kind().unwrap_or_default();
        let label = format!("{} ->", component.declared.name);
        let tooltip = Some(format!("an implicit channel of kind `{kind}`"));
        hints.push(Hint { place: span.start, label, tooltip });
    }
    leg.to.legs().into_iter().for_each(|leg| of_leg(view, leg, hints));
}

/// Returns the settings whose defaults follow from other settings, behind the opening brace of their component.
fn settings(view: &View) -> Vec<Hint> {
    let mut hints = Vec::new();
    let items = view.analysis.tree(view.file).into_iter().flat_map(|tree| &tree.items);
    for item in items {
        let ItemKind::Component(written) = &item.kind else { continue };
        let mut components = view.analysis.graph.components.iter();
        let Some(component) = components.find(|component| component.declared.span == written.name.span)
        else {
            continue;
        };
        let derived =
            component.settings.iter().filter(|setting| matches!(setting.origin, Origin::Derived { .. }));
        let derived: Vec<(String, String)> = derived
            .filter_map(|setting| {
                let value = setting.value.as_ref()?;
                let from = setting.derived_from.as_deref().unwrap_or_default();
                Some((
                    format!("{}: {value}", setting.name),
                    format!("`{}` is derived from `{from}`", setting.name),
                ))
            })
            .collect();
        if !derived.is_empty() {
            let label: Vec<&str> = derived.iter().map(|(label, _)| label.as_str()).collect();
            let tooltip: Vec<&str> = derived.iter().map(|(_, tooltip)| tooltip.as_str()).collect();
            hints.push(Hint {
                place: written.settings.span.start + 1,
                label: label.join(", "),
                tooltip: Some(tooltip.join("\n")),
            });
        }
    }
    hints
}
