//! Marks of other languages: `&&`, `=` for `:`, `? :` and others.

use std::ops::Range;

use super::Habit;
use super::site::{Site, closed, operand_end, operand_start, skip_blanks, tail, value_end};
use crate::Rule;

pub(super) fn find(site: &Site<'_>, habits: &mut Vec<Habit>) {
    habits.extend(hyphen(site));
    habits.extend(pairs(site));
    if site.after_value() {
        habits.extend(operators(site));
    }
    if site.before_value() {
        habits.extend(signs(site));
    }
    habits.extend(conditional(site));
}

/// `web-logs`: a hyphen in a name.
fn hyphen(site: &Site<'_>) -> Option<Habit> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let (before, rest) = site.text.split_at(site.place);
    let after = rest.strip_prefix('-')?;
    if site.after_value() || !after.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
        return None;
    }
    let start = before.rfind(|letter| !is_of_name(letter)).map_or(0, |last| last + 1);
    let start = if site.text.is_char_boundary(start) { start } else { return None };
    let end = site.place + rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
    let name = site.text[start..end].trim_end_matches('-');
    if !name.starts_with(|letter: char| letter.is_ascii_alphabetic()) || start == site.place {
        return None;
    }
    let better = name.replace('-', "_");
    let message = format!("`{name}` is no name: names are made of letters, digits and `_`");
    let mut habit = Habit::written(start..start + name.len(), message, &better);
    habit.group = Some(name.to_owned());
    Some(habit)
}

/// `name = value` for `name: value`, and the other way round.
fn pairs(site: &Site<'_>) -> Option<Habit> {
    let is_equals = site.starts_with("=") && !site.starts_with("==");
    let mark = |length| site.place..site.place + length;
    // `name = condition` in a quality names the condition, if the rest is a condition itself.
    let rest = &tail(site.text, site.place)
        [..tail(site.text, site.place).find('\n').unwrap_or(tail(site.text, site.place).len())];
    let names_rule = site.text.starts_with("quality ")
        && [" in ", " is ", " matches ", "==", "!=", "<", ">"].iter().any(|operator| rest.contains(operator));
    if is_equals && site.expects(Rule::colon) && (!site.after_value() || names_rule) {
        let message = "a setting is written `name: value`, without `=`";
        let named = Habit::new(mark(1), message, "write `:`");
        return Some(if is_param(site) {
            untyped_param(site)?
        } else {
            named.edit(site.last_end()..site.place + 1, ":")
        });
    }
    if is_equals && is_param(site) && site.text[..site.place].trim_end().ends_with(':') {
        return untyped_param(site);
    }
    // `f(a = 1)`: an argument with its name.
    let last = site.last_word();
    let before = site.text[..last.start].trim_end();
    if is_equals && site.after_value() && (before.ends_with('(') || before.ends_with(',')) && !last.is_empty()
    {
        let message = "a named argument is written `name: value`, without `=`";
        let is_call = before.ends_with('(')
            && before[..before.len() - 1].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        return (is_call || before.ends_with(','))
            .then(|| Habit::new(mark(1), message, "write `:`").edit(site.last_end()..site.place + 1, ":"));
    }
    if site.starts_with(":") && site.expects(Rule::equals) {
        return colon(site);
    }
    None
}

fn is_param(site: &Site<'_>) -> bool {
    site.text.starts_with("param ")
}

/// `param x = 5`: a param without its type.
fn untyped_param(site: &Site<'_>) -> Option<Habit> {
    let start = skip_blanks(site.text, site.place + 1);
    let end = value_end(site.text, start, &[]);
    let type_name = type_of_literal(&site.text[start..end])?;
    let message = format!("a param has a type, here `{type_name}`");
    // A name in another style may have swallowed its type: `rootText`.
    if site.text[site.last_word()].contains(|letter: char| letter.is_ascii_uppercase()) {
        return None;
    }
    let title = format!("write `: {type_name} =`");
    let name_end = site.text[..site.place].trim_end_matches([' ', ':']).len();
    Some(
        Habit::new(site.place..site.place + 1, message, title)
            .edit(name_end..site.place + 1, format!(": {type_name} =")),
    )
}

/// Returns the type of a literal, if it has only one.
fn type_of_literal(text: &str) -> Option<&'static str> {
    let number = crate::literal::number(text.trim_start_matches('-'));
    use crate::tree::Number;
    Some(match (text, number) {
        ("true" | "false", _) => "Bool",
        (_, Ok(Number::Int(_))) => "Int",
        (_, Ok(Number::Duration(_))) => "Duration",
        (_, Ok(Number::Size(_))) => "Size",
        (_, Ok(Number::EventRate(_))) => "EventRate",
        (_, Ok(Number::ByteRate(_))) => "ByteRate",
        (_, Ok(Number::Percent(_))) => "Percent",
        _ if text.starts_with('"') && text.ends_with('"') && text.matches('"').count() == 2 => "Text",
        _ if text.starts_with("[\"") && text.ends_with("\"]") => "[Text]",
        _ => return None,
    })
}

/// `let x: 5`, `let x := 5` and `let x: Int = 5`.
fn colon(site: &Site<'_>) -> Option<Habit> {
    let here = site.place..site.place + 1;
    if site.starts_with(":=") {
        let message = "a value is given with `=`, without `:`";
        return Some(Habit::written(site.last_end()..site.place + 2, message, " ="));
    }
    let end = value_end(site.text, site.place + 1, &["="]);
    let equals = skip_blanks(site.text, end);
    let type_name = site.text[site.place + 1..end].trim();
    let is_typed = tail(site.text, equals).starts_with('=')
        && type_name.starts_with(|letter: char| letter.is_ascii_uppercase() || letter == '[');
    if is_typed {
        let message =
            "only a param has a type here: a value has the type that its expression or its use gives it";
        let title = format!("leave out `: {type_name}`");
        return Some(Habit::new(site.place..end, message, title).edit(site.last_end()..end, ""));
    }
    let message = "a name and its value are written `name = value` here, without `:`";
    Some(Habit::new(here, message, "write `=`").edit(site.last_end()..site.place + 1, " ="))
}

/// Operators of other languages, after a value.
fn operators(site: &Site<'_>) -> Vec<Habit> {
    let mark = |length: usize| site.place..site.place + length;
    let mut habits = Vec::new();
    let words = [
        ("&&", "and", "conditions are joined by `and`"),
        ("||", "or", "conditions are joined by `or`"),
        ("&", "and", "conditions are joined by `and`"),
        ("|", "or", "conditions are joined by `or`"),
        ("===", "==", "comparisons are written `==` and `!=`"),
        ("=~", "matches", "a regular expression is compared with `matches`"),
        ("~=", "matches", "a regular expression is compared with `matches`"),
        ("~", "matches", "a regular expression is compared with `matches`"),
        ("?:", "??", "a replacement for null is written `??`"),
        ("!==", "!=", "comparisons are written `==` and `!=`"),
        ("=", "==", "comparisons are written `==`"),
    ];
    if let Some((found, instead, message)) = words.iter().find(|(found, ..)| site.starts_with(found))
        && !site.starts_with("=>")
    {
        let message = format!("{message}, not `{found}`").replace(", not `=`", "; `=` gives a value");
        habits.push(
            Habit::new(mark(found.len()), message, format!("write `{instead}`"))
                .edit(mark(found.len()), spaced(site, found.len(), instead)),
        );
    }
    if site.starts_with("..") && !site.starts_with("..=") {
        let message = "a range of values is written with `..=`, and includes its end";
        let title = "write `..=`, with the last value of the range";
        habits.push(
            Habit::new(mark(2), message, title)
                .edit(mark(2), "..=")
                .guess()
                .help("`400..=499` is 400 to 499; `400..=500` includes 500"),
        );
    }
    if site.starts_with("!~") {
        let start = operand_start(site.text, site.place);
        let message = "a regular expression is compared with `matches`, not with `!~`";
        habits.push(
            Habit::new(mark(2), message, "write `not … matches`")
                .edit(start..start, "not ")
                .edit(mark(2), spaced(site, 2, "matches")),
        );
    }
    habits
}

/// Returns the word with the blanks that it needs around it.
fn spaced(site: &Site<'_>, length: usize, word: &str) -> String {
    let glued = |letter: char| !letter.is_whitespace();
    let before = if site.text[..site.place].ends_with(glued) { " " } else { "" };
    let after = if site.rest()[length..].starts_with(glued) { " " } else { "" };
    format!("{before}{word}{after}")
}

/// Marks before a value: `!`, and the point of a path of other tools.
fn signs(site: &Site<'_>) -> Option<Habit> {
    let here = site.place..site.place + 1;
    let before = &site.text[..site.place];
    if before.ends_with('<') && site.starts_with(">") {
        let message = "unequal values are compared with `!=`, not with `<>`";
        return Some(Habit::written(site.place - 1..site.place + 1, message, "!="));
    }
    if (before.ends_with("==") || before.ends_with("!=")) && site.starts_with("=") {
        let message = "comparisons are written `==` and `!=`";
        let operator = site.place - 2..site.place + 1;
        let title = format!("write `{}`", &site.text[site.place - 2..site.place]);
        return Some(Habit::new(operator, message, title).edit(here, ""));
    }
    if site.starts_with("!") {
        let end = skip_blanks(site.text, site.place + 1);
        return Some(
            Habit::new(here, "a condition is negated by `not`, not by `!`", "write `not`")
                .edit(site.place..end, "not "),
        );
    }
    let rest = tail(site.text, site.place + 1);
    if site.starts_with(".") && rest.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_')
    {
        return Some(
            Habit::new(here, "a field is written without a point before its name", "leave out `.`")
                .edit(site.place..site.place + 1, ""),
        );
    }
    None
}

/// `a ? b : c` for `if a then b else c`.
fn conditional(site: &Site<'_>) -> Option<Habit> {
    let question = site.text[..site.place]
        .rfind('?')
        .filter(|_| !site.starts_with("?"))
        .or(site.starts_with("?").then_some(site.place))?;
    if !site.starts_with("?") && !site.starts_with(":") {
        return None;
    }
    let value = skip_blanks(site.text, question + 1);
    let colon = value_end(site.text, value, &[" :", ":"]);
    let colon = skip_blanks(site.text, colon);
    if !tail(site.text, colon).starts_with(':') {
        return None;
    }
    let otherwise = skip_blanks(site.text, colon + 1);
    let start = condition_start(site.text, question);
    let end = value_end(site.text, otherwise, &[]);
    if start >= question || value >= colon || otherwise >= end {
        return None;
    }
    let blank = |from: usize, word: &str| {
        if site.text[..from].ends_with(' ') { format!("{word} ") } else { format!(" {word} ") }
    };
    let message = "a choice is written `if … then … else …`, not with `?` and `:`";
    let habit = Habit::new(question..question + 1, message, "write `if … then … else …`");
    Some(
        habit
            .edit(start..start, "if ")
            .edit(question..value, blank(question, "then"))
            .edit(colon..otherwise, blank(colon, "else")),
    )
}

/// Returns the start of the condition that ends at a place: after the mark that gives a value.
fn condition_start(text: &str, end: usize) -> usize {
    let mut start = end;
    let line = text[..end].rfind('\n').map_or(0, |last| last + 1);
    // An operand at a time, with the operators between.
    loop {
        let operand = operand_start(text, start);
        if operand >= start || operand < line {
            return start;
        }
        let before = text[line..operand].trim_end();
        let operators = [
            "==", "!=", "<=", ">=", "<", ">", "&&", "||", "+", "*", "/", "%", " and", " or", " not", " in",
            " matches", " is", "!",
        ];
        let ends_with = operators.iter().find(|operator| before.ends_with(**operator));
        match ends_with {
            Some(operator) if !before.ends_with("->") && !before.ends_with("=>") => {
                start = line + before.len() - operator.len()
            }
            _ => return operand,
        }
    }
}

/// The parts of `if a { b } else if c { d } else { e }`: the conditions and values, as ranges of the text.
pub(super) struct Braced {
    /// The ranges of each condition and its value.
    pub(super) cases: Vec<(Range<usize>, Range<usize>)>,
    pub(super) otherwise: Range<usize>,
    /// The end of the last brace.
    pub(super) end: usize,
}

/// Returns the parts of the `if` with braces that begins at a place.
pub(super) fn braced(text: &str, start: usize) -> Option<Braced> {
    let mut cases = Vec::new();
    let mut place = start + 2;
    loop {
        let condition = skip_blanks(text, place);
        let brace = skip_blanks(text, value_end(text, condition, &["{"]));
        let (value, end) = inside(text, brace)?;
        let condition = condition..text[..brace].trim_end().len();
        if condition.is_empty() {
            return None;
        }
        cases.push((condition, value));
        let otherwise = text.len() - tail(text, end).trim_start().len();
        tail(text, otherwise).strip_prefix("else")?;
        let next = skip_blanks(text, otherwise + 4);
        if tail(text, next).starts_with("if ") || tail(text, next).starts_with("if(") {
            place = next + 2;
            continue;
        }
        let (otherwise, end) = inside(text, next)?;
        return Some(Braced { cases, otherwise, end });
    }
}

/// Returns the range between the braces at a place, if it is one line, and their end.
fn inside(text: &str, brace: usize) -> Option<(Range<usize>, usize)> {
    let end = closed(text, brace);
    if !tail(text, brace).starts_with('{') || end <= brace + 1 {
        return None;
    }
    let inner = &text[brace + 1..end - 1];
    let start = end - 1 - inner.trim_start().len();
    let range = start..start + inner.trim().len();
    (!range.is_empty() && !text[range.clone()].contains('\n')).then_some((range, end))
}

/// `if (a) { b } else { c }` for `if a then b else c`.
pub(super) fn braced_choice(site: &Site<'_>, start: usize) -> Option<Habit> {
    let text = site.text;
    let Braced { cases, otherwise, end } = braced(text, start)?;
    let mut habit = Habit::new(
        start..start + 2,
        "the values of an `if` follow `then` and `else`, without braces",
        "write `if … then … else …`",
    );
    let mut last = start + 2;
    let mut edit = |range: Range<usize>, replacement: &str| habit.edits.push((range, replacement.to_owned()));
    for (number, (condition, value)) in cases.iter().enumerate() {
        edit(last..condition.start, if number == 0 { " " } else { " else if " });
        edit(condition.end..value.start, " then ");
        last = value.end;
    }
    edit(last..otherwise.start, " else ");
    edit(otherwise.end..end, "");
    Some(habit)
}

/// `-> if a { b } else { c }` for `-> match { a -> b, _ -> c }`.
pub(super) fn braced_step(site: &Site<'_>, start: usize) -> Option<Habit> {
    let Braced { cases, otherwise, end } = braced(site.text, start)?;
    let message = "events take one of several ways by a `match`, not by an `if`";
    let part = |range: &Range<usize>| &site.text[range.clone()];
    let mut arms: Vec<String> =
        cases.iter().map(|(condition, value)| format!("{} -> {}", part(condition), part(value))).collect();
    arms.push(format!("_ -> {}", part(&otherwise)));
    let better = format!("match {{ {} }}", arms.join(", "));
    let habit = Habit::new(start..start + 2, message, "write `match { condition -> …, _ -> … }`");
    Some(habit.edit(start..end, better))
}

/// Returns the range of an operand at a place.
pub(super) fn operand_at(text: &str, place: usize) -> Range<usize> {
    let start = skip_blanks(text, place);
    start..operand_end(text, start)
}
