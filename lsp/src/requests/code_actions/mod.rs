//! Code actions: the fixes of diagnostics, and changes of programs that are right.
//!
//! An action other than a fix is offered only if no program that reads the file has a new error with its edits: the server
//! checks it.

mod diagnosed;
mod extract;
mod inline;

use std::collections::HashMap;
use std::ops::Range as Bytes;

use gen_lsp_types::{
    CodeAction, CodeActionKind, CodeActionParams, CodeActionResponse, Diagnostic as Shown, Range, TextEdit,
    Uri,
};
use weir_compiler::{Analysis, Diagnostic, Severity, fix_certain};
use weir_grammar::Span;

use crate::dispatch::Answer;
use crate::edits::workspace_edit;
use crate::places::View;
use crate::requests::formatting::differences;
use crate::session::Session;
use crate::uris;

/// The kind of the action that applies all fixes; editors can run it when a file is saved.
pub(crate) const FIX_ALL: &str = "source.fixAll.weir";

/// An action of one file: its title and its edits.
struct Offer {
    title: String,
    kind: CodeActionKind,
    /// The places in the text, and what replaces them.
    edits: Vec<(Bytes<usize>, String)>,
    /// The diagnostic that the action resolves.
    of: Option<Span>,
}

pub(crate) fn code_actions(
    session: &mut Session<'_>,
    params: CodeActionParams,
) -> Answer<Option<Vec<CodeActionResponse>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    if view.analysis.tree(view.file).is_none() {
        return Ok(None);
    }
    let span = view.places.span(view.file, params.range);
    let wants = |kind: &CodeActionKind| match &params.context.only {
        Some(only) => only.iter().any(|wanted| name(kind).starts_with(&name(wanted))),
        None => true,
    };
    let mut actions = Vec::new();
    if wants(&CodeActionKind::QuickFix) {
        actions.extend(fixes(session, &view, span, &params.context.diagnostics));
        let offers = safe(session, &view, diagnosed::offers(&view, span));
        actions.extend(offers.iter().map(|offer| shown(session, &view, offer, &params.context.diagnostics)));
    }
    if wants(&CodeActionKind::RefactorExtract) {
        let offers = extract::interceptor(&view, span).into_iter().collect();
        let offers = safe(session, &view, offers);
        actions.extend(offers.iter().map(|offer| shown(session, &view, offer, &[])));
    }
    if wants(&CodeActionKind::RefactorInline) {
        let offers = inline::constant(session, &view, span).into_iter().collect();
        let offers = safe(session, &view, offers);
        actions.extend(offers.iter().map(|offer| shown(session, &view, offer, &[])));
    }
    let fix_all: CodeActionKind =
        serde_json::from_value(FIX_ALL.into()).unwrap_or(CodeActionKind::SourceFixAll);
    let asked =
        params.context.only.is_some() || actions.iter().any(|action| action.is_preferred == Some(true));
    if wants(&fix_all) && asked {
        actions.extend(all_fixes(session, &view, fix_all));
    }
    Ok(Some(actions.into_iter().map(CodeActionResponse::CodeAction).collect()))
}

/// Returns the name of a kind in the protocol.
fn name(kind: &CodeActionKind) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Returns the fixes of the diagnostics at a place.
fn fixes(session: &Session<'_>, view: &View, span: Span, known: &[Shown]) -> Vec<CodeAction> {
    let mut actions: Vec<CodeAction> = Vec::new();
    for diagnostic in &view.analysis.diagnostics {
        let description = diagnostic.describe();
        let (Some(fix), Some(label)) = (description.fix, description.labels.first()) else { continue };
        if !touches(label.span, span) {
            continue;
        }
        let mut changes: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
        let of_program = fix.edits.iter().all(|edit| view.analysis.tree(edit.span.file).is_some());
        for edit in fix.edits {
            let Some(location) = view.places.location(edit.span) else { continue };
            let edit = TextEdit { range: location.range, new_text: edit.replacement };
            changes.entry(location.uri).or_default().push(edit);
        }
        if of_program {
            actions.push(CodeAction {
                title: fix.title,
                kind: Some(CodeActionKind::QuickFix),
                diagnostics: resolved(view.places.range(label.span), diagnostic, known),
                is_preferred: Some(true),
                edit: Some(workspace_edit(session, changes)),
                ..CodeAction::default()
            });
        }
    }
    actions
}

fn touches(one: Span, other: Span) -> bool {
    one.file == other.file && one.start <= other.end && other.start <= one.end
}

/// Returns the client's diagnostics that an action resolves.
fn resolved(range: Range, diagnostic: &Diagnostic, known: &[Shown]) -> Option<Vec<Shown>> {
    let code = Some(diagnostic.code().into());
    let same = known.iter().filter(|known| known.range == range && known.code == code);
    let same: Vec<Shown> = same.cloned().collect();
    (!same.is_empty()).then_some(same)
}

/// Applies the certain fixes of the program. An editor may do so when it saves, so a guess must not change the program.
fn all_fixes(session: &Session<'_>, view: &View, kind: CodeActionKind) -> Option<CodeAction> {
    let fixed = fix_certain(&session.texts(), &view.name, &view.library, &session.options());
    let mut changes: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
    for (name, text) in &fixed.texts {
        let Some(file) = view.analysis.file_named(name) else { continue };
        let edits = differences(view.places.text(file), text).map(|(range, new_text)| {
            let span = Span { file, start: range.start as u32, end: range.end as u32 };
            TextEdit { range: view.places.range(span), new_text: new_text.to_owned() }
        });
        let edits: Vec<TextEdit> = edits.collect();
        if !edits.is_empty() {
            changes.insert(uris::uri(name).into(), edits);
        }
    }
    (!changes.is_empty()).then(|| CodeAction {
        title: "apply all certain fixes".to_owned(),
        kind: Some(kind),
        edit: Some(workspace_edit(session, changes)),
        ..CodeAction::default()
    })
}

/// Returns the offers that leave every program that reads the file without a new error.
fn safe(session: &mut Session<'_>, view: &View, offers: Vec<Offer>) -> Vec<Offer> {
    if offers.is_empty() {
        return offers;
    }
    session.refresh_all();
    let readers = session.programs.readers(&view.name);
    let session = &*session;
    let is_safe = |offer: &Offer| {
        let Some(text) = applied(view.text(), &offer.edits) else { return false };
        let texts = HashMap::from([(view.name.clone(), text)]);
        readers.iter().all(|entry| {
            let before = session.programs.get(entry).and_then(|program| program.analysis.clone());
            let mut after = errors(&session.analyse_with(entry, &texts));
            // Each error was there before.
            for known in before.iter().flat_map(|before| errors(before)) {
                if let Some(index) = after.iter().position(|error| *error == known) {
                    after.swap_remove(index);
                }
            }
            after.is_empty()
        })
    };
    offers.into_iter().filter(is_safe).collect()
}

/// Returns a text after edits; `None` if an edit is not in the text.
fn applied(text: &str, edits: &[(Bytes<usize>, String)]) -> Option<String> {
    let mut edits: Vec<_> = edits.iter().collect();
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = text.to_owned();
    for (range, new) in edits {
        text.get(range.clone())?;
        text.replace_range(range.clone(), new);
    }
    Some(text)
}

fn errors(analysis: &Analysis) -> Vec<(&'static str, String)> {
    let errors = analysis.diagnostics.iter().filter(|diagnostic| diagnostic.severity() == Severity::Error);
    errors.map(|error| (error.code(), error.describe().message)).collect()
}

fn shown(session: &Session<'_>, view: &View, offer: &Offer, known: &[Shown]) -> CodeAction {
    let edits = offer.edits.iter().map(|(range, new_text)| TextEdit {
        range: view.places.range(view.span(range.start, range.end)),
        new_text: new_text.clone(),
    });
    let changes = HashMap::from([(uris::uri(&view.name).into(), edits.collect::<Vec<_>>())]);
    let range = offer.of.map(|span| view.places.range(span));
    let diagnostics: Vec<Shown> = known.iter().filter(|known| Some(known.range) == range).cloned().collect();
    CodeAction {
        title: offer.title.clone(),
        kind: Some(offer.kind.clone()),
        diagnostics: (!diagnostics.is_empty()).then_some(diagnostics),
        edit: Some(workspace_edit(session, changes)),
        ..CodeAction::default()
    }
}
