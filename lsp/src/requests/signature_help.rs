//! The parameters of the call around a position.

use gen_lsp_types::{
    ActiveParameter, Documentation, MarkupContent, MarkupKind, ParameterInformation,
    ParameterInformationLabel, SignatureHelp, SignatureHelpParams, SignatureInformation,
};
use weir_compiler::analysis::{Definition, DefinitionKind};
use weir_grammar::{TokenKind, tokens};

use crate::dispatch::Answer;
use crate::places::View;
use crate::session::Session;

pub(crate) fn signature_help(
    session: &mut Session<'_>,
    params: SignatureHelpParams,
) -> Answer<Option<SignatureHelp>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position) as usize;
    let Some(call) = call_around(view.text(), offset) else { return Ok(None) };
    Ok(help(&view, &call))
}

/// A call that is not closed before the position.
struct OpenCall {
    /// The name of the called function, perhaps with a qualifier.
    name: String,
    /// The argument at the position, from 0.
    index: usize,
    /// The name of the argument at the position, if it is written.
    argument: Option<String>,
}

/// Returns the innermost call whose parentheses contain a position. It reads tokens, since an unfinished call is in no tree.
fn call_around(text: &str, offset: usize) -> Option<OpenCall> {
    let start = text[..offset].rfind("\n\n").unwrap_or(0);
    let mut open: Vec<(Option<String>, usize, Option<String>)> = Vec::new();
    let mut last: Option<String> = None;
    for token in tokens(text.get(start..offset)?) {
        let word = &text[start + token.range.start..start + token.range.end];
        match (token.kind, word) {
            (TokenKind::Word, _) => {
                last = Some(match last.take().filter(|last| last.ends_with('.')) {
                    Some(qualifier) => format!("{qualifier}{word}"),
                    None => word.to_owned(),
                });
                continue;
            }
            (TokenKind::Mark, ".") => {
                last = last.map(|last| format!("{last}."));
                continue;
            }
            (TokenKind::Mark, "(") => open.push((last.take(), 0, None)),
            (TokenKind::Mark, "[" | "{") => open.push((None, 0, None)),
            (TokenKind::Mark, ")" | "]" | "}") => {
                open.pop();
            }
            (TokenKind::Mark, ",") => {
                if let Some((_, index, argument)) = open.last_mut() {
                    *index += 1;
                    *argument = None;
                }
            }
            (TokenKind::Mark, ":") => {
                if let Some((_, _, argument)) = open.last_mut() {
                    *argument = last.take();
                }
            }
            _ => {}
        }
        last = None;
    }
    let found = open.into_iter().rev().find_map(|(name, index, argument)| Some((name?, index, argument)));
    let (name, index, argument) = found?;
    Some(OpenCall { name, index, argument })
}

fn help(view: &View, call: &OpenCall) -> Option<SignatureHelp> {
    let definition = called(view, &call.name)?;
    let text = view.places.text(definition.span.file);
    let signature = signature(text, definition)?;
    let parameters = view.analysis.all_parameters_of(definition);
    let shown = parameters.iter().map(|parameter| ParameterInformation {
        label: ParameterInformationLabel::String(parameter.whole.slice(text).to_owned()),
        documentation: None,
    });
    let shown: Vec<ParameterInformation> = shown.collect();
    let named = call.argument.as_ref();
    let named = named.and_then(|name| parameters.iter().position(|parameter| *parameter.name == **name));
    let active = named.unwrap_or(call.index).min(shown.len()) as u32;
    let documentation =
        MarkupContent { kind: MarkupKind::Markdown, value: definition.documentation.to_string() };
    let information = SignatureInformation {
        label: signature,
        documentation: (!definition.documentation.is_empty())
            .then_some(Documentation::MarkupContent(documentation)),
        parameters: Some(shown),
        active_parameter: Some(ActiveParameter::Int(active)),
    };
    Some(SignatureHelp {
        signatures: vec![information],
        active_signature: Some(0),
        active_parameter: Some(ActiveParameter::Int(active)),
    })
}

/// Returns the function, interceptor or parser with this name: of the program, or else of the library.
fn called<'v>(view: &'v View, name: &str) -> Option<&'v Definition> {
    let (qualifier, name) = match name.split_once('.') {
        Some((qualifier, name)) => (Some(qualifier), name),
        None => (None, name),
    };
    let is_called = |definition: &&Definition| {
        let kind = matches!(definition.kind, DefinitionKind::Function | DefinitionKind::Interceptor);
        kind && *definition.name == *name
    };
    let own = view.analysis.visible_names(view.file, qualifier).into_iter().find(is_called);
    own.or_else(|| view.analysis.library_definitions().find(|definition| is_called(definition)))
}

/// Returns the text of a declaration up to its body.
fn signature(text: &str, definition: &Definition) -> Option<String> {
    let whole = definition.whole.slice(text);
    let end = whole.find(" {").unwrap_or(whole.len());
    let shown = whole.get(..end)?.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(shown.trim_start_matches("extern ").to_owned())
}
