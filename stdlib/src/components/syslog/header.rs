//! Reads the header of a message: priority, time, sender, and the program with its process.
//!
//! ```text
//! RFC 5424   <34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - …
//! RFC 3164   <34>Oct 11 22:14:15 mymachine su: …
//! ```

use crate::language::parsers::syslog::{Legacy, Nearest, is_host, priority, word};

/// The header of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header<'m> {
    /// Facility times eight, and severity.
    pub(super) priority: Option<i64>,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub(super) time: Option<i64>,
    pub(super) sender: Option<&'m str>,
    pub(super) program: Option<&'m str>,
    pub(super) process: Option<&'m str>,
}

/// Reads the header of a message in either form, as far as it is valid.
pub(super) fn header<'m>(message: &'m [u8], nearest: &Nearest<'_>) -> Header<'m> {
    let Some((priority, rest)) = priority(message) else { return Header::default() };
    let only = Header { priority: Some(priority), ..Header::default() };
    if let Some(rest) = rest.strip_prefix(b"1 ") {
        let (time, rest) = word(rest);
        let is_missing = time == b"-";
        let time = nearest.full_time(time);
        if time.is_none() && !is_missing {
            // The words behind it would be taken for other parts.
            return only;
        }
        let (sender, rest) = word(rest);
        let (program, rest) = word(rest);
        let (process, _) = word(rest);
        let sender = Some(sender).filter(|sender| is_host(sender));
        let [sender, program, process] = [sender, Some(program), Some(process)].map(name);
        return Header { time, sender, program, process, ..only };
    }
    let Legacy { time, host, application, process, .. } = Legacy::read(rest, nearest);
    if time.is_none() {
        return only;
    }
    let [sender, program, process] =
        [host, application, process].map(|part| name(part.map(|part| &rest[part])));
    Header { time, sender, program, process, ..only }
}

/// Returns a word as a name, unless it is empty, `-` or not UTF-8.
fn name(word: Option<&[u8]>) -> Option<&str> {
    let text = std::str::from_utf8(word?).ok()?;
    (!text.is_empty() && text != "-").then_some(text)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;

    fn read(message: &str) -> (Option<i64>, Option<String>, Option<&str>) {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let Header { priority, time, sender, .. } =
            header(message.as_bytes(), &Nearest::new(&TimeZone::UTC, now.as_microsecond()));
        let time = time.map(|time| Timestamp::from_microsecond(time).unwrap().to_string());
        (priority, time, sender)
    }

    #[test]
    fn both_forms_are_read() {
        let time = |text: &str| Some(text.to_string());
        let full = read("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - it failed");
        assert_eq!(full, (Some(34), time("2003-10-11T22:14:15.003Z"), Some("mymachine.example.com")));
        let short = read("<13>Jan  1 22:14:15 mymachine su: it failed");
        assert_eq!(short, (Some(13), time("2026-01-01T22:14:15Z"), Some("mymachine")));
        let mixed = read("<13>2026-01-01T10:00:00+02:00 web-1 app: hello");
        assert_eq!(mixed, (Some(13), time("2026-01-01T08:00:00Z"), Some("web-1")));
        assert_eq!(read("<0>1 - - - - - -"), (Some(0), None, None));
    }

    #[test]
    fn the_year_is_the_one_nearest_to_now() {
        let (_, time, _) = read("<13>Dec 31 23:59:59 m x");
        assert_eq!(time.unwrap(), "2025-12-31T23:59:59Z");
    }

    /// Checks the sender, the program and its process.
    #[test]
    fn a_word_that_is_no_host_is_no_sender() {
        let names = |message: &'static str| {
            let Header { sender, program, process, .. } =
                header(message.as_bytes(), &Nearest::new(&TimeZone::UTC, 0));
            [sender, program, process].map(|name| name.unwrap_or("none"))
        };
        for (message, expected) in [
            ("<34>Oct 11 22:14:15 su: it failed", ["none", "su", "none"]),
            ("<34>Oct 11 22:14:15 sshd[4711]: accepted", ["none", "sshd", "4711"]),
            ("<34>Oct 11 22:14:15 web-1 sshd[1]: ok", ["web-1", "sshd", "1"]),
            ("<34>Oct 11 22:14:15 - cron: ok", ["none", "cron", "none"]),
            ("<34>Oct 11 22:14:15 fe80::1 kernel: ok", ["fe80::1", "kernel", "none"]),
            ("<34>Oct 11 22:14:15 10.0.0.1 no tag", ["10.0.0.1", "none", "none"]),
            ("<14>Nov  2 10:11:12 2026 web-2 x: year behind", ["web-2", "x", "none"]),
            ("<14>1 2026-11-20 01:02:03 web-3 x - - - time with a blank", ["none", "none", "none"]),
            ("<14>1 2026-11-20T01:02:03Z web-3 x 7 - - ok", ["web-3", "x", "7"]),
            ("<14>1 - - - - - -", ["none", "none", "none"]),
            ("<166>Sep 14 2016 10:07:20: %ASA-6-302013: Built", ["none", "%ASA-6-302013", "none"]),
            ("<13>2026-01-01T10:00:00+02:00 app[x]: hello", ["none", "app", "x"]),
        ] {
            assert_eq!(names(message), expected, "{message}");
        }
    }

    #[test]
    fn a_message_in_neither_form_has_no_header() {
        for message in ["", "<", "<>", "<192>x", "<1x>", "<00034>1 a", "hello", "\u{0}\u{1}"] {
            assert_eq!(read(message), (None, None, None), "{message:?}");
        }
        for message in
            ["<13>", "<13>1", "<13>hello", "<13>Foo 11 22:14:15 m", "<13>Oct 99 22:14:15 m", "<13>é"]
        {
            assert_eq!(read(message), (Some(13), None, None), "{message:?}");
        }
        assert_eq!(
            header(b"<13>\xff\xff 11 22:14:15 m", &Nearest::new(&TimeZone::UTC, 0)).priority,
            Some(13)
        );
    }
}
