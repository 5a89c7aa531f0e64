//! Actions for diagnostics whose right form the user still has to complete.

use gen_lsp_types::CodeActionKind;
use weir_compiler::Diagnostic;
use weir_grammar::Span;
use weir_grammar::tree::{self, Expression, ExpressionKind, ItemKind, Node, Stage, nodes_at};

use super::{Offer, touches};
use crate::places::View;

/// Returns the actions for the diagnostics at a place.
pub(super) fn offers(view: &View, span: Span) -> Vec<Offer> {
    let at = view.analysis.diagnostics.iter().filter(|diagnostic| {
        let label = diagnostic.describe().labels.into_iter().next();
        label.is_some_and(|label| touches(label.span, span))
    });
    at.filter_map(|diagnostic| of_diagnostic(view, inner(diagnostic))).flatten().collect()
}

/// Returns the diagnostic itself, without what has been added about its use.
fn inner(diagnostic: &Diagnostic) -> &Diagnostic {
    match diagnostic {
        Diagnostic::Within(within) => inner(&within.inner),
        Diagnostic::Explained(explained) => explained.inner.as_ref().map_or(diagnostic, inner),
        other => other,
    }
}

fn of_diagnostic(view: &View, diagnostic: &Diagnostic) -> Option<Vec<Offer>> {
    match diagnostic {
        Diagnostic::MissingSetting(missing) => {
            let names = missing.missing.iter().map(|(name, _, declared)| (name.as_str(), *declared));
            required(view, missing.span, &names.collect::<Vec<_>>()).map(|offer| vec![offer])
        }
        Diagnostic::NoRejectRoute(missing) => Some(rejects(view, missing.flow_span)),
        Diagnostic::NotExhaustive(missing) => {
            arms(view, missing.span, missing.events).map(|offer| vec![offer])
        }
        Diagnostic::UnmetNeed(need) => format(view, need.span).map(|offer| vec![offer]),
        Diagnostic::UnknownName(unknown) => {
            Some(declarations(view, &unknown.name, unknown.wanted, unknown.span))
        }
        _ => None,
    }
}

fn quick(title: impl Into<String>, of: Span, edits: Vec<(std::ops::Range<usize>, String)>) -> Offer {
    Offer { title: title.into(), kind: CodeActionKind::QuickFix, edits, of: Some(of) }
}

/// Adds the settings that a block has to have, with values to replace.
fn required(view: &View, owner: Span, missing: &[(&str, Span)]) -> Option<Offer> {
    let text = view.text();
    let open = owner.end as usize + text.get(owner.end as usize..)?.find('{')?;
    let block = settings_of(view, owner);
    let given: Vec<&str> =
        block.iter().flat_map(|block| &block.entries).map(|entry| &*entry.name.text).collect();
    let declared: Vec<Span> = missing.iter().map(|(_, declared)| *declared).collect();
    let ruled = view.library.required_by_rules(&declared, &given);
    let ruled = ruled.iter().map(|(name, declared)| (name.as_str(), *declared));
    let entries = missing.iter().copied().chain(ruled).map(|(name, declared)| {
        format!("{name}: {}", view.library.sample(declared).unwrap_or_else(|| "\"\"".to_owned()))
    });
    let entries: Vec<String> = entries.collect();
    let is_empty = text[open + 1..].trim_start().starts_with('}');
    let on_one_line = text[open..].lines().next().is_some_and(|line| line.contains('}'));
    let (at, new) = match (is_empty, on_one_line) {
        (true, _) => {
            let close = open + 1 + text[open + 1..].find('}')?;
            (open + 1..close, format!("\n  {}\n", entries.join("\n  ")))
        }
        (false, true) => (open + 1..open + 1, format!(" {},", entries.join(", "))),
        (false, false) => (open + 1..open + 1, format!("\n  {}", entries.join("\n  "))),
    };
    Some(quick("add the required settings", owner, vec![(at, new)]))
}

/// Returns the settings whose owner, a kind or a variant, has this place.
fn settings_of(view: &View, owner: Span) -> Option<&tree::Block> {
    let nodes = nodes_at(view.analysis.tree(view.file)?, owner.start);
    nodes.into_iter().rev().find_map(|node| match node {
        Node::Item(tree::Item { kind: ItemKind::Component(component), .. })
            if component.kind.span == owner =>
        {
            Some(&component.settings)
        }
        Node::Expression(Expression { kind: ExpressionKind::Variant(name, block), .. })
            if name.span == owner =>
        {
            Some(block)
        }
        _ => None,
    })
}

/// Adds a chain for rejected events: to a new sink, or to nowhere.
fn rejects(view: &View, flow: Span) -> Vec<Offer> {
    let Some((item, end)) = flow_around(view, flow) else { return Vec::new() };
    let text = view.text();
    let start = start_with_comments(text, item.start as usize, COMMENT);
    let taken =
        |name: &str| view.analysis.visible_names(view.file, None).iter().any(|known| *known.name == *name);
    let name =
        ["rejected", "rejected_events"].into_iter().find(|name| !taken(name)).unwrap_or("rejected_by_flow");
    let sink = format!("sink {name} = files {{ path: \"{name}\", format: json }}\n\n");
    // A flow on one line gets lines.
    let is_on_one_line = !text[..end].trim_end_matches([' ', '\t']).ends_with('\n');
    let edits = |before: &str, to: &str| match is_on_one_line {
        true => {
            let (flow, rest) = (&text[item.start as usize..end], &text[end..item.end as usize]);
            let flow = format!("{flow}\n  rejects -> {to}\n{rest}");
            let flow =
                weir_compiler::format(&view.name, &flow).map_or(flow, |flow| flow.trim_end().to_owned());
            let comments = &text[start..item.start as usize];
            vec![(start..item.end as usize, format!("{before}{comments}{flow}"))]
        }
        false => {
            let sink = (!before.is_empty()).then(|| (start..start, before.to_owned()));
            sink.into_iter().chain([(end..end, format!("  rejects -> {to}\n"))]).collect()
        }
    };
    vec![
        quick(format!("route the rejected events to a new sink `{name}`"), flow, edits(&sink, name)),
        quick("drop the rejected events", flow, edits("", "drop")),
    ]
}

/// Returns the place of the flow with this name, and the place of its closing brace.
fn flow_around(view: &View, name: Span) -> Option<(Span, usize)> {
    let tree = view.analysis.tree(view.file)?;
    let item = tree.items.iter().find(|item| item.span.contains(name))?;
    let end = item.span.start as usize + item.span.slice(view.text()).rfind('}')?;
    Some((item.span, end))
}

/// The beginning of every comment.
pub(super) const COMMENT: &str = "//";

/// Returns the start of the comments directly above a line that begin with a mark; the start of the line without any.
pub(super) fn start_with_comments(text: &str, mut start: usize, mark: &str) -> usize {
    while let Some(line) = text[..start].strip_suffix('\n') {
        let begin = line.rfind('\n').map_or(0, |end| end + 1);
        if !line[begin..].trim_start().starts_with(mark) {
            break;
        }
        start = begin;
    }
    start
}

/// Adds the last arm or case of a `match`, for everything that no other one covers.
fn arms(view: &View, word: Span, events: bool) -> Option<Offer> {
    let tree = view.analysis.tree(view.file)?;
    let text = view.text();
    let nodes = nodes_at(tree, word.start);
    let (end, value) = nodes.iter().rev().find_map(|node| match node {
        Node::Stage(Stage::Choice(choice)) if events => Some((choice.span.end, "drop".to_owned())),
        Node::Expression(Expression { span, kind: ExpressionKind::Match(matching) }) if !events => {
            let first = matching.arms.first()?;
            Some((span.end, first.value.span.slice(text).to_owned()))
        }
        _ => None,
    })?;
    let close = end as usize - 1;
    let arrow = if events { "->" } else { "=>" };
    let on_one_line = !text[word.start as usize..close].contains('\n');
    let before = &text[..close];
    let new = match on_one_line {
        true => {
            let has_comma = before.trim_end().ends_with([',', '{']);
            format!("{} _ {arrow} {value} ", if has_comma { "" } else { "," })
        }
        false => {
            let indent = before.len() - before.trim_end_matches([' ', '\t']).len();
            format!("  _ {arrow} {value}\n{}", " ".repeat(indent))
        }
    };
    let at = if on_one_line { before.trim_end().len()..close } else { close..close };
    Some(quick("insert the missing arms", word, vec![(at, new)]))
}

/// Adds `format: json` to the sink that can't write the fields of its events.
fn format(view: &View, mention: Span) -> Option<Offer> {
    let definitions = view.analysis.definitions_at(view.file, mention.start);
    let sink = definitions.first()?;
    let tree = view.analysis.tree(sink.span.file).filter(|_| sink.span.file == view.file)?;
    let settings = tree.items.iter().find_map(|item| match &item.kind {
        ItemKind::Component(component) if component.name.span == sink.span => Some(&component.settings),
        _ => None,
    })?;
    if settings.entries.iter().any(|entry| &*entry.name.text == "format") {
        return None;
    }
    let close = settings.span.end as usize - 1;
    let text = view.text();
    let before = text[..close].trim_end();
    let new = match (settings.entries.is_empty(), text[settings.span.start as usize..close].contains('\n')) {
        (true, _) => " format: json ".to_owned(),
        (false, true) => "\n  format: json\n".to_owned(),
        (false, false) => ", format: json ".to_owned(),
    };
    Some(quick("add `format: json`", mention, vec![(before.len()..close, new)]))
}

/// Declares an unknown name as what is wanted at its place.
fn declarations(view: &View, name: &str, wanted: &str, span: Span) -> Vec<Offer> {
    let Some(tree) = view.analysis.tree(view.file) else { return Vec::new() };
    if name.contains('.') || !name.chars().all(weir_grammar::is_of_word) {
        return Vec::new();
    }
    let nodes = nodes_at(tree, span.start);
    let Some(Node::Item(item)) = nodes.first() else { return Vec::new() };
    let texts: Vec<(&str, String)> = match wanted {
        "interceptor" => vec![("interceptor", format!("interceptor {name}() {{}}\n\n"))],
        "quality" => vec![("quality", format!("quality {name} {{\n  true\n}}\n\n"))],
        "schema" => vec![("schema", format!("schema {name} {{\n  body: Text\n}}\n\n"))],
        "param or let" => vec![
            ("let", format!("let {name} = {}\n", sample_of_let(view, span))),
            ("param", format!("param {name}: {}\n", param_type(view, span))),
        ],
        "component" | "source, channel or sink" | "channel or sink" => components(name, &nodes, span),
        _ => Vec::new(),
    };
    let at = start_with_comments(view.text(), item.span.start as usize, COMMENT);
    let offers = texts
        .into_iter()
        .map(|(what, text)| quick(format!("declare the {what} `{name}`"), span, vec![(at..at, text)]));
    offers.collect()
}

fn components(name: &str, nodes: &[Node<'_>], span: Span) -> Vec<(&'static str, String)> {
    let begins = nodes.iter().any(
        |node| matches!(node, Node::Chain(tree::Chain { span: chain, .. }) if chain.start == span.start),
    );
    match begins {
        true => vec![("source", format!("source {name} = generate {{}}\n\n"))],
        false => vec![
            ("sink", format!("sink {name} = files {{ path: \"{name}\", format: json }}\n\n")),
            ("channel", format!("channel {name} = memory {{}}\n\n")),
        ],
    }
}

/// Returns a value of the type that is expected at a place.
fn sample_of_let(view: &View, span: Span) -> String {
    view.analysis
        .expected_type(span)
        .and_then(|wanted| view.library.sample_of(wanted))
        .unwrap_or_else(|| "\"\"".to_owned())
}

fn param_type(view: &View, span: Span) -> String {
    let wanted = view.analysis.expected_type(span).map(ToString::to_string);
    let wanted = wanted.unwrap_or_else(|| "Text".to_owned());
    let value = sample_of_let(view, span);
    format!("{wanted} = {value}")
}
