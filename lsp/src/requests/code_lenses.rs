//! Lenses above flows, and the commands behind them: the graph and the plan of the program.

use gen_lsp_types::{CodeLens, CodeLensParams, Command, ExecuteCommandParams, LspAny};
use serde_json::json;
use weir_compiler::{lower, render};
use weir_grammar::tree::ItemKind;

use crate::dispatch::{Answer, Failure};
use crate::session::Session;

/// The command that draws the graph of a program. Its argument is the URI; the result has the text and its language.
pub(crate) const SHOW_GRAPH: &str = "weir.showGraph";

/// The command that shows the plan of a program.
pub(crate) const SHOW_PLAN: &str = "weir.showPlan";

pub(crate) fn lenses(session: &mut Session<'_>, params: CodeLensParams) -> Answer<Option<Vec<CodeLens>>> {
    let uri = params.text_document.uri;
    let Some(view) = session.view(uri.as_ref()) else { return Ok(None) };
    let Some(tree) = view.analysis.tree(view.file).filter(|_| !view.analysis.has_errors()) else {
        return Ok(Some(Vec::new()));
    };
    let mut flows = tree.items.iter().filter_map(|item| match &item.kind {
        ItemKind::Flow(flow) => Some(flow.name.span),
        _ => None,
    });
    let Some(first) = flows.next() else { return Ok(Some(Vec::new())) };
    let range = view.places.range(first);
    let lens = |title: &str, command: &str| CodeLens {
        range,
        command: Some(Command {
            title: title.to_owned(),
            tooltip: None,
            command: command.to_owned(),
            arguments: Some(vec![json!(uri)]),
        }),
        data: None,
    };
    Ok(Some(vec![lens("show graph", SHOW_GRAPH), lens("show plan", SHOW_PLAN)]))
}

pub(crate) fn execute(session: &mut Session<'_>, params: ExecuteCommandParams) -> Answer<Option<LspAny>> {
    let command = params.command.as_str();
    if command != SHOW_GRAPH && command != SHOW_PLAN {
        return Err(Failure::refused(format!("unknown command {command}")));
    }
    let arguments = params.arguments.unwrap_or_default();
    let uri = arguments.first().and_then(|uri| uri.as_str());
    let Some(uri) = uri else {
        return Err(Failure::refused(format!("{command} needs the URI of a program")));
    };
    let Some(view) = session.view(uri) else { return Err(Failure::refused(format!("{uri} is no program"))) };
    let Some(plan) = lower(&view.analysis) else {
        return Err(Failure::refused("the program has errors"));
    };
    let name = view.name.rsplit('/').next().unwrap_or_default();
    Ok(Some(match command {
        SHOW_GRAPH => json!({
            "title": format!("graph of {name}"), "language": "mermaid", "text": plan.mermaid_drawing(),
            "drawing": plan.text_drawing(),
        }),
        _ => {
            json!({ "title": format!("plan of {name}"), "language": "text", "text": format!("{plan}\n{}", render::proofs(&view.analysis, false)) })
        }
    }))
}
