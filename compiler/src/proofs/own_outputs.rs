//! Finds sinks that write what the source of their events reads, so that every event comes back for ever.

use std::collections::BTreeSet;

use weir_grammar::Span;
use weir_grammar::tree::OutsideClause;
use weir_plan::{TemplatePart, Value};

use crate::analysis::graph::{Component, Graph};
use crate::analysis::proofs::{HopKind, PathProof, Proofs};
use crate::analysis::settings::{Origin, Values};
use crate::diagnostics::{Diagnostic, OwnOutput};

/// Reports the sinks on the paths of a source that write what the source reads.
pub(crate) fn check(graph: &Graph, proofs: &Proofs, diagnostics: &mut Vec<Diagnostic>) {
    let mut told = BTreeSet::new();
    for path in proofs.flows.iter().flat_map(|flow| &flow.paths) {
        let Some((source, sink)) = ends(path).map(|(source, sink)| (&graph.components[source], sink)) else {
            continue;
        };
        let component = &graph.components[sink];
        if let Some((what, read, written)) = meeting(source, component)
            && told.insert((source.declared.span, sink))
        {
            diagnostics.push(
                OwnOutput {
                    source: source.declared.name.to_string(),
                    sink: component.declared.name.to_string(),
                    what,
                    read,
                    written,
                    path: path.names(),
                }
                .into(),
            );
        }
    }
}

/// Returns the first and the last component of a path.
fn ends(path: &PathProof) -> Option<(usize, usize)> {
    let mut components = path.hops.iter().filter_map(|hop| match hop.kind {
        HopKind::Component(index) => Some(index),
        HopKind::Step => None,
    });
    let first = components.next()?;
    Some((first, components.next_back()?))
}

/// Returns what a sink writes and a source reads, with the places of both settings.
fn meeting(source: &Component, sink: &Component) -> Option<(String, Span, Span)> {
    for reads in clauses(source, true) {
        for writes in clauses(sink, false) {
            let same_kind = source.kind() == sink.kind();
            if !same_kind || !is_one_place(source, reads, sink, writes) {
                continue;
            }
            let Some(written) = sink.settings.value(&writes.name.text).and_then(literal) else { continue };
            let read = texts(source.settings.value(&reads.name.text));
            if read.iter().any(|pattern| may_read(pattern, &written)) {
                return Some((written, place(source, reads), place(sink, writes)));
            }
        }
    }
    None
}

fn clauses(component: &Component, reads: bool) -> impl Iterator<Item = &OutsideClause> {
    let signature = component.signature.as_ref().filter(|_| component.settings.whole);
    let clauses = signature.into_iter().flat_map(|signature| &signature.outside);
    clauses.filter(move |clause| clause.reads == reads)
}

/// Returns whether both are on the same servers.
fn is_one_place(source: &Component, reads: &OutsideClause, sink: &Component, writes: &OutsideClause) -> bool {
    match (&reads.within, &writes.within) {
        (Some(reads), Some(writes)) => {
            let (read, written) =
                (texts(source.settings.value(&reads.text)), texts(sink.settings.value(&writes.text)));
            read.iter().any(|server| written.contains(server))
        }
        _ => true,
    }
}

fn place(component: &Component, clause: &OutsideClause) -> Span {
    match component.settings.get(&clause.name.text).map(|setting| setting.origin) {
        Some(Origin::Written(span)) => span,
        _ => component.declared.span,
    }
}

/// Returns the text of a template or a text without holes.
fn literal(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Template(template) => template
            .parts
            .iter()
            .map(|part| match part {
                TemplatePart::Text(text) => Some(text.as_str()),
                TemplatePart::Hole(_) => None,
            })
            .collect(),
        _ => None,
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Text(text)) => vec![text.clone()],
        Some(Value::List(items)) => items.iter().flat_map(|item| texts(Some(item))).collect(),
        _ => Vec::new(),
    }
}

/// Returns whether a source that reads `pattern` certainly reads what is written: the same name, or every file of the
/// directory that is written.
fn may_read(pattern: &str, written: &str) -> bool {
    let directory = |text: &str| text.trim_end_matches('/').to_owned();
    pattern == written
        || pattern.strip_suffix("/*").is_some_and(|folder| directory(folder) == directory(written))
        || pattern.strip_suffix("/**").is_some_and(|folder| {
            let (folder, written) = (directory(folder), directory(written));
            written == folder || written.starts_with(&format!("{folder}/"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certainly_read_counts() {
        assert!(may_read("clicks", "clicks"));
        assert!(!may_read("clicks", "clicks-dead"));
        assert!(may_read("/srv/in/*", "/srv/in"));
        assert!(may_read("/srv/in/*", "/srv/in/"));
        assert!(may_read("/srv/**", "/srv/in/dead"));
        assert!(!may_read("/srv/in/*.log", "/srv/in"));
        assert!(!may_read("/srv/in/*", "/srv/in/dead"));
    }
}
