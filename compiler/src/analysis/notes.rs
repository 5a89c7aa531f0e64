//! The tables that the checks fill for the analysis.

use std::collections::BTreeMap;

use weir_grammar::Span;

use crate::analysis::events::Events;
use crate::analysis::expressions::{ExpressionType, UseId, UseList};
use crate::analysis::places::Places;
use crate::analysis::settings::Settings;
use crate::names::definitions::{Definitions, Uses};
use crate::types::Type;

/// The tables of an analysis. The checks only add entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) definitions: Definitions,
    pub(crate) uses: Uses,
    pub(crate) use_list: UseList,
    /// The types of all checked expressions. The list is empty if the type is unknown. The value of a `let` has several
    /// types if its uses expect different types.
    pub(crate) types: Places<Vec<ExpressionType>>,
    /// The columns of the events at each step, and at each name of a component in a flow.
    pub(crate) events: Places<Events>,
    /// The `let`s without errors in steps and functions, by their spans.
    pub(crate) locals: BTreeMap<Span, String>,
    /// The required types of values, by the spans of the values; true for a type that may be null.
    pub(crate) expected: BTreeMap<Span, (Type, bool)>,
    /// The values of constant expressions that are computed from others, in the syntax of the language.
    pub(crate) computed: BTreeMap<Span, String>,
    /// The checked blocks of settings, each with the span of the first setting of its signature.
    pub(crate) blocks: BTreeMap<Span, Span>,
    /// The settings of parsers, by the span of the parser's name and the use.
    pub(crate) parsers: BTreeMap<(Span, UseId), Settings>,
    /// The expressions whose operation this version does not carry out, with the operation in words.
    pub(crate) unsupported: Vec<(Span, UseId, String)>,
    /// The forks that this version does not carry out, in words.
    pub(crate) unsupported_forks: Vec<(Span, String)>,
    /// The conditions of `match` and the keys of `balance by` in flows.
    pub(crate) fork_expressions: Vec<Span>,
}
