//! Extracts steps of a chain as an interceptor.

use gen_lsp_types::CodeActionKind;
use weir_grammar::tree::{Chain, ItemKind, Node, Stage, StepKind, walk};
use weir_grammar::{Span, TokenKind, tokens};

use super::Offer;
use super::diagnosed::{COMMENT, start_with_comments};
use crate::places::View;

/// Makes an interceptor of the selected steps.
pub(super) fn interceptor(view: &View, selected: Span) -> Option<Offer> {
    if selected.start == selected.end {
        return None;
    }
    let tree = view.analysis.tree(view.file)?;
    let item = tree.items.iter().find(|item| {
        matches!(item.kind, ItemKind::Flow(_))
            && item.span.start <= selected.start
            && selected.end <= item.span.end
    })?;
    let mut chains: Vec<&Chain> = Vec::new();
    walk(tree, &mut |node| {
        if let Node::Chain(chain) = node {
            chains.push(chain);
        }
        true
    });
    // The innermost chain with selected steps.
    let (first, last, steps) = chains.iter().rev().find_map(|chain| steps_in(chain, selected))?;
    let text = view.text();
    let taken =
        |name: &str| view.analysis.visible_names(view.file, None).iter().any(|known| *known.name == *name);
    let names =
        std::iter::once("extracted".to_owned()).chain((2..100).map(|number| format!("extracted_{number}")));
    let name = names.into_iter().find(|name| !taken(name))?;
    let at = start_with_comments(text, item.span.start as usize, COMMENT);
    let declaration = format!("interceptor {name}() {{\n{}}}\n", lines(text, &steps));
    let declaration = weir_compiler::format(&view.name, &declaration).ok()? + "\n";
    let edits = vec![(at..at, declaration), (first.start as usize..last.end as usize, format!("{name}()"))];
    let kind = CodeActionKind::RefactorExtract;
    Some(Offer { title: "extract an interceptor".to_owned(), kind, edits, of: None })
}

/// Returns the first and the last selected step of a chain, and all of them; `None` if something else is selected.
fn steps_in(chain: &Chain, selected: Span) -> Option<(Span, Span, Vec<Span>)> {
    let overlaps = |span: Span| span.start < selected.end && selected.start < span.end;
    let stages: Vec<&Stage> = chain.stages.iter().filter(|stage| overlaps(stage.span())).collect();
    let steps = stages.iter().map(|stage| match stage {
        Stage::Step(step) if !matches!(step.kind, StepKind::RejectAll(_)) => Some(step.span),
        _ => None,
    });
    let steps: Vec<Span> = steps.collect::<Option<Vec<Span>>>()?;
    Some((*steps.first()?, *steps.last()?, steps))
}

/// Returns the steps of an interceptor, with the comments between them.
fn lines(text: &str, steps: &[Span]) -> String {
    let mut lines = String::new();
    for (index, step) in steps.iter().enumerate() {
        lines.push_str(step.slice(text));
        let next = steps.get(index + 1).map_or(step.end, |next| next.start);
        let between = &text[step.end as usize..next as usize];
        for token in tokens(between).filter(|token| token.kind == TokenKind::Comment) {
            // A comment on the line of the step stays there.
            lines.push(if between[..token.range.start].contains('\n') { '\n' } else { ' ' });
            lines.push_str(between[token.range].trim_end());
        }
        lines.push('\n');
    }
    lines
}
