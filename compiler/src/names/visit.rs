//! Traversal of expressions.

use weir_grammar::Span;
use weir_grammar::tree::{Call, Expression, ExpressionKind, Name, TextPart};

/// Returns the direct subexpressions of an expression.
pub(crate) fn parts(expression: &Expression) -> Vec<&Expression> {
    use ExpressionKind as Kind;
    match &expression.kind {
        Kind::Null
        | Kind::Bool(_)
        | Kind::Number(_)
        | Kind::Text(_)
        | Kind::Name(_)
        | Kind::Header(_)
        | Kind::Broken => Vec::new(),
        Kind::List(items) | Kind::And(items) | Kind::Or(items) => items.iter().collect(),
        Kind::Record(block) | Kind::Variant(_, block) => {
            block.entries.iter().map(|entry| &entry.value).collect()
        }
        Kind::Call(call) | Kind::Secret(call) => arguments(call),
        Kind::Member(inner, _) | Kind::Paren(inner) | Kind::Negate(inner) | Kind::Not(inner) => vec![inner],
        Kind::Index(left, right) | Kind::Otherwise(left, right) | Kind::Binary(_, left, right) => {
            vec![left, right]
        }
        Kind::Is(is) => vec![&is.operand],
        Kind::If(conditional) => {
            let cases = conditional.cases.iter().flat_map(|(condition, value)| [condition, value]);
            cases.chain([&conditional.otherwise]).collect()
        }
        Kind::Match(matching) => {
            let arms = matching.arms.iter().flat_map(|arm| arm.patterns.iter().chain([&arm.value]));
            matching.subject.iter().chain(arms).collect()
        }
    }
}

fn arguments(call: &Call) -> Vec<&Expression> {
    call.arguments.iter().map(|argument| &argument.value).collect()
}

/// Collects the names that an expression mentions, including those of holes and of called functions.
pub(crate) fn names<'e>(expression: &'e Expression, found: &mut Vec<Mention<'e>>) {
    let mut open = vec![expression];
    while let Some(expression) = open.pop() {
        match &expression.kind {
            ExpressionKind::Name(name) => {
                found.push(Mention::plain(name, expression.span));
            }
            ExpressionKind::Member(inner, name) => {
                if let ExpressionKind::Name(qualifier) = &inner.kind {
                    found.push(Mention::of_member(qualifier, inner.span, name));
                }
            }
            ExpressionKind::Call(call) => found.push(Mention::of_path(&call.function)),
            ExpressionKind::Text(text) => {
                for part in &text.parts {
                    if let TextPart::Hole(hole) = part {
                        found.push(Mention::of_name(&hole.name));
                    }
                }
            }
            _ => {}
        }
        open.extend(parts(expression));
    }
}

/// A mention of a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mention<'e> {
    pub(crate) qualifier: Option<&'e str>,
    pub(crate) name: &'e str,
    /// The place of the mention, including the qualifier.
    pub(crate) span: Span,
    /// The place of the name without the qualifier.
    pub(crate) name_span: Span,
}

impl<'e> Mention<'e> {
    pub(crate) fn of_path(path: &'e weir_grammar::tree::Path) -> Mention<'e> {
        let qualifier = path.qualifier.as_ref().map(|qualifier| &*qualifier.text);
        Mention { qualifier, name: &path.name.text, span: path.span(), name_span: path.name.span }
    }

    /// Returns the mention of a name without a qualifier.
    pub(crate) fn plain(name: &'e str, span: Span) -> Mention<'e> {
        Mention { qualifier: None, name, span, name_span: span }
    }

    /// Returns the mention of a name in an imported file.
    pub(crate) fn of_member(qualifier: &'e str, qualifier_span: Span, name: &'e Name) -> Mention<'e> {
        let span = qualifier_span.to(name.span);
        Mention { qualifier: Some(qualifier), name: &name.text, span, name_span: name.span }
    }

    pub(crate) fn of_name(name: &'e Name) -> Mention<'e> {
        match name.text.split_once('.') {
            Some((qualifier, rest)) => {
                let start = name.span.start + qualifier.len() as u32 + 1;
                let name_span = Span { start: start.min(name.span.end), ..name.span };
                Mention { qualifier: Some(qualifier), name: rest, span: name.span, name_span }
            }
            None => Mention::plain(&name.text, name.span),
        }
    }
}

/// Returns whether a pattern is `_`.
pub(crate) fn is_rest(pattern: &Expression) -> bool {
    matches!(&pattern.kind, ExpressionKind::Name(name) if &**name == "_")
}
