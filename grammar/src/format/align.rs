//! Lines to text: values and comments that stand below each other are aligned.
//!
//! This comes after all lines have been broken, so that no break depends on an alignment.

use super::print::WIDTH;

/// A printed line.
#[derive(Debug, Default)]
pub(super) struct Line<'t> {
    pub(super) indent: usize,
    text: String,
    characters: usize,
    /// After how many characters the value of an entry begins, if the line is one whole entry.
    pub(super) cell: Option<usize>,
    /// The comment at its end.
    pub(super) comment: Option<&'t str>,
    /// Whether it is a comment and nothing else.
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

    /// How many characters it has, without the comment at its end.
    pub(super) fn width(&self) -> usize {
        self.indent + self.characters
    }

    /// Moves the value to the right.
    fn pad(&mut self, cell: usize, target: usize) {
        // Names and blanks are all that stands before it, so characters are bytes.
        self.text.insert_str(cell - self.indent, &" ".repeat(target - cell));
        self.characters += target - cell;
    }
}

/// The text of lines.
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

/// Aligns the values of entries in a row; blank lines and entries of several lines end a row, comments don't.
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

/// Aligns the values of these lines. Where one would become too long it stays, and those before and after it
/// are rows of their own.
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

/// The column of the comment at the end of each line: two blanks after the longest of the lines in a row
/// that have one.
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
