//! Pest alone, for measurements that hold the whole way from text to plan against it.

use pest::Parser;

use crate::layout::lay_out;
use crate::parse::{blanked, item_rule};
use crate::{FileId, FlowParser, Rule};

/// The items of a text, as the parser cuts them, ready for pest.
#[derive(Debug)]
pub struct Cut {
    items: Vec<(Rule, String)>,
}

/// Cuts a text into items; what begins no item is left out.
pub fn cut(text: &str) -> Cut {
    let items = lay_out(FileId(0), text).items.into_iter().filter_map(|item| {
        let source = &text[item.range.clone()];
        Some((item_rule(source)?, blanked(source, &item)))
    });
    Cut { items: items.collect() }
}

impl Cut {
    /// Lets pest read every item, with the pairs of one in memory at a time. Gives back how many it could read.
    pub fn parse(&self) -> usize {
        self.items.iter().filter(|(rule, text)| FlowParser::parse(*rule, text).is_ok()).count()
    }
}
