//! Drawings of the correct programs, with the types of the events on the edges.

use graphviz_rust::dot_structures::{Edge, EdgeTy, Graph, Stmt, Vertex};
use weir_compiler::{Analysis, lower};

use crate::fixtures::{check_with, library_with, root};
use crate::right_programs;

fn in_folder(folder: &str, assertion: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/language").join(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(assertion);
}

#[test]
fn graphs_look_as_before() {
    for program in right_programs() {
        let plan = lower(&program.check()).unwrap();
        let (text, mermaid, dot) = (plan.text_drawing(), plan.mermaid_drawing(), plan.dot_drawing());
        let all = format!("{text}\n---- Mermaid\n{mermaid}\n---- DOT\n{dot}");
        in_folder("graphs", || insta::assert_snapshot!(program.name, all));
    }
}

#[test]
fn edges_read_as_before() {
    for program in right_programs() {
        let edges = lower(&program.check()).unwrap().edges();
        in_folder("edges", || insta::assert_snapshot!(program.name, edges));
    }
}

/// Returns the number of boxes and of lines in a DOT text. Panics if the text is not valid DOT.
fn counted(dot: &str) -> (usize, usize) {
    let graph = graphviz_rust::parse(dot).unwrap_or_else(|error| panic!("{error}\n{dot}"));
    let Graph::DiGraph { stmts, .. } = graph else { panic!("no directed graph") };
    count(&stmts)
}

fn count(statements: &[Stmt]) -> (usize, usize) {
    let mut all = (0, 0);
    for statement in statements {
        match statement {
            Stmt::Node(_) => all.0 += 1,
            Stmt::Edge(Edge { ty: EdgeTy::Pair(Vertex::N(_), Vertex::N(_)), .. }) => all.1 += 1,
            Stmt::Subgraph(graph) => {
                let (boxes, lines) = count(&graph.stmts);
                all = (all.0 + boxes, all.1 + lines);
            }
            Stmt::GAttribute(_) | Stmt::Attribute(_) => {}
            Stmt::Edge(edge) => panic!("an edge that nobody wrote: {edge:?}"),
        }
    }
    all
}

/// Returns the number of boxes and of lines in a Mermaid text. Each line of the text must have one of a few shapes.
fn counted_in_mermaid(mermaid: &str) -> (usize, usize) {
    let mut all = (0, 0);
    for line in mermaid.lines().skip(1) {
        let line = line.trim();
        let bare = without_quoted(line);
        let is_id = |text: &str| text.strip_prefix('n').is_some_and(|digits| digits.parse::<usize>().is_ok());
        let shapes = ["(\"\")", "([\"\"])", "[(\"\")]", "[[\"\"]]", "[\"\"]", "{\"\"}", "{{\"\"}}"];
        if let Some((from, rest)) = bare.split_once(" -").filter(|(from, _)| is_id(from)) {
            let (arrow, to) = rest.rsplit_once(' ').unwrap();
            assert!(is_id(from) && is_id(to), "{line}");
            assert!(["->", "->|\"\"|", ".->", ".->|\"\"|"].contains(&arrow), "{line}");
            all.1 += 1;
        } else if let Some(shape) = shapes.iter().find(|shape| bare.strip_suffix(**shape).is_some_and(is_id))
        {
            assert!(line.is_ascii() || !shape.is_empty());
            all.0 += 1;
        } else {
            let other = bare.starts_with("subgraph f") && bare.ends_with("[\"\"]")
                || bare == "end"
                || bare == "classDef implicit stroke-dasharray: 4"
                || bare.starts_with("class n") && bare.ends_with(" implicit");
            assert!(other, "{line}");
        }
    }
    all
}

/// Returns a line without its quoted texts. Checks that the quoted texts contain no syntax of Mermaid.
fn without_quoted(line: &str) -> String {
    let parts: Vec<&str> = line.split('"').collect();
    assert_eq!(parts.len() % 2, 1, "quotes come in pairs: {line}");
    for quoted in parts.iter().skip(1).step_by(2) {
        let plain = quoted.replace("<br/>", "");
        assert!(!plain.contains(['<', '>', '`', '%', '{', '}', '|', '\\', '&']), "{line}");
        assert!(
            plain.split('#').skip(1).all(|code| {
                code.split_once(';').is_some_and(|(number, _)| number.parse::<u32>().is_ok())
            }),
            "{line}"
        );
    }
    parts.iter().step_by(2).copied().collect::<Vec<_>>().join("\"\"")
}

fn pictures_agree(analysis: &Analysis) -> (usize, usize) {
    let plan = lower(analysis).unwrap();
    let counted = counted(&plan.dot_drawing());
    assert_eq!(counted, counted_in_mermaid(&plan.mermaid_drawing()));
    assert!(!plan.text_drawing().contains(|letter: char| letter.is_control() && letter != '\n'));
    counted
}

#[test]
fn drawings_can_be_read_by_what_draws_them() {
    for program in right_programs() {
        let analysis = program.check();
        let (boxes, lines) = pictures_agree(&analysis);
        assert!(boxes >= 2 && lines >= 1, "{}", program.name);
    }
}

#[test]
fn nothing_in_a_program_breaks_out_of_its_picture() {
    let hostile = [
        r#"\"]; evil -> more [label=\""#,
        r"\\",
        r"</script><b>",
        r"%%{{init}}%%",
        r"`x`",
        r"#quot;] --> n0",
        r"\n  n0 --> n1\n",
        r"\u{1b}[31m\u{0}",
        r"end\n}}\n",
        r"|x| & y;",
    ];
    let cases: Vec<String> = hostile.iter().map(|text| format!("    @host == \"{text}\" -> other")).collect();
    let program = format!(
        "source `end` = files {{ paths: [\"a\"] }}\nsink other = null {{}}\nsink `subgraph` = null {{}}\n\
         flow `digraph` {{\n  `end` -> keep if @host != \"\\\"]\" -> match {{\n{}\n    _ -> `subgraph`\n  }}\n}}\n",
        cases.join("\n"),
    );
    let analysis = check_with("a\"b.flow", &program, &library_with(None));
    assert!(lower(&analysis).is_some(), "{:?}", analysis.diagnostics);
    let (boxes, _) = pictures_agree(&analysis);
    // The source, the sinks, the channels before the sinks, the step, and the choice.
    assert!(boxes >= 5, "{boxes}");
}
