//! Walks over expressions.

use weir_grammar::Span;
use weir_grammar::tree::{Call, Expression, ExpressionKind, Name, TextPart};

/// The expressions that are part of this one, not those within them.
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

/// The names that an expression mentions, those of holes and of functions included.
pub(crate) fn names<'e>(expression: &'e Expression, found: &mut Vec<Mention<'e>>) {
    let mut open = vec![expression];
    while let Some(expression) = open.pop() {
        match &expression.kind {
            ExpressionKind::Name(name) => {
                found.push(Mention { qualifier: None, name, span: expression.span });
            }
            ExpressionKind::Member(inner, name) => {
                if let ExpressionKind::Name(qualifier) = &inner.kind {
                    found.push(Mention {
                        qualifier: Some(qualifier),
                        name: &name.text,
                        span: expression.span,
                    });
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

/// A name where it is mentioned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mention<'e> {
    pub(crate) qualifier: Option<&'e str>,
    pub(crate) name: &'e str,
    pub(crate) span: Span,
}

impl<'e> Mention<'e> {
    pub(crate) fn of_path(path: &'e weir_grammar::tree::Path) -> Mention<'e> {
        let qualifier = path.qualifier.as_ref().map(|qualifier| &*qualifier.text);
        Mention { qualifier, name: &path.name.text, span: path.span() }
    }

    pub(crate) fn of_name(name: &'e Name) -> Mention<'e> {
        match name.text.split_once('.') {
            Some((qualifier, rest)) => Mention { qualifier: Some(qualifier), name: rest, span: name.span },
            None => Mention { qualifier: None, name: &name.text, span: name.span },
        }
    }
}

/// Whether a pattern is `_`.
pub(crate) fn is_rest(pattern: &Expression) -> bool {
    matches!(&pattern.kind, ExpressionKind::Name(name) if &**name == "_")
}
