//! Formats the chains of a flow.

use pest::iterators::Pair;

use super::document::Document;
use super::node::Nodes;
use crate::Rule;

impl<'t> Nodes<'t, '_> {
    /// Formats a case such as `status >= 500 -> alerts`: the condition is treated as the chain's first stage.
    pub(super) fn case(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let stages = children.into_iter().flat_map(|child| match child.as_rule() {
            Rule::chain => child.into_inner().collect(),
            _ => vec![child],
        });
        self.chain(stages.collect())
    }

    /// Formats `a -> b -> c`. Stages and arrows alternate in `children`.
    pub(super) fn chain(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let ends = children.iter().zip(children.iter().skip(1));
        let is_broken = ends.into_iter().any(|(left, right)| {
            let (from, to) = (self.extent(left).1, self.extent(right).0);
            self.text[from..to].contains('\n')
        });
        let mut first = Vec::new();
        let mut others = Vec::new();
        let mut last = None;
        let count = children.len();
        for (index, child) in children.into_iter().enumerate() {
            let rule = child.as_rule();
            let node = self.node(child);
            if index == 0 {
                first.push(node);
            } else if rule == Rule::arrow {
                others.extend([Document::line(), node, Document::Space]);
            } else if index + 1 == count
                && matches!(rule, Rule::copy | Rule::choice | Rule::balance | Rule::failover)
            {
                last = Some(node);
            } else {
                others.push(node);
            }
        }
        first.push(Document::indented(others));
        let content = Document::sequence(first);
        match last {
            Some(last) => Document::group_with_last(content, is_broken, last),
            None => Document::group(content, is_broken),
        }
    }
}
