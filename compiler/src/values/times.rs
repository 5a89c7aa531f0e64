//! Time patterns: the letters of `strftime`, and patterns that were written with the letters of Java.

use std::ops::Range;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The help for patterns.
pub(crate) const LETTERS: &str = "years are `%Y`, months `%m`, days `%d`, hours `%H`, minutes `%M`";

/// The letters of Java's `SimpleDateFormat` and of Flume, with those of `strftime`.
const OF_JAVA: [(&str, &str); 20] = [
    ("yyyy", "%Y"),
    ("yy", "%y"),
    ("MMMM", "%B"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("M", "%-m"),
    ("dd", "%d"),
    ("d", "%-d"),
    ("DDD", "%j"),
    ("HH", "%H"),
    ("H", "%-H"),
    ("hh", "%I"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("SSS", "%3f"),
    ("a", "%p"),
    ("EEEE", "%A"),
    ("EEE", "%a"),
    ("XXX", "%:z"),
    ("Z", "%z"),
];

/// The directives that names of files can't have: line ends, blanks, and names of time zones.
const NOT_IN_NAMES: [char; 5] = ['n', 't', 'c', 'Z', 'Q'];

/// A fault of a pattern: its byte range, the reason, and the correct pattern if it is known.
pub(crate) struct PatternError {
    pub(crate) range: Range<usize>,
    pub(crate) reason: String,
    pub(crate) instead: Option<String>,
}

/// Returns the first fault of a pattern that formats times.
pub(crate) fn fault_of_pattern(pattern: &str) -> Option<PatternError> {
    if !pattern.contains('%') {
        let reason = "it has no part of a time, which begins with `%`".to_owned();
        return Some(PatternError { range: 0..pattern.len(), reason, instead: of_java(pattern) });
    }
    let wrong =
        |(range, _, reason): (Range<usize>, char, String)| PatternError { range, reason, instead: None };
    directives(pattern).into_iter().find_map(|found| found.err()).map(wrong)
}

/// Returns the fault of a pattern that reads times: of its parts, or that they don't make an instant.
pub(crate) fn fault_of_instant(pattern: &str) -> Option<PatternError> {
    fault_of_pattern(pattern).or_else(|| {
        let example = example();
        let written = strtime::format(pattern, &example).ok()?;
        let read = strtime::parse(pattern, &written);
        let instant = read.is_ok_and(|time| time.to_timestamp().is_ok() || time.to_datetime().is_ok());
        let reason =
            "it has no date, or only a part of one, so that no instant can be read with it".to_owned();
        (!instant).then_some(PatternError { range: 0..pattern.len(), reason, instead: None })
    })
}

/// Returns the first part of a correct pattern that has no place in the name of a file or a topic.
pub(crate) fn fault_in_names(pattern: &str) -> Option<PatternError> {
    let mut letters = directives(pattern).into_iter().flatten();
    let (range, letter) = letters.find(|(_, letter)| NOT_IN_NAMES.contains(letter))?;
    let what = match letter {
        'n' | 't' => "a control character",
        'c' => "a text with blanks and colons",
        _ => "the name of a time zone",
    };
    let reason = format!("`{}` is {what}, which has no place in a name", &pattern[range.clone()]);
    Some(PatternError { range, reason, instead: None })
}

/// Returns the runs of directives in a text, such as `%Y/%m-%d`: their byte ranges.
pub(crate) fn runs(text: &str) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (range, _) in directives(text).into_iter().flatten() {
        match runs.last_mut() {
            Some(run) if text[run.end..range.start].chars().all(|letter| !letter.is_alphanumeric()) => {
                run.end = range.end;
            }
            _ => runs.push(range),
        }
    }
    runs
}

/// The byte range and letter of a directive, or its range, letter and fault.
type Directive = Result<(Range<usize>, char), (Range<usize>, char, String)>;

/// Returns the directives of a pattern in their order.
fn directives(pattern: &str) -> Vec<Directive> {
    let time = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(at) = pattern[position..].find('%') {
        let start = position + at;
        let rest = &pattern[start + 1..];
        // Flags, a width and colons may precede the letter of the conversion.
        let is_flag = |letter: char| matches!(letter, '-' | '_' | '^' | '#' | ':' | '.' | '0'..='9');
        let flags = rest.find(|letter: char| !is_flag(letter));
        let letter = flags.and_then(|flags| rest[flags..].chars().next().map(|letter| (flags, letter)));
        let Some((flags, letter)) = letter else {
            found.push(Err((start..pattern.len(), ' ', "a letter is missing after `%`".to_owned())));
            break;
        };
        let range = start..start + 1 + flags + letter.len_utf8();
        position = range.end;
        let directive = &pattern[range.clone()];
        found.push(match strtime::format(directive, &time) {
            Ok(_) => Ok((range, letter)),
            Err(_) => {
                let reason = format!("`{directive}` is no part of a time");
                Err((range, letter, reason))
            }
        });
    }
    found
}

/// An instant whose parts all differ from their defaults.
fn example() -> Zoned {
    Timestamp::from_second(1_700_000_000).unwrap_or_default().to_zoned(TimeZone::UTC)
}

/// Translates a pattern with Java's letters; `None` if it has others.
pub(crate) fn of_java(pattern: &str) -> Option<String> {
    let mut translated = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            let (literal, after) = quoted.split_once('\'')?;
            translated.push_str(literal);
            rest = after;
            continue;
        }
        let end = rest.find(|letter| letter != first).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        match OF_JAVA.iter().find(|(java, _)| *java == run) {
            Some((_, directive)) => translated.push_str(directive),
            // The `T` between date and time is often left without quotes.
            None if first.is_alphabetic() && run != "T" => return None,
            None => translated.push_str(run),
        }
        rest = after;
    }
    translated.contains('%').then_some(translated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_letters_are_found_at_their_place() {
        let fault = |pattern: &str| fault_of_pattern(pattern).map(|fault| fault.range);
        assert_eq!(fault("%Y-%m-%d/%H%M%S.%3f %:z"), None);
        assert_eq!(fault("%Y/%ö"), Some(3..6));
        assert_eq!(fault("%Y/%"), Some(3..4));
    }

    #[test]
    fn letters_of_java_are_translated() {
        assert_eq!(of_java("dd/MMM/yyyy:HH:mm:ss Z").as_deref(), Some("%d/%b/%Y:%H:%M:%S %z"));
        assert_eq!(of_java("yyyy-MM-dd'T'HH:mm:ss.SSSXXX").as_deref(), Some("%Y-%m-%dT%H:%M:%S.%3f%:z"));
        assert_eq!(of_java("hello"), None);
        assert_eq!(of_java("-/:"), None);
    }

    #[test]
    fn instants_need_a_date() {
        for right in ["%Y-%m-%d", "%d/%b/%Y:%H:%M:%S %z", "%s", "%F %T", "%Y-%jT%H:%M", "%D"] {
            assert!(fault_of_instant(right).is_none(), "{right}");
        }
        for wrong in ["%H:%M", "%Y-%m", "%m-%d", "dd/MMM/yyyy", "%A"] {
            assert!(fault_of_instant(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn runs_of_directives_end_at_letters() {
        assert_eq!(runs("/flume/%Y/%m-%d/%H"), std::slice::from_ref(&(7..18)));
        assert_eq!(runs("%Y/events/%m"), [0..2, 10..12]);
        assert!(runs("100%").is_empty());
    }
}
