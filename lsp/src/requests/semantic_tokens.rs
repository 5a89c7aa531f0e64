//! Semantic tokens: what each word means.

use std::collections::HashMap;

use gen_lsp_types::{
    SemanticToken, SemanticTokens, SemanticTokensDelta, SemanticTokensDeltaParams,
    SemanticTokensDeltaResponse, SemanticTokensEdit, SemanticTokensLegend, SemanticTokensParams,
    SemanticTokensRangeParams,
};
use weir_compiler::analysis::{Definition, DefinitionKind};
use weir_grammar::{Span, TokenKind, holes, tokens};

use crate::dispatch::Answer;
use crate::places::View;
use crate::programs::hash_of;
use crate::session::Session;

/// The types of tokens; a token has the index of its type.
const TYPES: [&str; 15] = [
    "keyword",
    "comment",
    "string",
    "number",
    "operator",
    "variable",
    "parameter",
    "property",
    "function",
    "class",
    "struct",
    "enumMember",
    "type",
    "namespace",
    "macro",
];

/// The modifiers; a token has the sum of their bits.
const MODIFIERS: [&str; 3] = ["declaration", "readonly", "defaultLibrary"];

const DECLARATION: u32 = 1;
const READONLY: u32 = 2;
const LIBRARY: u32 = 4;

pub(crate) fn legend() -> SemanticTokensLegend {
    SemanticTokensLegend {
        token_types: TYPES.map(str::to_owned).to_vec(),
        token_modifiers: MODIFIERS.map(str::to_owned).to_vec(),
    }
}

/// A token with its place: the index of its type, and its modifiers.
struct Word {
    span: Span,
    kind: u32,
    modifiers: u32,
}

pub(crate) fn full(
    session: &mut Session<'_>,
    params: SemanticTokensParams,
) -> Answer<Option<SemanticTokens>> {
    let uri = params.text_document.uri;
    let Some(view) = session.view(uri.as_ref()) else { return Ok(None) };
    let data = encoded(&view, &words(&view, None));
    let result_id = Some(session.remember_tokens(uri.as_ref(), hash_of(&data), &data));
    Ok(Some(SemanticTokens { result_id, data }))
}

pub(crate) fn range(
    session: &mut Session<'_>,
    params: SemanticTokensRangeParams,
) -> Answer<Option<SemanticTokens>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    let wanted = view.places.span(view.file, params.range);
    Ok(Some(SemanticTokens { result_id: None, data: encoded(&view, &words(&view, Some(wanted))) }))
}

pub(crate) fn delta(
    session: &mut Session<'_>,
    params: SemanticTokensDeltaParams,
) -> Answer<Option<SemanticTokensDeltaResponse>> {
    let uri = params.text_document.uri;
    let Some(view) = session.view(uri.as_ref()) else { return Ok(None) };
    let data = encoded(&view, &words(&view, None));
    let before = session.remembered_tokens(uri.as_ref(), &params.previous_result_id);
    let result_id = Some(session.remember_tokens(uri.as_ref(), hash_of(&data), &data));
    let Some(before) = before else {
        return Ok(Some(SemanticTokens { result_id, data }.into()));
    };
    let edits = edit(&before, &data).into_iter().collect();
    Ok(Some(SemanticTokensDelta { result_id, edits }.into()))
}

/// Returns the edit of the numbers between the tokens that are equal at the beginning and at the end.
fn edit(before: &[SemanticToken], after: &[SemanticToken]) -> Option<SemanticTokensEdit> {
    let equal = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    if equal == before.len() && equal == after.len() {
        return None;
    }
    let rest = before.len().min(after.len()) - equal;
    let tails = before.iter().rev().zip(after.iter().rev()).take(rest);
    let tail = tails.take_while(|(one, other)| one == other).count();
    let data = after[equal..after.len() - tail].iter().flat_map(|token| {
        [token.delta_line, token.delta_start, token.length, token.token_type, token.token_modifiers_bitset]
    });
    Some(SemanticTokensEdit {
        start: equal as u32 * 5,
        delete_count: (before.len() - tail - equal) as u32 * 5,
        data: Some(data.collect()),
    })
}

/// Returns the tokens of a file, or of a part of it.
fn words(view: &View, wanted: Option<Span>) -> Vec<Word> {
    let mut meanings: HashMap<Span, (DefinitionKind, u32)> = HashMap::new();
    let modifiers = |definition: &Definition| {
        let library = if view.library.files().get(definition.span.file).is_some() { LIBRARY } else { 0 };
        let constant = matches!(definition.kind, DefinitionKind::Let | DefinitionKind::Param);
        library | if constant { READONLY } else { 0 }
    };
    for (place, of) in view.analysis.all_uses().filter(|(place, _)| place.file == view.file) {
        if let Some(definition) = view.analysis.definition(of) {
            meanings.insert(place, (definition.kind, modifiers(definition)));
        }
    }
    for definition in view.analysis.definitions_of(view.file) {
        meanings.insert(definition.span, (definition.kind, modifiers(definition) | DECLARATION));
    }
    let text = view.text();
    let mut found = Vec::new();
    for token in tokens(text) {
        let span = view.span(token.range.start, token.range.end);
        if wanted.is_some_and(|wanted| span.end < wanted.start || wanted.end < span.start) {
            continue;
        }
        match token.kind {
            TokenKind::Text => in_text(view, span, &meanings, &mut found),
            kind => {
                let meaning = meanings.get(&span).or_else(|| meanings.get(&unquoted(span, text))).copied();
                found.extend(of_token(kind, span, text, meaning));
            }
        }
    }
    found
}

/// Returns the place of a name without its backticks.
fn unquoted(span: Span, text: &str) -> Span {
    match span.slice(text).starts_with('`') {
        true => Span { start: span.start + 1, end: span.end.saturating_sub(1).max(span.start + 1), ..span },
        false => span,
    }
}

fn of_token(kind: TokenKind, span: Span, text: &str, meaning: Option<(DefinitionKind, u32)>) -> Option<Word> {
    let plain = |name: &str| {
        let kind = TYPES.iter().position(|known| *known == name)? as u32;
        Some(Word { span, kind, modifiers: 0 })
    };
    match (kind, meaning) {
        (TokenKind::Comment, _) => plain("comment"),
        (TokenKind::RawText | TokenKind::Text, _) => plain("string"),
        (TokenKind::Number, _) => plain("number"),
        (_, Some((kind, modifiers))) => plain(type_of(kind)).map(|word| Word { modifiers, ..word }),
        (TokenKind::Header, None) => plain("property"),
        (TokenKind::Word, None) if weir_grammar::is_keyword(span.slice(text)) => plain("keyword"),
        (TokenKind::Word, None) => None,
        (TokenKind::Mark, None) => {
            let is_bracket = span.slice(text).chars().all(|mark| "()[]{},:".contains(mark));
            if is_bracket { None } else { plain("operator") }
        }
    }
}

fn type_of(kind: DefinitionKind) -> &'static str {
    match kind {
        DefinitionKind::Param | DefinitionKind::Let | DefinitionKind::Local => "variable",
        DefinitionKind::Component(_) | DefinitionKind::Broken => "variable",
        DefinitionKind::Schema => "struct",
        DefinitionKind::Field | DefinitionKind::Column | DefinitionKind::Setting => "property",
        DefinitionKind::Interceptor | DefinitionKind::Parser => "macro",
        DefinitionKind::Function => "function",
        DefinitionKind::Parameter => "parameter",
        DefinitionKind::Quality | DefinitionKind::Kind(_) => "class",
        DefinitionKind::Flow | DefinitionKind::Import => "namespace",
        DefinitionKind::Type => "type",
        DefinitionKind::Variant => "enumMember",
    }
}

/// Adds a text: its literal parts, and the names in its holes.
fn in_text(view: &View, span: Span, meanings: &HashMap<Span, (DefinitionKind, u32)>, found: &mut Vec<Word>) {
    let text = view.text();
    let mut start = span.start;
    for (at, name) in holes(span.slice(text)) {
        let begin = span.start + at as u32;
        let place = Span { start: begin, end: begin + name.len() as u32, ..span };
        let Some(meaning) = meanings.get(&place).filter(|_| !name.is_empty()) else { continue };
        found.extend(of_token(TokenKind::Text, Span { start, end: begin, ..span }, text, None));
        found.extend(of_token(TokenKind::Word, place, text, Some(*meaning)));
        start = place.end;
    }
    if start < span.end {
        found.extend(of_token(TokenKind::Text, Span { start, ..span }, text, None));
    }
}

/// Returns the tokens with places relative to the one before. Tokens are within one line each.
fn encoded(view: &View, words: &[Word]) -> Vec<SemanticToken> {
    let mut encoded = Vec::with_capacity(words.len());
    let (mut line, mut start) = (0, 0);
    for word in words {
        let range = view.places.range(word.span);
        if range.start.line != range.end.line || range.start == range.end {
            continue;
        }
        let delta_line = range.start.line - line;
        let delta_start = if delta_line == 0 { range.start.character - start } else { range.start.character };
        encoded.push(SemanticToken {
            delta_line,
            delta_start,
            length: range.end.character - range.start.character,
            token_type: word.kind,
            token_modifiers_bitset: word.modifiers,
        });
        (line, start) = (range.start.line, range.start.character);
    }
    encoded
}
