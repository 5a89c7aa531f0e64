//! Drawings of a plan: text for a terminal, Mermaid and DOT for documents.

mod dot;
mod mermaid;
mod network;
mod text;

use crate::display::{Detail, action_lines};
use crate::{Expression, OnFailure, Plan, Step};

/// The maximum number of characters of a line in a drawing.
const LABEL_MAX: usize = 60;

impl Plan {
    /// Draws each flow as a tree of origins, steps and destinations.
    pub fn text_drawing(&self) -> String {
        text::draw(self)
    }

    /// Draws the complete graph in the language of Mermaid.
    pub fn mermaid_drawing(&self) -> String {
        mermaid::draw(&network::network(self))
    }

    /// Draws the complete graph in the language of Graphviz.
    pub fn dot_drawing(&self) -> String {
        dot::draw(&self.program, &network::network(self))
    }

    /// Returns a step as one short line.
    fn step_label(&self, step: &Step) -> String {
        let lines = action_lines(&step.action, &self.functions, Detail::Types, None);
        let short = shortened(&lines.join(" "));
        match step.on_failure {
            Some(OnFailure::Drop) => format!("{short} else drop"),
            Some(OnFailure::Reject) => format!("{short} else reject"),
            None => short,
        }
    }

    /// Returns a condition as one short line.
    fn condition_label(&self, condition: &Expression) -> String {
        shortened(&crate::display::expression_text(condition, &self.functions))
    }
}

/// Shortens a long text, and replaces control characters.
fn shortened(text: &str) -> String {
    let visible = |letter: char| if letter.is_control() { ' ' } else { letter };
    if text.chars().count() <= LABEL_MAX {
        return text.chars().map(visible).collect();
    }
    let short: String = text.chars().take(LABEL_MAX - 1).map(visible).collect();
    format!("{}…", short.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_visible() {
        assert_eq!(shortened("keep if a"), "keep if a");
        assert_eq!(shortened("a\nb\u{1b}[31m"), "a b [31m");
        let long = shortened(&"é".repeat(LABEL_MAX + 1));
        assert_eq!((long.chars().count(), long.ends_with('…')), (LABEL_MAX, true));
    }
}
