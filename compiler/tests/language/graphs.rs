//! Graphs for editors: they agree with the pictures of the plan, and their places with the text.

use serde_json::Value;
use weir_compiler::{Analysis, lower, render};

use crate::fixtures::{check_with, library_with};
use crate::right_programs;

fn graph(analysis: &Analysis) -> Value {
    serde_json::from_str(&render::graph(analysis)).unwrap()
}

fn list<'g>(value: &'g Value, name: &str) -> &'g [Value] {
    value[name].as_array().unwrap()
}

fn text<'g>(value: &'g Value, name: &str) -> &'g str {
    value[name].as_str().unwrap_or_default()
}

/// Returns the text of a place in its file.
fn placed<'a>(analysis: &'a Analysis, place: &Value) -> &'a str {
    let at = |name: &str| place[name].as_u64().unwrap() as usize;
    let file = (0..).map_while(|id| analysis.files.get(weir_grammar::FileId(id)));
    let file = file.into_iter().find(|file| file.name == text(place, "file")).unwrap();
    &file.text[at("start")..at("end")]
}

/// Returns the lines of a graph: each node with its places, then the edges.
fn lines(analysis: &Analysis) -> String {
    let graph = graph(analysis);
    let nodes = list(&graph, "nodes");
    let mut lines = Vec::new();
    for node in nodes {
        let place = node.get("place").map_or("added", |place| placed(analysis, place));
        let place = place.lines().next().unwrap_or_default();
        let uses: Vec<&str> = list(node, "uses").iter().map(|place| placed(analysis, place)).collect();
        lines.push(format!("{} {}: {place} {uses:?}", text(node, "kind"), text(node, "name")));
        lines.extend(list(node, "steps").iter().map(|step| format!("  {}", text(step, "text"))));
    }
    for edge in list(&graph, "edges") {
        let name = |end: &str| text(&nodes[edge[end].as_u64().unwrap() as usize], "name");
        let label = edge.get("label").map_or(String::new(), |label| format!(" {label}"));
        lines.push(format!("{} -> {} {}{label}", name("from"), name("to"), text(edge, "kind")));
    }
    lines.join("\n")
}

#[test]
fn graphs_for_editors_have_the_nodes_and_edges_of_the_plan() {
    for program in right_programs() {
        let analysis = program.check();
        let mermaid = lower(&analysis).unwrap().mermaid_drawing();
        let graph = graph(&analysis);
        let (nodes, edges) = (list(&graph, "nodes"), list(&graph, "edges"));
        // A plan has none of the components that no flow uses.
        let is_used = |at: usize| {
            let touches =
                |edge: &Value| [&edge["from"], &edge["to"]].iter().any(|end| end.as_u64() == Some(at as u64));
            edges.iter().any(touches)
        };
        // A plan checks the qualities of a sink in a step before it.
        if program.name == "quality_of_a_sink" {
            continue;
        }
        let arrows = mermaid.lines().filter(|line| line.contains("->")).count();
        assert_eq!(edges.len(), arrows, "{}\n{mermaid}\n{}", program.name, lines(&analysis));
        let boxes =
            mermaid.lines().filter(|line| line.trim_start().starts_with('n') && !line.contains("->")).count();
        let drawn = (0..nodes.len()).filter(|at| is_used(*at)).count();
        assert_eq!(drawn, boxes, "{}\n{mermaid}\n{}", program.name, lines(&analysis));
        assert_eq!((graph["version"].as_u64(), graph["errors"].as_bool()), (Some(1), Some(false)));
    }
}

#[test]
fn a_program_with_errors_has_a_graph() {
    let program = "source orders = generate {}\nsink large = stdout { formt: json }\nsink rest = stdout {}\n\n\
                   flow main delivers at_least_once {\n  orders\n    -> keep if amount > 5\n    -> set a = 1 else reject\n    \
                   -> match {\n      @sequence > 9 -> large\n      @sequence > 5 -> nowhere\n      _ -> drop\n    }\n  \
                   rejects -> rest\n}\n";
    let analysis = check_with("main.flow", program, &library_with(None));
    insta::assert_snapshot!(lines(&analysis), @r#"
    source orders: source orders = generate {} ["orders"]
    sink large: sink large = stdout { formt: json } ["large"]
    sink rest: sink rest = stdout {} ["rest"]
    rejects rejects: rejects []
    steps steps: keep if amount > 5 []
      keep if amount > 5
      set a = 1 else reject
    match match: match { []
    channel orders_to_large: added []
    unknown nowhere: nowhere []
    steps steps: drop []
      drop
    channel rejects_to_rest: added []
    steps -> rejects rejected
    orders -> steps plain
    steps -> match plain
    match -> orders_to_large plain "@sequence > 9"
    orders_to_large -> large plain
    match -> nowhere plain "@sequence > 5"
    match -> steps plain "_"
    rejects -> rejects_to_rest plain
    rejects_to_rest -> rest plain
    "#);
}
