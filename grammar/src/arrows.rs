//! Missing arrows between the lines of a flow.

use crate::Span;
use crate::error::{Foreign, SyntaxError, SyntaxErrorKind};
use crate::tree::{Chain, File, ItemKind, Stage};

/// Joins chains between which an arrow is missing, and returns an error for each place.
///
/// No chain begins with a step, ends with a step, or is a single name. Two adjacent chains of this kind are one chain if the
/// roles of the components in the file allow it.
pub fn join_chains(file: &mut File, text: &str) -> Vec<SyntaxError> {
    let mut errors = Vec::new();
    for item in &mut file.items {
        if let ItemKind::Flow(flow) = &mut item.kind
            && !flow.broken
            && flow.chains.windows(2).any(|pair| is_cut(&pair[0], &pair[1], text))
        {
            let chains = std::mem::take(&mut flow.chains);
            flow.chains = joined(chains, text, &mut errors);
        }
    }
    errors
}

fn joined(chains: Vec<Chain>, text: &str, errors: &mut Vec<SyntaxError>) -> Vec<Chain> {
    let mut joined: Vec<Chain> = Vec::with_capacity(chains.len());
    for chain in chains {
        match joined.last_mut().filter(|last| is_cut(last, &chain, text)) {
            Some(last) => {
                errors.push(missing_arrow(&chain, text));
                last.span = last.span.to(chain.span);
                last.stages.extend(chain.stages);
            }
            None => joined.push(chain),
        }
    }
    joined
}

/// Returns whether an arrow is missing between two chains.
fn is_cut(last: &Chain, next: &Chain, text: &str) -> bool {
    let is_step = |stage: Option<&Stage>| matches!(stage, Some(Stage::Step(_)));
    let first = next.stages.first();
    let is_edge = !matches!(first, Some(Stage::Step(_) | Stage::Name(_)) | None);
    let goes_on = is_step(last.stages.last()) || is_name(last) && !is_component("sink", last, text);
    let is_rest = is_step(first) || is_edge || is_name(next) && !is_component("source", next, text);
    let between = text.get(last.span.end as usize..next.span.start as usize);
    goes_on && is_rest && between.is_some_and(|between| !between.contains(','))
}

fn is_name(chain: &Chain) -> bool {
    matches!(chain.stages.as_slice(), [Stage::Name(_)])
}

/// Returns whether a chain begins with a component that the file declares with this role.
fn is_component(role: &str, chain: &Chain, text: &str) -> bool {
    let Some(Stage::Name(path)) = chain.stages.first() else { return false };
    let declared = |line: &str| {
        let name = line.strip_prefix(role).and_then(|rest| rest.split('=').next());
        name.is_some_and(|name| name.trim() == &*path.name.text)
    };
    path.qualifier.is_none() && text.lines().any(declared)
}

fn missing_arrow(chain: &Chain, text: &str) -> SyntaxError {
    let start = Span { end: chain.span.start, ..chain.span };
    let rest = text.get(chain.span.start as usize..).unwrap_or_default();
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let length = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len()).max(1);
    let foreign = Foreign {
        message: "an arrow is missing between two stages".to_owned(),
        title: "write `->` before this".to_owned(),
        help: None,
        edits: vec![(start, "-> ".to_owned())],
        group: None,
    };
    let span = Span { end: start.start + length as u32, ..start };
    SyntaxError { span, kind: SyntaxErrorKind::Foreign(Box::new(foreign)) }
}
