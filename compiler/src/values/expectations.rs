//! The setting `expect` of every source: the rate and the size of the events that are expected of it.

use std::borrow::Cow;

use weir_grammar::tree::{Block, Entry};
use weir_plan::Value;

use crate::analysis::graph::Expected;
use crate::checker::{Checker, Owner};
use crate::signatures::{Named, SOURCE_RECORD};

/// The name of the setting. It belongs to every source, so the library has it in a record of its own.
pub(crate) const EXPECT: &str = "expect";

/// Takes the setting from the settings of a source. Returns the other settings and the expectation.
pub(crate) fn taken_from<'b>(
    block: &'b Block,
    owner: &Owner,
    checker: &mut Checker<'_>,
) -> (Cow<'b, Block>, Option<Expected>) {
    let (own, others): (Vec<&Entry>, Vec<&Entry>) =
        block.entries.iter().partition(|entry| &*entry.name.text == EXPECT);
    let Some(first) = own.first() else { return (Cow::Borrowed(block), None) };
    let library = checker.library;
    let Some(Named::Record(group)) = library.types.get(SOURCE_RECORD) else {
        return (Cow::Borrowed(block), None);
    };
    let place = first.name.span;
    let with =
        |entries: Vec<&Entry>| Block { entries: entries.into_iter().cloned().collect(), ..block.clone() };
    let settings = checker.group(group, &with(own), owner);
    let value = |name: &str| settings.get(&format!("{EXPECT}.{name}"))?.value.clone();
    let expected = match (value("rate"), value("size")) {
        (Some(Value::EventRate(rate)), Some(Value::Size(size))) => Some(Expected { rate, size, place }),
        _ => None,
    };
    (Cow::Owned(with(others)), expected.filter(|_| settings.whole))
}
