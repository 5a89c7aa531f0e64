//! Habits of other languages and tools: forms that are no syntax here, each with the form that means the same.
//!
//! A habit is only a candidate: the parser applies its edits and parses the item again, and takes the candidate whose edits
//! bring it further. So no habit is reported that does not explain the error.

mod marks;
mod site;
mod steps;
mod types;
mod values;
mod words;

use std::ops::Range;

use crate::Rule;
use crate::repair::Edit;

pub(crate) use words::item_word;

use site::Site;

/// A foreign form and its repair.
#[derive(Debug)]
pub(crate) struct Habit {
    /// The place of the form.
    pub(crate) span: Range<usize>,
    /// The mistake in words.
    pub(crate) message: String,
    /// The right form in words: `write …`.
    pub(crate) title: String,
    /// A remark about the right form.
    pub(crate) help: Option<String>,
    /// The edits after which the item can be parsed. Without edits, the entry of the form is skipped.
    pub(crate) edits: Vec<Edit>,
    /// Whether the edits give the meaning that was meant, so that they can be a fix.
    pub(crate) certain: bool,
    /// Habits of one group are one mistake: the first place is reported, and its fix has the edits of all.
    pub(crate) group: Option<String>,
}

impl Habit {
    fn new(span: Range<usize>, message: impl Into<String>, title: impl Into<String>) -> Habit {
        Habit {
            span,
            message: message.into(),
            title: title.into(),
            help: None,
            edits: Vec::new(),
            certain: true,
            group: None,
        }
    }

    /// A habit whose form is replaced by another text.
    fn written(span: Range<usize>, message: impl Into<String>, instead: &str) -> Habit {
        let title = format!("write `{}`", instead.trim());
        Habit::new(span.clone(), message, title).edit(span, instead)
    }

    fn help(mut self, help: impl Into<String>) -> Habit {
        self.help = Some(help.into());
        self
    }

    fn edit(mut self, range: Range<usize>, replacement: impl Into<String>) -> Habit {
        self.edits.push((range, replacement.into()));
        self
    }

    /// Marks the edits as a guess, which only serves to parse the rest.
    fn guess(mut self) -> Habit {
        self.certain = false;
        self
    }
}

/// Returns the habits that may explain a syntax error at a place, the likeliest first.
pub(crate) fn candidates(rules: &[Rule], text: &str, place: usize) -> Vec<Habit> {
    if !text.is_char_boundary(place) {
        return Vec::new();
    }
    let site = Site { rules, text, place };
    let mut candidates = Vec::new();
    marks::find(&site, &mut candidates);
    words::find(&site, &mut candidates);
    types::find(&site, &mut candidates);
    values::find(&site, &mut candidates);
    steps::find(&site, &mut candidates);
    candidates.extend(words::missing_else(&site));
    candidates
}
