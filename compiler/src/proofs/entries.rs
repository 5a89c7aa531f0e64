//! Changes that give a component a further setting.

use weir_grammar::Span;

use crate::analysis::graph::Component;
use crate::diagnostics::Edit;
use crate::files::sources::Files;

/// Returns the edit that adds an entry to the settings of a component, as its first one.
pub(super) fn added_entry(component: &Component, files: &Files, entry: &str) -> Option<Edit> {
    let declared = component.declared.span;
    let text = &files.get(declared.file)?.text;
    let brace = declared.end as usize + text.get(declared.end as usize..)?.find('{')? + 1;
    let behind = text.get(brace..)?.trim_start_matches(' ');
    let replacement = match behind.chars().next()? {
        '\n' => format!("\n  {entry}"),
        '}' => format!(" {entry} "),
        _ => format!(" {entry},"),
    };
    Some(Edit { span: Span { start: brace as u32, end: brace as u32, ..declared }, replacement })
}
