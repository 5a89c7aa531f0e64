//! Converts lines to text, and aligns values and comments of adjacent lines.
//!
//! Alignment follows line breaking, so that no line break depends on an alignment.

use super::print::WIDTH;

/// A printed line.
#[derive(Debug, Default)]
pub(super) struct Line<'t> {
    pub(super) indent: usize,
    text: String,
    characters: usize,
    /// The column of the entry's value, if the line is one complete entry.
    pub(super) cell: Option<usize>,
    /// The comment at the end of the line.
    pub(super) comment: Option<&'t str>,
    /// Whether the line contains only a comment.
    pub(super) is_comment: bool,
}

impl Line<'_> {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.characters += text.chars().count();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the number of characters, without the comment at the end.
    pub(super) fn width(&self) -> usize {
        self.indent + self.characters
    }

    /// Moves the value from the column `cell` to the column `target`.
    fn pad(&mut self, cell: usize, target: usize) {
        // Only names and blanks, which are ASCII, are before the value, so columns are byte offsets.
        self.text.insert_str(cell - self.indent, &" ".repeat(target - cell));
        self.characters += target - cell;
    }
}

/// Converts lines to text.
pub(super) fn text_of(mut lines: Vec<Line<'_>>) -> String {
    align_values(&mut lines);
    let columns = comment_columns(&lines);
    let mut text = String::new();
    for (line, column) in lines.iter().zip(columns) {
        if !line.is_empty() {
            text.extend(std::iter::repeat_n(' ', line.indent));
            text.push_str(&line.text);
        }
        if let Some(comment) = line.comment {
            text.extend(std::iter::repeat_n(' ', column.saturating_sub(line.width())));
            text.push_str(comment);
        }
        text.push('\n');
    }
    text
}

/// Aligns the values of consecutive entries. Blank lines and entries of several lines end a row of entries, comments
/// don't.
fn align_values(lines: &mut [Line<'_>]) {
    let mut row: Vec<usize> = Vec::new();
    for index in 0..=lines.len() {
        if let Some(line) = lines.get(index) {
            let same_block = row.first().is_none_or(|first| lines[*first].indent == line.indent);
            if same_block && line.is_comment {
                continue;
            }
            if same_block && line.cell.is_some() {
                row.push(index);
                continue;
            }
        }
        align_row(lines, &row);
        row.clear();
        if lines.get(index).is_some_and(|line| line.cell.is_some()) {
            row.push(index);
        }
    }
}

/// Aligns the values of a row. A line that would become too long is not moved, and divides the row into two.
fn align_row(lines: &mut [Line<'_>], row: &[usize]) {
    let cell = |lines: &[Line<'_>], index: usize| lines[index].cell.unwrap_or_default();
    let target =
        |lines: &[Line<'_>], row: &[usize]| row.iter().map(|index| cell(lines, *index)).max().unwrap_or(0);
    let widest = target(lines, row);
    let too_long = |lines: &[Line<'_>], index: usize| {
        let shift = widest - cell(lines, index);
        shift > 0 && lines[index].width() + shift > WIDTH
    };
    let parts: Vec<&[usize]> = row.split(|index| too_long(lines, *index)).collect();
    for part in parts {
        let target = target(lines, part);
        for index in part {
            let cell = cell(lines, *index);
            lines[*index].pad(cell, target);
        }
    }
}

/// Returns the column of the comment at the end of each line: two blanks after the longest of the consecutive lines
/// with a comment.
fn comment_columns(lines: &[Line<'_>]) -> Vec<usize> {
    let mut columns = vec![0; lines.len()];
    let mut first = 0;
    while first < lines.len() {
        let row = lines[first..].iter();
        let row = row.take_while(|line| line.comment.is_some() && line.indent == lines[first].indent).count();
        let widest = lines[first..first + row].iter().map(Line::width).max().unwrap_or(0);
        columns[first..first + row].fill(widest + 2);
        first += row.max(1);
    }
    columns
}
