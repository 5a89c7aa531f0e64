//! Answers of the analysis as Markdown.

use weir_compiler::analysis::{Column, Columns, ExpressionType};

/// The most columns of one table.
const COLUMNS_MAX: usize = 60;

/// Returns a block of code.
pub(crate) fn code(text: &str) -> String {
    format!("```weir\n{text}\n```")
}

/// Returns the columns of events as a block of code, as a schema would declare them.
pub(crate) fn columns(columns: &Columns) -> String {
    let mut lines: Vec<String> =
        columns.columns.iter().map(|(name, column)| column_line(name, column)).collect();
    lines.extend(columns.broken.iter().map(|name| format!("{name}: unknown")));
    if lines.len() > COLUMNS_MAX {
        let left = lines.len() - COLUMNS_MAX;
        lines.truncate(COLUMNS_MAX);
        lines.push(format!("// and {left} more"));
    }
    if columns.lost {
        lines.push("// and perhaps others".to_owned());
    }
    code(&lines.join("\n"))
}

fn column_line(name: &str, column: &Column) -> String {
    format!("{name}: {}", type_of(column))
}

/// Returns the type of a column: `Text? sensitive`.
pub(crate) fn type_of(column: &Column) -> String {
    let mark = if column.optional { "?" } else { "" };
    let sensitive = if column.sensitive { " sensitive" } else { "" };
    format!("{}{mark}{sensitive}", column.value_type)
}

/// Returns the type of an expression with its properties.
pub(crate) fn value_type(found: &ExpressionType) -> String {
    let mark = if found.optional { "?" } else { "" };
    let mut words = Vec::new();
    if found.sensitive {
        words.push("sensitive");
    }
    if found.fails {
        words.push("can fail");
    }
    let words = if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) };
    format!("`{}{mark}`{words}", found.value_type)
}
