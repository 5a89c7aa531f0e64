//! Cycles of declarations: lets, functions, interceptors and schemas that depend on themselves.

use std::collections::{HashMap, HashSet};

use weir_grammar::Span;
use weir_grammar::tree::{Field, ItemKind, TypeName, TypeNameKind};

use crate::diagnostics::{Cyclic, Diagnostic};
use crate::files::modules::Module;
use crate::names::scopes::{Meaning, Scopes};
use crate::names::visit::{self, Mention};

/// A declaration and its dependencies.
struct Node<'t> {
    what: &'static str,
    name: &'t str,
    /// The declarations on which the declaration depends, each with the place of the mention.
    needs: Vec<(Span, Span)>,
}

/// Finds the cycles and reports each of them once. Returns the places of all declarations in cycles.
pub(crate) fn find(
    modules: &[Module],
    scopes: &Scopes<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> HashSet<Span> {
    let mut order = Vec::new();
    let mut nodes: HashMap<Span, Node<'_>> = HashMap::new();
    for item in modules.iter().flat_map(|module| &module.tree.items) {
        let Some(name) = item.kind.name() else { continue };
        let mut mentions = Vec::new();
        let what = match &item.kind {
            ItemKind::Let(item) => {
                visit::names(&item.value, &mut mentions);
                "let"
            }
            ItemKind::Function(function) => {
                for value in function.lets.iter().map(|item| &item.value).chain([&function.value]) {
                    visit::names(value, &mut mentions);
                }
                "fn"
            }
            ItemKind::Interceptor(interceptor) => {
                mentions.extend(interceptor.steps.iter().filter_map(|step| match &step.kind {
                    weir_grammar::tree::StepKind::Use(call) => Some(Mention::of_path(&call.function)),
                    _ => None,
                }));
                "interceptor"
            }
            ItemKind::Schema(schema) => {
                mentions.extend(schema.fields.iter().filter_map(mentioned_type));
                "schema"
            }
            _ => continue,
        };
        let needs = mentions.into_iter().filter_map(|mention| {
            let named = scopes.mention(mention)?;
            let fits = match named.meaning {
                Meaning::Let(_) => what == "let",
                Meaning::Function => what == "fn",
                Meaning::Interceptor(_) => what == "interceptor",
                Meaning::Schema(_) => what == "schema",
                _ => false,
            };
            fits.then_some((named.declared, mention.span))
        });
        order.push(name.span);
        nodes.insert(name.span, Node { what, name: &name.text, needs: needs.collect() });
    }
    circles(&order, &nodes, diagnostics)
}

fn mentioned_type(field: &Field) -> Option<Mention<'_>> {
    let mut type_name: &TypeName = &field.type_name;
    loop {
        match &type_name.kind {
            TypeNameKind::Name(path) => return Some(Mention::of_path(path)),
            TypeNameKind::List(inner) | TypeNameKind::Applied(_, inner) => type_name = inner,
            TypeNameKind::Sized(..) => return None,
        }
    }
}

fn circles(
    order: &[Span],
    nodes: &HashMap<Span, Node<'_>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> HashSet<Span> {
    let mut cyclic = HashSet::new();
    let mut done: HashSet<Span> = HashSet::new();
    for start in order {
        // The path from the start; each declaration comes with the number of followed needs.
        let mut way: Vec<(Span, usize)> = vec![(*start, 0)];
        let mut places: HashMap<Span, usize> = HashMap::from([(*start, 0)]);
        while let Some((at, next)) = way.last_mut() {
            let need =
                if done.contains(at) { None } else { nodes.get(at).and_then(|node| node.needs.get(*next)) };
            let Some((to, used)) = need else {
                done.insert(*at);
                places.remove(at);
                way.pop();
                continue;
            };
            *next += 1;
            if let Some(first) = places.get(to) {
                let known = way[*first..].iter().any(|(at, _)| cyclic.contains(at));
                cyclic.extend(way[*first..].iter().map(|(at, _)| *at));
                if let (Some(node), false) = (nodes.get(to), known) {
                    let (what, name, span) = (node.what, node.name.to_owned(), *to);
                    diagnostics.push(Cyclic { what, name, span, used: *used }.into());
                }
            } else if !done.contains(to) {
                places.insert(*to, way.len());
                way.push((*to, 0));
            }
        }
    }
    cyclic
}
