//! The diagnostics of the compiler: one file for each, and the registry of all of them.
//!
//! A diagnostic is data; `describe` builds its message, labels, help and fix when the diagnostic is shown.
//! A code is never reused: the code of a removed diagnostic stays unassigned.

mod after_copy;
mod ambiguous;
mod broken_requirement;
mod can_fail;
mod cannot_connect;
mod cannot_fail;
mod chained_question;
mod change;
mod channel_into_channel;
mod channel_never_filled;
mod channel_never_read;
mod closed_early;
mod codes;
mod compared_with_regex;
mod cycle;
mod cyclic;
mod date_without_braces;
mod dead_end;
mod duplicate_entry;
mod duplicate_name;
mod empty_flow;
mod expects_nothing;
mod explained;
mod exposed;
mod foreign_form;
mod held_too_long;
mod hidden_field;
mod hole_not_allowed;
mod import_cycle;
mod inexact_number;
mod library_only;
mod limit;
mod malformed_hole;
mod malformed_number;
mod malformed_regex;
mod malformed_string;
mod malformed_text;
mod may_be_null;
mod merge_clash;
mod misplaced;
mod missing_setting;
mod missing_unit;
mod name_style;
mod needs_schema;
mod nested_field;
mod never_null;
mod no_body_to_count;
mod no_reject_route;
mod no_settings;
mod no_such_column;
mod no_such_operation;
mod not_carried_out;
mod not_comparable;
mod not_exhaustive;
mod not_pure;
mod not_set;
mod optional_hole;
mod out_of_range;
mod over_budget;
mod overflow;
mod own_output;
mod param_without_value;
mod plain_secret;
mod put_too_large;
mod rejects_again;
mod secret_in_text;
mod sensitive;
mod several_readers;
mod slower_than_expected;
mod small_files;
mod unbalanced_bracket;
mod unclosed_text;
mod unexpected;
mod unfit_text;
mod unkept_order;
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
mod unreachable_arm;
mod unreadable_file;
mod unused;
mod unwritable_columns;
mod used_twice;
mod within;
mod wrong_arguments;
mod wrong_type;

use weir_grammar::Span;

pub use after_copy::AfterCopy;
pub use ambiguous::Ambiguous;
pub use broken_requirement::{BrokenRequirement, RequiredSetting};
pub use can_fail::{CanFail, StepEnd};
pub use cannot_connect::CannotConnect;
pub use cannot_fail::CannotFail;
pub use chained_question::ChainedQuestion;
pub use change::{Edit, Fix};
pub use channel_into_channel::ChannelIntoChannel;
pub use channel_never_filled::ChannelNeverFilled;
pub use channel_never_read::ChannelNeverRead;
pub use closed_early::ClosedEarly;
pub use codes::{FAMILIES, nearest_code, title};
pub use compared_with_regex::ComparedWithRegex;
pub use cycle::Cycle;
pub use cyclic::Cyclic;
pub use date_without_braces::DateWithoutBraces;
pub use dead_end::DeadEnd;
pub use duplicate_entry::DuplicateEntry;
pub use duplicate_name::{DuplicateName, NameOf};
pub use empty_flow::EmptyFlow;
pub use expects_nothing::ExpectsNothing;
pub use explained::Explained;
pub use exposed::{Exposed, ExposedSecret, OpenPort, PlainLink, UncertainPeer};
pub use foreign_form::ForeignForm;
pub use held_too_long::HeldTooLong;
pub use hidden_field::HiddenField;
pub use hole_not_allowed::HoleNotAllowed;
pub use import_cycle::ImportCycle;
pub use inexact_number::InexactNumber;
pub use library_only::LibraryOnly;
pub use limit::Limit;
pub use malformed_hole::MalformedHole;
pub use malformed_number::MalformedNumber;
pub use malformed_regex::MalformedRegex;
pub use malformed_string::MalformedString;
pub use malformed_text::MalformedText;
pub use may_be_null::MayBeNull;
pub use merge_clash::MergeClash;
pub use misplaced::Misplaced;
pub use missing_setting::MissingSetting;
pub use missing_unit::MissingUnit;
pub use name_style::NameStyle;
pub use needs_schema::NeedsSchema;
pub use nested_field::NestedField;
pub use never_null::NeverNull;
pub use no_body_to_count::NoBodyToCount;
pub use no_reject_route::NoRejectRoute;
pub use no_settings::NoSettings;
pub use no_such_column::NoSuchColumn;
pub use no_such_operation::NoSuchOperation;
pub use not_carried_out::NotCarriedOut;
pub use not_comparable::NotComparable;
pub use not_exhaustive::NotExhaustive;
pub use not_pure::NotPure;
pub use not_set::NotSet;
pub use optional_hole::{HoleStep, OptionalHole};
pub use out_of_range::OutOfRange;
pub use over_budget::{LargePart, LowerSetting, OverBudget};
pub use overflow::Overflow;
pub use own_output::OwnOutput;
pub use param_without_value::ParamWithoutValue;
pub use plain_secret::PlainSecret;
pub use put_too_large::{DefaultPutTooLarge, PutTooLarge, ShownAmount, TooLarge};
pub use rejects_again::RejectsAgain;
pub use secret_in_text::SecretInText;
pub use sensitive::{SensitiveColumn, SensitiveInName, SensitiveLeaves};
pub use several_readers::SeveralReaders;
pub use slower_than_expected::SlowerThanExpected;
pub use small_files::SmallFiles;
pub use unbalanced_bracket::UnbalancedBracket;
pub use unclosed_text::UnclosedText;
pub use unexpected::Unexpected;
pub use unfit_text::UnfitText;
pub use unkept_order::UnkeptOrder;
pub use unkept_promise::{UnkeptPromise, UnkeptReason};
pub use unknown_item::UnknownItem;
pub use unknown_kind::UnknownKind;
pub use unknown_name::UnknownName;
pub use unknown_param::UnknownParam;
pub use unknown_promise::UnknownPromise;
pub use unknown_setting::UnknownSetting;
pub use unknown_type::UnknownType;
pub use unknown_variant::UnknownVariant;
pub use unmet_need::UnmetNeed;
pub use unreachable_arm::UnreachableArm;
pub use unreadable_file::UnreadableFile;
pub use unused::Unused;
pub use unwritable_columns::UnwritableColumns;
pub use used_twice::UsedTwice;
pub use within::Within;
pub use wrong_arguments::WrongArguments;
pub(crate) use wrong_type::TABLE_ROW;
pub use wrong_type::WrongType;

/// The severity of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The program can run, but probably not as its author intended.
    Warning,
    /// The program can't run.
    Error,
}

/// A diagnostic in words, as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// The fault, in words that are understandable without the labels.
    pub message: String,
    /// The labels: the first one marks the mistake, the others show why it is a mistake.
    pub labels: Vec<Label>,
    /// Suggestions for correcting the program.
    pub help: Vec<String>,
    /// The change that corrects the program, if exactly one is known.
    pub fix: Option<Fix>,
}

/// A place in the text with a remark about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// The remark about the place.
    pub text: String,
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

    /// Adds a certain fix with one edit.
    fn fix(self, title: impl Into<String>, span: Span, replacement: impl Into<String>) -> Description {
        self.fix_at(title, [span], replacement)
    }

    /// Adds a certain fix with the same replacement at several places.
    fn fix_at(
        mut self,
        title: impl Into<String>,
        spans: impl IntoIterator<Item = Span>,
        replacement: impl Into<String>,
    ) -> Description {
        let replacement = replacement.into();
        let edits = spans.into_iter().map(|span| Edit { span, replacement: replacement.clone() });
        self.fix = Some(Fix { title: title.into(), edits: edits.collect(), certain: true });
        self
    }

    /// Adds a fix with one edit that may not be what the author meant.
    fn guess(mut self, title: impl Into<String>, span: Span, replacement: impl Into<String>) -> Description {
        self.fix = Some(Fix::guess(title, span, replacement));
        self
    }

    /// Suggests a similar name as the replacement of the span, if there is such a name.
    fn suggest(self, span: Span, near: Option<&str>) -> Description {
        match near {
            Some(near) => {
                self.help(format!("did you mean `{near}`?")).guess(format!("write `{near}`"), span, near)
            }
            None => self,
        }
    }
}

/// Defines the enum of all diagnostics, the list of their codes and their pages.
///
/// The page of a code is `docs/diagnostics/CODE.md`: a code without a page fails to compile.
macro_rules! registry {
    ($($code:literal $severity:ident $name:ident)*) => {
        /// A fault of a program.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)] // Each variant is documented where its data is.
        pub enum Diagnostic {
            $($name($name),)*
            Within(Box<Within>),
            Explained(Box<Explained>),
        }

        /// Every code with its severity and the name of its diagnostic.
        pub const REGISTRY: &[(&str, Severity, &str)] =
            &[$(($code, Severity::$severity, stringify!($name)),)*];

        impl Diagnostic {
            /// Returns the code of the diagnostic.
            pub fn code(&self) -> &'static str {
                match self {
                    $(Diagnostic::$name(_) => $code,)*
                    Diagnostic::Within(within) => within.inner.code(),
                    Diagnostic::Explained(explained) => {
                        explained.inner.as_ref().map_or("", Diagnostic::code)
                    }
                }
            }

            /// Returns the severity of the diagnostic.
            pub fn severity(&self) -> Severity {
                match self {
                    $(Diagnostic::$name(_) => Severity::$severity,)*
                    Diagnostic::Within(within) => within.inner.severity(),
                    Diagnostic::Explained(explained) => {
                        explained.inner.as_ref().map_or(Severity::Error, Diagnostic::severity)
                    }
                }
            }

            /// Returns the diagnostic in words.
            pub fn describe(&self) -> Description {
                match self {
                    $(Diagnostic::$name(diagnostic) => diagnostic.describe(),)*
                    Diagnostic::Within(within) => within.describe(),
                    Diagnostic::Explained(explained) => explained.describe(),
                }
            }
        }

        /// Returns the page that explains a code: its meaning, a faulty program and a correct program.
        pub fn page(code: &str) -> Option<&'static str> {
            match code {
                $($code => Some(include_str!(concat!("../../../docs/diagnostics/", $code, ".md"))),)*
                _ => None,
            }
        }

        impl From<Within> for Diagnostic {
            fn from(within: Within) -> Diagnostic {
                Diagnostic::Within(Box::new(within))
            }
        }

        impl From<Explained> for Diagnostic {
            fn from(explained: Explained) -> Diagnostic {
                Diagnostic::Explained(Box::new(explained))
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
    // E00: this version
    "E0002" Warning NotCarriedOut
    "E0003" Error CannotConnect
    // E01: syntax
    "E0101" Error Unexpected
    "E0102" Error UnclosedText
    "E0103" Error UnbalancedBracket
    "E0104" Error MalformedNumber
    "E0105" Error MalformedString
    "E0106" Error UnknownItem
    "E0107" Error Limit
    "E0108" Error NameStyle
    "E0110" Error LibraryOnly
    "E0111" Error ChainedQuestion
    "E0120" Error ForeignForm
    // E02: names
    "E0201" Error UnknownName
    "E0202" Error UnknownKind
    "E0203" Error UnknownSetting
    "E0204" Error DuplicateName
    "E0205" Error DuplicateEntry
    "E0206" Warning Unused
    "E0207" Error UnknownParam
    "E0208" Error Cyclic
    "E0209" Error UnknownType
    "E0210" Error UnreadableFile
    "E0211" Error Ambiguous
    "E0212" Error ImportCycle
    "E0213" Error HiddenField
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
    "E0310" Error CanFail
    "E0311" Warning CannotFail
    "E0312" Error NoSuchOperation
    "E0313" Error NotPure
    "E0314" Error WrongArguments
    "E0315" Error NotExhaustive
    "E0318" Warning ComparedWithRegex
    // E04: values
    "E0401" Error OutOfRange
    "E0402" Error BrokenRequirement
    "E0403" Error MalformedText
    "E0404" Error MalformedHole
    "E0405" Error HoleNotAllowed
    "E0406" Error MalformedRegex
    "E0407" Error Overflow
    "E0408" Error NotSet
    "E0409" Error PutTooLarge
    "E0410" Warning DefaultPutTooLarge
    "E0411" Error InexactNumber
    "E0412" Error UnfitText
    "E0414" Warning DateWithoutBraces
    // E05: events
    "E0501" Error NoSuchColumn
    "E0502" Error MergeClash
    "E0503" Error UnmetNeed
    "E0504" Error OptionalHole
    "E0505" Error NeedsSchema
    "E0506" Error NestedField
    "E0508" Error NoBodyToCount
    "E0509" Error UnwritableColumns
    "E0510" Warning ExpectsNothing
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
    "E0610" Error UnreachableArm
    "E0611" Error NoRejectRoute
    "E0612" Error RejectsAgain
    // E07: delivery
    "E0701" Error UnknownPromise
    "E0703" Error UnkeptPromise
    "E0704" Warning HeldTooLong
    "E0705" Error UnkeptOrder
    // E08: resources
    "E0801" Error UsedTwice
    "E0802" Error OwnOutput
    "E0803" Error OverBudget
    "E0804" Warning SmallFiles
    "E0805" Warning ClosedEarly
    "E0806" Error SlowerThanExpected
    // E09: security
    "E0901" Error PlainSecret
    "E0902" Error SecretInText
    "E0903" Error SensitiveLeaves
    "E0904" Error SensitiveInName
    "E0905" Warning PlainLink
    "E0906" Warning OpenPort
    "E0907" Warning ExposedSecret
    "E0908" Warning UncertainPeer
}

/// Returns the names in backticks, separated by commas: `a`, `b` and `c`.
pub(crate) fn listed<'n>(names: impl IntoIterator<Item = &'n str>, last: &str) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    joined(&names, last)
}

/// Joins the words with commas, and the last word with `last`, which is `and` or `or`.
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

/// Returns the name of a type with its article, if a sentence needs an article.
pub(crate) fn with_article(name: &str) -> String {
    // Text and bytes take no article, nor do lists, null and quoted code.
    if ["Text", "Bytes", "[", "null", "`"].iter().any(|uncounted| name.starts_with(uncounted)) {
        return name.to_owned();
    }
    let vowel = name.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']);
    if vowel { format!("an {name}") } else { format!("a {name}") }
}

#[cfg(test)]
mod tests;
