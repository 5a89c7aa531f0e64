//! Parsing with pest alone, as a baseline for benchmarks of the compiler.

use pest::Parser;

use crate::layout::lay_out;
use crate::parse::{blanked, item_rule};
use crate::{FileId, FlowParser, Rule};

/// The items of a text, cut and blanked as the parser does it.
#[derive(Debug)]
pub struct Cut {
    items: Vec<(Rule, String)>,
}

/// Cuts a text into items. Omits items with an unknown first word.
pub fn cut(text: &str) -> Cut {
    let items = lay_out(FileId(0), text).items.into_iter().filter_map(|item| {
        let source = &text[item.range.clone()];
        Some((item_rule(source)?, blanked(source, &item).text))
    });
    Cut { items: items.collect() }
}

impl Cut {
    /// Parses every item with pest and drops its pairs. Returns the number of items without syntax errors.
    pub fn parse(&self) -> usize {
        self.items.iter().filter(|(rule, text)| FlowParser::parse(*rule, text).is_ok()).count()
    }
}
