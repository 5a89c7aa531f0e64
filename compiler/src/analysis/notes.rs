//! The tables that the checks fill for the analysis.

use std::collections::BTreeMap;

use weir_grammar::Span;

use crate::analysis::events::EventPlaces;
use crate::analysis::expressions::{ExpressionTypes, UseId, UseList};
use crate::analysis::settings::Settings;
use crate::names::definitions::{Definitions, Uses};

/// The tables of an analysis. The checks only add entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) definitions: Definitions,
    pub(crate) uses: Uses,
    pub(crate) use_list: UseList,
    pub(crate) types: ExpressionTypes,
    pub(crate) events: EventPlaces,
    /// The `let`s without errors in steps and functions, by their spans.
    pub(crate) locals: BTreeMap<Span, String>,
    /// The settings of parsers, by the span of the parser's name and the use.
    pub(crate) parsers: BTreeMap<(Span, UseId), Settings>,
    /// The expressions whose operation this version does not carry out, with the operation in words.
    pub(crate) unsupported: Vec<(Span, UseId, String)>,
    /// The forks that this version does not carry out, in words.
    pub(crate) unsupported_forks: Vec<(Span, &'static str)>,
}
