//! Types as other languages write them: `name?: Text`, `Map<Text, Int>`, `Text[]`.

use super::Habit;
use super::site::{Site, closed, skip_blanks, tail, word_at, word_start};
use crate::Rule;

pub(super) fn find(site: &Site<'_>, habits: &mut Vec<Habit>) {
    habits.extend(optional_name(site));
    habits.extend(map_of_keys(site));
    habits.extend(list(site));
}

/// Returns the end of the type at a place.
fn type_end(text: &str, start: usize) -> usize {
    if tail(text, start).starts_with('[') {
        return closed(text, start);
    }
    let mut end = start + word_at(text, start).len();
    if tail(text, end).starts_with('.') {
        end += 1 + word_at(text, end + 1).len();
    }
    match tail(text, end).chars().next() {
        Some('(') => closed(text, end),
        Some('<') => tail(text, end).find('>').map_or(end, |last| end + last + 1),
        _ => end,
    }
}

/// `tags?: Text` for `tags: Text?`.
fn optional_name(site: &Site<'_>) -> Option<Habit> {
    let after = skip_blanks(site.text, site.place + 1);
    if !site.starts_with("?") || !site.expects(Rule::colon) || !tail(site.text, after).starts_with(':') {
        return None;
    }
    let start = skip_blanks(site.text, after + 1);
    let end = type_end(site.text, start);
    let message = "the `?` of what may be null stands behind its type";
    let title = format!("write `{}?`", &site.text[start..end]);
    let mut habit =
        Habit::new(site.place..site.place + 1, message, title).edit(site.place..site.place + 1, "");
    if !tail(site.text, end).starts_with('?') {
        habit = habit.edit(end..end, "?");
    }
    (end > start).then_some(habit)
}

/// `Map<Text, Int>` for `Map<Int>`.
fn map_of_keys(site: &Site<'_>) -> Option<Habit> {
    let key_end = site.last_end();
    let key_start = word_start(site.text, key_end);
    let before = site.text[..key_start].trim_end();
    if !site.starts_with(",") || !site.expects(Rule::greater) || !before.ends_with('<') {
        return None;
    }
    let key = &site.text[key_start..key_end];
    let value = skip_blanks(site.text, site.place + 1);
    let is_text = matches!(key, "Text" | "String" | "string" | "Str" | "str");
    let message = "the keys of a map are always Text: only the type of its values is named";
    let value_type = &site.text[value..type_end(site.text, value)];
    let habit = Habit::new(key_start..site.place, message, format!("write `Map<{value_type}>`"))
        .edit(key_start..value, "");
    Some(if is_text { habit } else { habit.guess().help("convert the keys to Text before") })
}

/// `Text[]` for `[Text]`.
fn list(site: &Site<'_>) -> Option<Habit> {
    let end = site.last_end();
    let start = word_start(site.text, end);
    if !site.starts_with("[]") || start == end || !site.expects(Rule::question) {
        return None;
    }
    let name = &site.text[start..end];
    let whole = start..site.place + 2;
    Some(Habit::written(whole, format!("the type of a list is written `[{name}]`"), &format!("[{name}]")))
}
