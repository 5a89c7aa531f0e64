//! What checks note of what they have found, for the analysis.

use std::collections::BTreeMap;

use weir_grammar::Span;

use crate::analysis::events::EventPlaces;
use crate::analysis::expressions::{ExpressionTypes, UseId, UseList};
use crate::analysis::settings::Settings;
use crate::names::definitions::{Definitions, Uses};

/// The tables of an analysis while they are filled. Nothing is ever taken out of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) definitions: Definitions,
    pub(crate) uses: Uses,
    pub(crate) use_list: UseList,
    pub(crate) types: ExpressionTypes,
    pub(crate) events: EventPlaces,
    /// The lets of steps and functions that could be checked, by their places.
    pub(crate) locals: BTreeMap<Span, String>,
    /// The settings of parsers, by the place of the parser's name and the use.
    pub(crate) parsers: BTreeMap<(Span, UseId), Settings>,
}
