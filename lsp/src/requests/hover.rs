//! The hover text of a place: the definition, the type, the value in the plan, and the events.

use gen_lsp_types::{Hover, HoverParams, MarkupContent, MarkupKind};
use weir_compiler::analysis::{Component, Definition, DefinitionKind, Origin, Setting, UseId};
use weir_grammar::Span;
use weir_grammar::tree::ItemKind;

use crate::dispatch::Answer;
use crate::markdown::{code, columns, value_type};
use crate::places::View;
use crate::requests::words::meaning;
use crate::session::Session;

/// The most definitions that are shown: a name in an interceptor may have one for each use.
const DEFINITIONS_MAX: usize = 3;

pub(crate) fn hover(session: &mut Session<'_>, params: HoverParams) -> Answer<Option<Hover>> {
    let at = params.text_document_position_params;
    let Some(mut view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position);
    // The events in an interceptor are those of the programs that use it.
    if view.analysis.place_at(view.file, offset).is_some_and(|place| !has_events(&view, place))
        && let Some(other) = session.views(at.text_document.uri.as_ref()).into_iter().find(|other| {
            other.analysis.place_at(other.file, offset).is_some_and(|place| has_events(other, place))
        })
    {
        view = other;
    }
    let (mut parts, mut span) = describe(&view, offset);
    if parts.is_empty()
        && let Some((meaning, word)) = meaning(&view, offset)
    {
        (parts, span) = (vec![meaning.to_owned()], Some(word));
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let contents = MarkupContent { kind: MarkupKind::Markdown, value: parts.join("\n\n") };
    Ok(Some(Hover { contents: contents.into(), range: span.map(|span| view.places.range(span)) }))
}

fn has_events(view: &View, place: Span) -> bool {
    let known = |events: &weir_compiler::analysis::Events| {
        events.before.as_ref().or(events.after.as_ref()).is_some_and(|columns| !columns.lost)
    };
    view.analysis.all_events().any(|(span, _, events)| span == place && known(events))
}

/// Returns the parts of the text, and the place that they are about.
fn describe(view: &View, offset: u32) -> (Vec<String>, Option<Span>) {
    let mut parts = Vec::new();
    let definitions = view.analysis.definitions_at(view.file, offset);
    for definition in definitions.iter().take(DEFINITIONS_MAX) {
        parts.extend(of_definition(view, definition, offset));
    }
    let expression = view.analysis.expression_at(view.file, offset);
    let place = view.analysis.place_at(view.file, offset);
    // Of an expression in a step, its type says more than the events.
    let inner = match (expression, place) {
        (Some(expression), Some(place)) => expression.end - expression.start < place.end - place.start,
        (expression, _) => expression.is_some(),
    };
    if let Some(expression) = expression.filter(|_| inner) {
        if definitions.is_empty() || is_column(definitions[0].kind) {
            parts.extend(of_expression(view, expression));
        }
        return (parts, Some(expression));
    }
    if let Some(place) = place {
        parts.extend(events(view, place));
    }
    (parts, place)
}

fn is_column(kind: DefinitionKind) -> bool {
    matches!(kind, DefinitionKind::Field | DefinitionKind::Column)
}

fn of_definition(view: &View, definition: &Definition, offset: u32) -> Vec<String> {
    let mut parts = vec![code(&declaration(view, definition))];
    if !definition.documentation.is_empty() {
        parts.push(definition.documentation.to_string());
    }
    match definition.kind {
        DefinitionKind::Setting => {
            parts.extend(setting_at(view, definition, offset).map(|found| value(view, found)))
        }
        DefinitionKind::Param => {
            parts.extend(view.analysis.params.get(&definition.span).map(|found| value(view, found)))
        }
        DefinitionKind::Let => parts.extend(computed(view, definition)),
        DefinitionKind::Component(_) => {
            let mut components = view.analysis.graph.components.iter();
            let component = components.find(|component| component.declared.span == definition.span);
            parts.extend(component.into_iter().flat_map(of_component));
        }
        DefinitionKind::Kind(role) => {
            let name = &*definition.name;
            parts.extend(view.library.class(role, name).map(|class| format!("Delivery class: `{class}`")));
        }
        _ => {}
    }
    parts
}

/// Returns the declaration as it is written, without its body.
fn declaration(view: &View, definition: &Definition) -> String {
    let text = view.places.text(definition.span.file);
    let start = definition.whole.start.min(definition.span.start) as usize;
    let rest = text.get(start..).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default().trim_end();
    let keyword = match definition.kind {
        DefinitionKind::Parameter => "parameter ",
        _ => "",
    };
    // The whole of a parameter or a column ends before the end of its line.
    let shown = match definition.kind {
        DefinitionKind::Parameter
        | DefinitionKind::Field
        | DefinitionKind::Local
        | DefinitionKind::Column => definition.whole.slice(text),
        _ => line.trim_end_matches(['{', ' ']),
    };
    format!("{keyword}{shown}")
}

/// Returns the setting of the component, parser or agent around a position.
fn setting_at<'v>(view: &'v View, definition: &Definition, offset: u32) -> Option<&'v Setting> {
    let tree = view.analysis.tree(view.file)?;
    let item = tree.items.iter().find(|item| item.span.start <= offset && offset <= item.span.end)?;
    let name = item.kind.name().map(|name| name.span);
    let components = view.analysis.graph.components.iter();
    let own = components.filter(|component| Some(component.declared.span) == name);
    let settings = own
        .map(|component| &component.settings)
        .chain(view.analysis.agent.as_ref().filter(|_| name.is_none()));
    settings.flat_map(|settings| settings.iter()).find(|setting| setting.declared == definition.span)
}

/// Returns the value in the plan and where it comes from.
fn value(view: &View, setting: &Setting) -> String {
    let origin = match (&setting.derived_from, setting.origin) {
        (Some(from), _) => format!("derived from `{from}`"),
        (None, Origin::Written(span)) => match view.analysis.tree(span.file) {
            Some(_) => "written".to_owned(),
            None => format!("from {}", view.analysis.files.name(span)),
        },
        (None, Origin::Default(_)) => "the default".to_owned(),
        (None, Origin::Derived { .. }) => "derived".to_owned(),
        (None, Origin::Absent) => "not set".to_owned(),
        (None, Origin::Implicit) => "of an implicit channel".to_owned(),
        (None, Origin::Missing) => "required, and not set".to_owned(),
    };
    match &setting.value {
        Some(value) => format!("Value: `{value}` ({origin})"),
        None => format!("No value ({origin})"),
    }
}

/// Returns the value of a let that is computed from others.
fn computed(view: &View, definition: &Definition) -> Option<String> {
    let items = &view.analysis.tree(definition.span.file)?.items;
    let value = items.iter().find_map(|item| match &item.kind {
        ItemKind::Let(item) if item.name.span == definition.span => Some(item.value.span),
        _ => None,
    })?;
    view.analysis.computed(value).map(|value| format!("Value: `{value}`"))
}

fn of_component(component: &Component) -> Vec<String> {
    let class = component.class().map(|class| format!("Delivery class: `{class}`"));
    let events = component.events.as_ref().map(|events| format!("Events:\n{}", columns(events)));
    class.into_iter().chain(events).collect()
}

/// Returns the types of an expression, one for each different use.
fn of_expression(view: &View, expression: Span) -> Option<String> {
    let mut shown: Vec<String> = Vec::new();
    for used in view.analysis.uses_of(expression) {
        for found in view.analysis.types(expression, used).unwrap_or_default() {
            let name = value_type(found);
            if !shown.contains(&name) {
                shown.push(name);
            }
        }
    }
    (!shown.is_empty()).then(|| format!("Type: {}", shown.join(" or ")))
}

/// Returns the events after a place, or before it if none leave it.
fn events(view: &View, place: Span) -> Option<String> {
    let direct = view.analysis.events(place, UseId::NONE);
    let any = || view.analysis.all_events().find(|(span, ..)| *span == place).map(|(_, _, events)| events);
    let events = direct.or_else(any)?;
    let (word, found) = match (&events.after, &events.before) {
        (Some(after), _) => ("Events after it", after),
        (None, Some(before)) => ("Events", before),
        (None, None) => return None,
    };
    Some(format!("{word}:\n{}", columns(found)))
}
