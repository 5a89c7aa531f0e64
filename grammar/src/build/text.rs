//! Text: escapes and holes.

use pest::iterators::Pair;

use super::Builder;
use crate::error::SyntaxErrorKind;
use crate::tree::{Hole, Name, Text, TextPart};
use crate::{Rule, literal};

impl Builder<'_> {
    /// Builds the text of a `string` or `raw_string` pair.
    pub(super) fn text_of(&mut self, pair: Pair<'_, Rule>) -> Text {
        match pair.as_rule() {
            Rule::raw_string => raw_string(pair),
            _ => self.string(pair),
        }
    }

    /// Returns a text without holes, such as a reason: braces have no meaning.
    pub(super) fn plain_text(&mut self, pair: Pair<'_, Rule>) -> String {
        let whole = pair.as_str().trim_start_matches('r').trim_matches('"').to_owned();
        let text = self.text_of(pair);
        match text.parts.as_slice() {
            [] => String::new(),
            [TextPart::Literal(literal)] => literal.to_string(),
            _ => whole,
        }
    }

    fn string(&mut self, pair: Pair<'_, Rule>) -> Text {
        let mut parts = Vec::new();
        let mut literal = String::new();
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::string_text => literal.push_str(pair.as_str()),
                Rule::left_brace => literal.push('{'),
                Rule::right_brace => literal.push('}'),
                Rule::stray_brace => {
                    let reason = "a `}` without `{`".to_owned();
                    let kind = SyntaxErrorKind::MalformedText { reason, instead: Some("}}") };
                    self.report(self.span_of(&pair), kind);
                }
                Rule::escape => match literal::escape(pair.as_str()) {
                    Some(letter) => literal.push(letter),
                    None => {
                        let reason = format!("`{}` is no escape", pair.as_str());
                        let kind = SyntaxErrorKind::MalformedText { reason, instead: None };
                        self.report(self.span_of(&pair), kind);
                    }
                },
                Rule::hole => {
                    if !literal.is_empty() {
                        parts.push(TextPart::Literal(std::mem::take(&mut literal).into()));
                    }
                    parts.push(TextPart::Hole(self.hole(pair)));
                }
                _ => {}
            }
        }
        if !literal.is_empty() {
            parts.push(TextPart::Literal(literal.into()));
        }
        Text { parts }
    }

    fn hole(&self, pair: Pair<'_, Rule>) -> Hole {
        let span = self.span_of(&pair);
        let mut name = Name { text: "".into(), span };
        let mut format = None;
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::hole_path => name = self.name(&pair),
                Rule::hole_format => {
                    let place = pair.as_span();
                    let span = self.span(place.start(), place.end());
                    format = Some(Name { text: pair.as_str().into(), span });
                }
                _ => {}
            }
        }
        Hole { span, name, format }
    }
}

fn raw_string(pair: Pair<'_, Rule>) -> Text {
    let text = pair.into_inner().find(|pair| pair.as_rule() == Rule::raw_text);
    let text = text.map(|pair| pair.as_str()).filter(|text| !text.is_empty());
    Text { parts: text.map(|text| TextPart::Literal(text.into())).into_iter().collect() }
}
