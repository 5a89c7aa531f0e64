//! Everything that can be wrong with a program: one file for each, and here the list of them all.
//!
//! A diagnostic is data first. Its words, labels, help and fix are made by `describe`, when somebody
//! wants to read it. Codes are given out once: a diagnostic that goes takes its code with it.

mod after_copy;
mod broken_requirement;
mod channel_into_channel;
mod channel_never_filled;
mod channel_never_read;
mod cycle;
mod cyclic_let;
mod dead_end;
mod duplicate_entry;
mod duplicate_name;
mod empty_flow;
mod hole_not_allowed;
mod later;
mod limit;
mod malformed_hole;
mod malformed_number;
mod malformed_string;
mod malformed_text;
mod may_be_null;
mod merge_clash;
mod misplaced;
mod missing_setting;
mod missing_unit;
mod name_style;
mod never_null;
mod no_settings;
mod no_such_column;
mod not_comparable;
mod optional_hole;
mod out_of_range;
mod param_without_value;
mod promise_not_kept_yet;
mod several_readers;
mod unbalanced_bracket;
mod unclosed_text;
mod unexpected;
mod unkept_promise;
mod unknown_item;
mod unknown_kind;
mod unknown_name;
mod unknown_param;
mod unknown_promise;
mod unknown_setting;
mod unknown_type;
mod unknown_variant;
mod unmet_need;
mod unreadable_file;
mod unused;
mod wrong_type;

use weir_grammar::Span;

pub use after_copy::AfterCopy;
pub use broken_requirement::{BrokenRequirement, RequiredSetting};
pub use channel_into_channel::ChannelIntoChannel;
pub use channel_never_filled::ChannelNeverFilled;
pub use channel_never_read::ChannelNeverRead;
pub use cycle::Cycle;
pub use cyclic_let::CyclicLet;
pub use dead_end::DeadEnd;
pub use duplicate_entry::DuplicateEntry;
pub use duplicate_name::DuplicateName;
pub use empty_flow::EmptyFlow;
pub use hole_not_allowed::HoleNotAllowed;
pub use later::{Later, LaterPart};
pub use limit::Limit;
pub use malformed_hole::MalformedHole;
pub use malformed_number::MalformedNumber;
pub use malformed_string::MalformedString;
pub use malformed_text::MalformedText;
pub use may_be_null::MayBeNull;
pub use merge_clash::MergeClash;
pub use misplaced::Misplaced;
pub use missing_setting::MissingSetting;
pub use missing_unit::MissingUnit;
pub use name_style::NameStyle;
pub use never_null::NeverNull;
pub use no_settings::NoSettings;
pub use no_such_column::NoSuchColumn;
pub use not_comparable::NotComparable;
pub use optional_hole::OptionalHole;
pub use out_of_range::OutOfRange;
pub use param_without_value::ParamWithoutValue;
pub use promise_not_kept_yet::PromiseNotKeptYet;
pub use several_readers::SeveralReaders;
pub use unbalanced_bracket::UnbalancedBracket;
pub use unclosed_text::UnclosedText;
pub use unexpected::Unexpected;
pub use unkept_promise::UnkeptPromise;
pub use unknown_item::UnknownItem;
pub use unknown_kind::UnknownKind;
pub use unknown_name::UnknownName;
pub use unknown_param::UnknownParam;
pub use unknown_promise::UnknownPromise;
pub use unknown_setting::UnknownSetting;
pub use unknown_type::UnknownType;
pub use unknown_variant::UnknownVariant;
pub use unmet_need::UnmetNeed;
pub use unreadable_file::UnreadableFile;
pub use unused::Unused;
pub use wrong_type::WrongType;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The program can be run, but is most likely not what was meant.
    Warning,
    /// The program can't be run.
    Error,
}

/// A diagnostic as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// What is wrong; it stands alone.
    pub message: String,
    /// Where: the first label is the place of the mistake, the others say why it is one.
    pub labels: Vec<Label>,
    /// What would be right.
    pub help: Vec<String>,
    /// The change that makes it right, if there is just one.
    pub fix: Option<Fix>,
}

/// A place with what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What there is to say.
    pub text: String,
}

/// A change of the text that a machine can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What the change does.
    pub title: String,
    /// The place that is replaced.
    pub span: Span,
    /// What comes to stand there.
    pub replacement: String,
}

impl Description {
    fn new(message: impl Into<String>, span: Span, label: impl Into<String>) -> Description {
        let labels = vec![Label { span, text: label.into() }];
        Description { message: message.into(), labels, ..Description::default() }
    }

    fn label(mut self, span: Span, text: impl Into<String>) -> Description {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    fn help(mut self, text: impl Into<String>) -> Description {
        self.help.push(text.into());
        self
    }

    fn fix(mut self, title: impl Into<String>, span: Span, replacement: impl Into<String>) -> Description {
        self.fix = Some(Fix { title: title.into(), span, replacement: replacement.into() });
        self
    }

    /// Offers a name that is near the one that stands there, if there is one.
    fn suggest(self, span: Span, near: Option<&str>) -> Description {
        match near {
            Some(near) => {
                self.help(format!("did you mean `{near}`?")).fix(format!("write `{near}`"), span, near)
            }
            None => self,
        }
    }
}

/// Makes the sum type of all diagnostics and the list of their codes.
macro_rules! registry {
    ($($code:literal $severity:ident $name:ident)*) => {
        /// Something that is wrong with a program.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)] // Each variant is documented where its data is.
        pub enum Diagnostic {
            $($name($name),)*
        }

        /// Every code with its severity and the name of its diagnostic.
        pub const REGISTRY: &[(&str, Severity, &str)] =
            &[$(($code, Severity::$severity, stringify!($name)),)*];

        impl Diagnostic {
            /// The diagnostic's code.
            pub fn code(&self) -> &'static str {
                match self {
                    $(Diagnostic::$name(_) => $code,)*
                }
            }

            /// How bad it is.
            pub fn severity(&self) -> Severity {
                match self {
                    $(Diagnostic::$name(_) => Severity::$severity,)*
                }
            }

            /// The diagnostic in words.
            pub fn describe(&self) -> Description {
                match self {
                    $(Diagnostic::$name(diagnostic) => diagnostic.describe(),)*
                }
            }
        }

        $(impl From<$name> for Diagnostic {
            fn from(diagnostic: $name) -> Diagnostic {
                Diagnostic::$name(diagnostic)
            }
        })*
    };
}

registry! {
    // E01: syntax
    "E0101" Error Unexpected
    "E0102" Error UnclosedText
    "E0103" Error UnbalancedBracket
    "E0104" Error MalformedNumber
    "E0105" Error MalformedString
    "E0106" Error UnknownItem
    "E0107" Error Limit
    "E0108" Error NameStyle
    "E0109" Error Later
    // E02: names
    "E0201" Error UnknownName
    "E0202" Error UnknownKind
    "E0203" Error UnknownSetting
    "E0204" Error DuplicateName
    "E0205" Error DuplicateEntry
    "E0206" Warning Unused
    "E0207" Error UnknownParam
    "E0208" Error CyclicLet
    "E0209" Error UnknownType
    "E0210" Error UnreadableFile
    // E03: types
    "E0301" Error WrongType
    "E0302" Error MissingUnit
    "E0303" Error MissingSetting
    "E0304" Error UnknownVariant
    "E0305" Error NoSettings
    "E0306" Error ParamWithoutValue
    "E0307" Error NotComparable
    "E0308" Error MayBeNull
    "E0309" Warning NeverNull
    // E04: values
    "E0401" Error OutOfRange
    "E0402" Error BrokenRequirement
    "E0403" Error MalformedText
    "E0404" Error MalformedHole
    "E0405" Error HoleNotAllowed
    // E05: events
    "E0501" Error NoSuchColumn
    "E0502" Error MergeClash
    "E0503" Error UnmetNeed
    "E0504" Error OptionalHole
    // E06: the graph
    "E0601" Error Cycle
    "E0602" Error ChannelIntoChannel
    "E0603" Error ChannelNeverRead
    "E0604" Error ChannelNeverFilled
    "E0605" Error EmptyFlow
    "E0606" Error SeveralReaders
    "E0607" Error DeadEnd
    "E0608" Error Misplaced
    "E0609" Error AfterCopy
    // E07: delivery
    "E0701" Error UnknownPromise
    "E0702" Error PromiseNotKeptYet
    "E0703" Error UnkeptPromise
}

/// Names in backticks with commas, as `a`, `b` and `c`.
fn listed<'n>(names: impl IntoIterator<Item = &'n str>, last: &str) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    joined(&names, last)
}

/// Words with commas, and the last one with `and` or `or`.
fn joined(words: &[impl AsRef<str>], last: &str) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [before @ .., end] => {
            let before: Vec<&str> = before.iter().map(AsRef::as_ref).collect();
            format!("{} {last} {}", before.join(", "), end.as_ref())
        }
    }
}

/// The name of a type, with an article where a sentence has one.
pub(crate) fn with_article(name: &str) -> String {
    // Text and bytes aren't counted; a list is shown as it is written.
    if ["Text", "Bytes", "[", "null"].iter().any(|uncounted| name.starts_with(uncounted)) {
        return name.to_owned();
    }
    let vowel = name.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']);
    if vowel { format!("an {name}") } else { format!("a {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_their_families() {
        let codes: Vec<&str> = REGISTRY.iter().map(|(code, ..)| *code).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted, "codes are unique and stand in their order");
        assert!(codes.iter().all(|code| code.len() == 5 && code.starts_with("E0")));
    }

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(listed(["a", "b", "c"], "or"), "`a`, `b` or `c`");
        assert_eq!(with_article("Int"), "an Int");
        assert_eq!(with_article("Url"), "a Url");
        assert_eq!(with_article("Text"), "Text");
    }
}
