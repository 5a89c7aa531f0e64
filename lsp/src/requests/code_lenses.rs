//! Lenses above flows and tests, and the commands behind them: the graph and the plan of the program, and the run of a test.

use gen_lsp_types::{CodeLens, CodeLensParams, Command, ExecuteCommandParams, LspAny};
use serde_json::json;
use weir_compiler::{lower, render};
use weir_grammar::Span;
use weir_grammar::tree::ItemKind;

use crate::disk::{RequestedTest, RunTest};
use crate::dispatch::{Answer, Failure};
use crate::session::Session;

/// The command that draws the graph of a program. Its argument is the URI; the result has the text and its language.
pub(crate) const SHOW_GRAPH: &str = "weir.showGraph";

/// The command that shows the plan of a program.
pub(crate) const SHOW_PLAN: &str = "weir.showPlan";

/// The command that runs a test. Its arguments are the URI of the program and the title of the test.
pub(crate) const RUN_TEST: &str = "weir.runTest";

/// The command that runs all tests of a program, and marks what they have not reached. Its argument is the URI of the program.
pub(crate) const RUN_TESTS: &str = "weir.runTests";

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
    let lens = |span: Span, title: &str, command: &str, arguments: Vec<LspAny>| CodeLens {
        range: view.places.range(span),
        command: Some(Command {
            title: title.to_owned(),
            tooltip: None,
            command: command.to_owned(),
            arguments: Some(arguments),
        }),
        data: None,
    };
    let mut lenses = Vec::new();
    if let Some(first) = flows.next() {
        lenses.push(lens(first, "show graph", SHOW_GRAPH, vec![json!(uri)]));
        lenses.push(lens(first, "show plan", SHOW_PLAN, vec![json!(uri)]));
    }
    if let Some(first) = view.analysis.tests.first() {
        lenses.push(lens(first.span, "run all tests", RUN_TESTS, vec![json!(uri)]));
    }
    let tests = view.analysis.tests.iter();
    lenses
        .extend(tests.map(|test| lens(test.span, "run test", RUN_TEST, vec![json!(uri), json!(test.title)])));
    Ok(Some(lenses))
}

pub(crate) fn execute(session: &mut Session<'_>, params: ExecuteCommandParams) -> Answer<Option<LspAny>> {
    let command = params.command.as_str();
    if ![SHOW_GRAPH, SHOW_PLAN, RUN_TEST, RUN_TESTS].contains(&command) {
        return Err(Failure::refused(format!("unknown command {command}")));
    }
    let arguments = params.arguments.unwrap_or_default();
    let uri = arguments.first().and_then(|uri| uri.as_str());
    let Some(uri) = uri else {
        return Err(Failure::refused(format!("{command} needs the URI of a program")));
    };
    let Some(view) = session.view(uri) else { return Err(Failure::refused(format!("{uri} is no program"))) };
    if command == RUN_TEST {
        return Err(Failure::refused(format!("{command} needs the title of a test")));
    }
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

/// Returns the test or the tests that a command asks to run, with the texts that the editor has, and what runs it; none for other commands.
pub(crate) fn requested_test(
    session: &mut Session<'_>,
    params: &LspAny,
) -> Option<Answer<(RequestedTest, RunTest)>> {
    let command = params.get("command").and_then(|command| command.as_str());
    let argument = |index: usize| params.get("arguments")?.get(index)?.as_str();
    let (uri, title) = match command? {
        RUN_TEST => (argument(0)?, Some(argument(1)?.to_owned())),
        RUN_TESTS => (argument(0)?, None),
        _ => return None,
    };
    let Some(view) = session.view(uri) else {
        return Some(Err(Failure::refused(format!("{uri} is no program"))));
    };
    let Some(run) = session.disk.test_runner() else {
        return Some(Err(Failure::refused("this server runs no tests")));
    };
    let files = &view.analysis.files;
    let texts = view.analysis.program_files().filter_map(|name| {
        let file = files.get(view.analysis.file_named(name)?)?;
        Some((name.to_owned(), file.text.clone()))
    });
    let (entry, texts, options) = (view.name.clone(), texts.collect(), session.options());
    let library = session.library.clone();
    Some(Ok((RequestedTest { entry, texts, title, library, options }, run)))
}
