//! Values as other languages write them: `in (1, 2)`, `1,000`, `5 s`, lists of YAML, and missing commas.

use std::ops::Range;

use super::Habit;
use super::marks::{braced_choice, operand_at};
use super::site::{Site, closed, is_word_letter, operand_start, scan, skip_blanks, tail, value_end, word_at};
use crate::Rule;

pub(super) fn find(site: &Site<'_>, habits: &mut Vec<Habit>) {
    habits.extend(list_in_parentheses(site));
    habits.extend(grouped_digits(site));
    habits.extend(detached_unit(site));
    habits.extend(infix_function(site));
    habits.extend(late_not(site));
    habits.extend(yaml(site));
    habits.extend(missing_comma(site));
    habits.extend(choice_in_braces(site));
    habits.extend(rest_of_a_match(site));
}

/// `in (1, 2)` for `in [1, 2]`.
fn list_in_parentheses(site: &Site<'_>) -> Option<Habit> {
    if !site.starts_with(",") || !site.expects(Rule::rparen) {
        return None;
    }
    let opener = site.text[..site.place].rfind('(')?;
    let before = site.text[..opener].trim_end();
    let end = closed(site.text, opener);
    let is_in = before.ends_with("in") && !before[..before.len() - 2].ends_with(is_word_letter);
    if !is_in || end <= site.place {
        return None;
    }
    let message = "a list of values is written in brackets, also after `in`";
    let habit = Habit::new(opener..end, message, "write `[…]`");
    Some(habit.edit(opener..opener + 1, "[").edit(end - 1..end, "]"))
}

/// `1,000,000` for `1_000_000`.
fn grouped_digits(site: &Site<'_>) -> Option<Habit> {
    let bytes = site.text.as_bytes();
    let is_of_number = |byte: u8| byte.is_ascii_digit() || byte == b',';
    let start = bytes[..site.place].iter().rposition(|byte| !is_of_number(*byte)).map_or(0, |last| last + 1);
    let length = bytes[site.place..].iter().take_while(|byte| is_of_number(**byte)).count();
    let number = site.text[start..site.place + length].trim_end_matches(',');
    let mut groups = number.split(',');
    let first = groups.next().unwrap_or_default();
    let mut rest = groups.peekable();
    let is_grouped =
        rest.peek().is_some() && (1..=3).contains(&first.len()) && rest.all(|group| group.len() == 3);
    let is_alone = start > 0 && !is_word_letter(bytes[start - 1] as char);
    (is_grouped && is_alone).then(|| {
        let message = "the digits of a number are grouped by `_`, not by commas";
        Habit::written(start..start + number.len(), message, &number.replace(',', "_"))
    })
}

/// `5 s` for `5s`, and `30 seconds` for `30s`.
fn detached_unit(site: &Site<'_>) -> Option<Habit> {
    let end = site.last_end();
    let is_of_number = |letter: char| letter.is_ascii_digit() || matches!(letter, '_' | '.');
    let start = site.text[..end].trim_end_matches(is_of_number).len();
    let number = site
        .text
        .get(start..end)
        .filter(|number| number.starts_with(|letter: char| letter.is_ascii_digit()))?;
    let (unit, length) = match (site.word(), site.starts_with("%")) {
        ("", true) => ("%", 1),
        (word, _) => (crate::literal::unit_of(word)?, word.len()),
    };
    if end == site.place {
        return None;
    }
    let rate = if site.rest()[length..].starts_with("/s") { "/s" } else { "" };
    let better = format!("{number}{unit}{rate}");
    let message = "a unit touches its number";
    Some(Habit::written(start..site.place + length + rate.len(), message, &better))
}

/// `body contains "x"` for `contains(body, "x")`.
fn infix_function(site: &Site<'_>) -> Option<Habit> {
    let function = match site.word() {
        "contains" | "CONTAINS" | "includes" => "contains",
        "starts_with" | "startswith" | "startsWith" => "starts_with",
        "ends_with" | "endswith" | "endsWith" => "ends_with",
        _ => return None,
    };
    let left = operand_start(site.text, site.place)..site.last_end();
    let right = operand_at(site.text, site.place + site.word().len());
    if !site.after_value() || left.is_empty() || right.is_empty() {
        return None;
    }
    let call = format!("{function}({}, {})", &site.text[left.clone()], &site.text[right.clone()]);
    let message = format!("`{function}` is a function, not an operator");
    let habit = Habit::new(site.word_range(), message, format!("write `{call}`"));
    Some(habit.edit(left.start..right.end, call))
}

/// `a not in b` for `not a in b`.
fn late_not(site: &Site<'_>) -> Option<Habit> {
    let operator = skip_blanks(site.text, site.place + site.word().len());
    let next = word_at(site.text, operator);
    if site.word() != "not" || !site.after_value() || !matches!(next, "in" | "matches") {
        return None;
    }
    let start = operand_start(site.text, site.place);
    let message = format!("`not` stands before the whole condition: `not a {next} b`");
    let habit = Habit::new(site.place..operator + next.len(), message, format!("write `not … {next}`"));
    Some(habit.edit(start..start, "not ").edit(site.place..operator, ""))
}

/// Settings in the lines below their name, as in YAML: a list with `-` in each line, or deeper entries.
fn yaml(site: &Site<'_>) -> Option<Habit> {
    let line_start = |place: usize| site.text[..place].rfind('\n').map_or(0, |last| last + 1);
    let first_in =
        |start: usize| start + tail(site.text, start).len() - tail(site.text, start).trim_start().len();
    // The first of the lines that begin with `-`, from the place backwards.
    let mut start = line_start(site.place);
    let mut items = None;
    while tail(site.text, start).trim_start_matches([' ', '\t']).starts_with("- ") && start > 0 {
        items = Some(start);
        start = line_start(start - 1);
    }
    if let Some(items) = items {
        let name_end = site.text[..items].trim_end().len();
        let is_name = site.text[..name_end].ends_with(':');
        return is_name.then(|| yaml_list(site.text, name_end, first_in(items))).flatten();
    }
    let name_end = site.last_end();
    let first = first_in(site.place);
    let is_below = site.text[..name_end].ends_with(':') && site.text[name_end..first].contains('\n');
    is_below.then(|| yaml_map(site.text, name_end, first)).flatten()
}

fn yaml_list(text: &str, name_end: usize, first: usize) -> Option<Habit> {
    let mut items: Vec<String> = Vec::new();
    let mut end = first;
    for (at, line) in lines(text, first) {
        let Some(item) = line.trim_start().strip_prefix("- ") else { break };
        items.push(quoted(item.trim().trim_end_matches(','))?);
        end = at + line.trim_end().len();
    }
    let list = format!("[{}]", items.join(", "));
    let message = "a list is written in brackets, not with a line for each item";
    let habit = Habit::new(first..end, message, format!("write `{list}`"));
    Some(habit.edit(name_end..end, format!(" {list}")))
}

fn yaml_map(text: &str, name_end: usize, first: usize) -> Option<Habit> {
    let line_start = text[..name_end].rfind('\n').map_or(0, |last| last + 1);
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let own = indent(tail(text, line_start));
    let first_line = text[..first].rfind('\n').map_or(0, |last| last + 1);
    let mut end = first;
    for (at, line) in lines(text, first_line) {
        let is_entry = line.trim_start().contains(':');
        if indent(line) <= own || !is_entry {
            break;
        }
        end = at + line.trim_end().len();
    }
    let name = text[line_start..name_end - 1].trim();
    let is_name = !name.is_empty() && name.chars().all(is_word_letter);
    let message = "settings below a name stand in braces";
    let habit = Habit::new(name_end - 1 - name.len()..name_end, message, "write `{ … }`");
    let close = format!("\n{}}}", &text[line_start..line_start + own]);
    (is_name && end > first).then(|| habit.edit(name_end..name_end, " {").edit(end..end, close))
}

/// Returns the lines from a place on, with their places.
fn lines(text: &str, start: usize) -> impl Iterator<Item = (usize, &str)> {
    let mut at = start;
    tail(text, start).split_inclusive('\n').map(move |line| {
        let here = at;
        at += line.len();
        (here, line)
    })
}

/// Returns an item of a YAML list as a value: words are text there.
fn quoted(item: &str) -> Option<String> {
    let is_number = crate::literal::number(item.trim_start_matches('-')).is_ok();
    if is_number || matches!(item, "true" | "false" | "null") || item.starts_with(['"', '@']) {
        return Some(item.to_owned());
    }
    let is_plain = !item.is_empty() && !item.contains(['"', '\\', '{', '}', '[', ']', ':'])
        || item.contains(':') && !item.contains(": ") && !item.contains(['"', '\\', '{', '[']);
    is_plain.then(|| format!("\"{item}\""))
}

/// Two values side by side in brackets, or two entries in braces.
fn missing_comma(site: &Site<'_>) -> Option<Habit> {
    let begins_value = site.rest().starts_with(|letter: char| {
        letter.is_ascii_alphanumeric() || matches!(letter, '"' | '@' | '{' | '`' | '_')
    });
    let in_brackets =
        site.expects(Rule::comma) && (site.expects(Rule::rbracket) || site.expects(Rule::rparen));
    let name_end = skip_blanks(site.text, site.place + site.word().len());
    let is_entry = !site.word().is_empty() && tail(site.text, name_end).starts_with(':');
    let is_missing = begins_value && in_brackets || is_entry && site.expects(Rule::separator);
    if !is_missing || site.last_end() == 0 {
        return None;
    }
    let end = site.last_end();
    let what = if in_brackets { "values" } else { "entries on one line" };
    let habit = Habit::new(
        site.place..site.place + token_length(site),
        format!("a comma is missing between two {what}"),
        "write `,` before this",
    );
    Some(habit.edit(end..end, ","))
}

fn token_length(site: &Site<'_>) -> usize {
    let Range { start, end } = operand_at(site.text, site.place);
    (end - start).max(1)
}

/// `if a { b } else { c }` in an expression.
fn choice_in_braces(site: &Site<'_>) -> Option<Habit> {
    let mut start = None;
    let mut at_word_start = true;
    scan(&site.text[..site.place], 0, |place, byte| {
        if at_word_start {
            match word_at(site.text, place) {
                "if" => start = start.or(Some(place)),
                "then" | "keep" | "drop" | "reject" => start = None,
                _ => {}
            }
        }
        start = start.filter(|_| byte != b'\n');
        at_word_start = !is_word_letter(byte as char);
        false
    });
    let start = start.filter(|start| !preceded_by_step(site.text, *start))?;
    braced_choice(site, start)
}

fn preceded_by_step(text: &str, place: usize) -> bool {
    let before = text[..place].trim_end();
    ["keep", "drop", "reject", "->"].iter().any(|word| before.ends_with(word))
}

/// `else ->` and `default =>` for the last arm of a `match`.
fn rest_of_a_match(site: &Site<'_>) -> Option<Habit> {
    let word = site.word();
    let after = skip_blanks(site.text, site.place + word.len());
    let is_arm = ["->", "=>", ":"].iter().any(|arrow| tail(site.text, after).starts_with(arrow));
    let is_rest = matches!(word, "else" | "default" | "otherwise");
    if !is_rest
        || !is_arm
        || !(site.before_value() || site.expects(Rule::separator) || site.expects(Rule::rbrace))
    {
        return None;
    }
    let message = format!("the last arm of a `match` is written `_`, not `{word}`");
    Some(Habit::written(site.word_range(), message, "_"))
}

/// Returns the end of a condition that begins at a place, before an arrow.
pub(super) fn condition_end(text: &str, start: usize) -> usize {
    value_end(text, start, &["->", "=>"])
}
