//! Draws graphs in DOT, the language of Graphviz: <https://graphviz.org/doc/info/lang.html>.

use super::network::{Kind, Line, Network, Shape, Style};

/// Draws a network as a directed graph.
pub(super) fn draw(title: &str, network: &Network) -> String {
    let mut text = format!("digraph {} {{\n", quoted(&[title.to_owned()], ""));
    text.push_str("  rankdir=LR\n  node [fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\"]\n");
    let boxes = |flow: Option<usize>, indent: &str| {
        let boxes = network.boxes.iter().enumerate().filter(move |(_, shape)| shape.flow == flow);
        boxes.map(|(at, shape)| format!("{indent}n{at} [{}]\n", attributes(shape))).collect::<String>()
    };
    text.push_str(&boxes(None, "  "));
    for (flow, title) in network.flows.iter().enumerate() {
        // Graphviz draws a frame around a subgraph whose name begins with `cluster`.
        let label = quoted(std::slice::from_ref(title), "");
        text.push_str(&format!(
            "  subgraph cluster_{flow} {{\n    label={label}\n{}  }}\n",
            boxes(Some(flow), "    ")
        ));
    }
    text.extend(network.lines.iter().map(line));
    text.push_str("}\n");
    text
}

fn attributes(shape: &Shape) -> String {
    let dashed = if shape.implicit { ", style=dashed" } else { "" };
    let (form, end) = match shape.kind {
        Kind::Source => ("house, orientation=270", "\\n"),
        Kind::Channel => ("cylinder", "\\n"),
        Kind::Sink => ("box, peripheries=2", "\\n"),
        // The lines of steps are left-aligned.
        Kind::Steps => ("box", "\\l"),
        Kind::Choice => ("diamond", "\\n"),
        Kind::Rejects => ("octagon", "\\n"),
    };
    format!("label={}, shape={form}{dashed}", quoted(&shape.label, end))
}

fn line(Line { from, to, label, style }: &Line) -> String {
    let mut attributes = Vec::new();
    if let Some(label) = label {
        attributes.push(format!("label={}", quoted(std::slice::from_ref(label), "")));
    }
    match style {
        Style::Plain => {}
        Style::Optional => attributes.push("style=dashed".to_owned()),
        Style::Rejected => attributes.push("style=dotted, label=\"rejected\"".to_owned()),
    }
    let attributes =
        if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
    format!("  n{from} -> n{to}{attributes}\n")
}

/// Quotes lines as one text, in which backslashes are escaped. Every line except the last one ends with `end`; if `end`
/// sets the alignment, the last line does so too.
fn quoted(lines: &[String], end: &str) -> String {
    let escaped = |line: &String| {
        let visible = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        visible.collect::<String>().replace('\\', "\\\\").replace('"', "\\\"")
    };
    let lines: Vec<String> = lines.iter().map(escaped).collect();
    let last = if end == "\\l" { end } else { "" };
    format!("\"{}{last}\"", lines.join(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        let hostile = ["a\"]; b [label=\"".to_owned(), "\\".to_owned(), "\\N\n\"".to_owned()];
        assert_eq!(quoted(&hostile, "\\n"), r#""a\"]; b [label=\"\n\\\n\\N \"""#);
        assert_eq!(quoted(&hostile[1..2], "\\l"), r#""\\\l""#);
    }
}
