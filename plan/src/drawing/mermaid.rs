//! Draws Mermaid flowcharts: <https://mermaid.js.org/syntax/flowchart.html>.

use super::network::{Kind, Line, Network, Shape, Style};

/// Draws a network as a flowchart.
pub(super) fn draw(network: &Network) -> String {
    let mut text = String::from("flowchart LR\n");
    let boxes = |flow: Option<usize>, indent: &str| {
        let boxes = network.boxes.iter().enumerate().filter(move |(_, shape)| shape.flow == flow);
        boxes.map(|(at, shape)| format!("{indent}n{at}{}\n", form(shape))).collect::<String>()
    };
    text.push_str(&boxes(None, "  "));
    for (flow, title) in network.flows.iter().enumerate() {
        let title = quoted(std::slice::from_ref(title));
        text.push_str(&format!("  subgraph f{flow}[{title}]\n{}  end\n", boxes(Some(flow), "    ")));
    }
    text.extend(network.lines.iter().map(line));
    let implicit = network.boxes.iter().enumerate().filter(|(_, shape)| shape.implicit);
    let implicit: Vec<String> = implicit.map(|(at, _)| format!("n{at}")).collect();
    if !implicit.is_empty() {
        text.push_str(&format!(
            "  classDef implicit stroke-dasharray: 4\n  class {} implicit\n",
            implicit.join(",")
        ));
    }
    text
}

fn form(shape: &Shape) -> String {
    let (begin, end) = match shape.kind {
        Kind::Source => ("([", "])"),
        Kind::Channel => ("[(", ")]"),
        Kind::Sink => ("[[", "]]"),
        Kind::Steps => ("[", "]"),
        Kind::Choice => ("{", "}"),
        Kind::Rejects => ("{{", "}}"),
    };
    format!("{begin}{}{end}", quoted(&shape.label))
}

fn line(Line { from, to, label, style }: &Line) -> String {
    let arrow = match style {
        Style::Plain => "-->",
        Style::Optional | Style::Rejected => "-.->",
    };
    let label = match (label, style) {
        (_, Style::Rejected) => "|\"rejected\"|".to_owned(),
        (Some(label), _) => format!("|{}|", quoted(std::slice::from_ref(label))),
        (None, _) => String::new(),
    };
    format!("  n{from} {arrow}{label} n{to}\n")
}

/// Quotes lines as one text. Characters that may have a meaning in Mermaid, Markdown or HTML are written as their
/// numbers: all except letters, digits, blanks, and a few marks.
fn quoted(lines: &[String]) -> String {
    let escaped = |line: &String| line.chars().map(escaped).collect::<String>();
    format!("\"{}\"", lines.iter().map(escaped).collect::<Vec<_>>().join("<br/>"))
}

fn escaped(letter: char) -> String {
    match letter {
        letter if letter.is_alphanumeric() => letter.to_string(),
        ' ' | '.' | ',' | ':' | '=' | '@' | '/' | '(' | ')' | '[' | ']' | '?' | '…' => letter.to_string(),
        letter if letter.is_control() => " ".to_owned(),
        letter => format!("#{};", u32::from(letter)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        let hostile = ["a\"] --> b".to_owned(), "`%%{init}%%`\n<b>#quot;".to_owned()];
        assert_eq!(
            quoted(&hostile),
            "\"a#34;] #45;#45;#62; b<br/>#96;#37;#37;#123;init#125;#37;#37;#96; #60;b#62;#35;quot#59;\""
        );
    }
}
