//! Why a channel's directory is not opened.

use thiserror::Error;

use super::survey::SurveyError;

/// Why a channel could not be opened. No event was changed or removed. After an error of the disk, opening can be
/// repeated.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process uses the directory.
    #[error(
        "{place} is in use by {holder}; stop that agent first, or give this channel a directory of its own"
    )]
    InUse {
        /// The directory.
        place: String,
        /// The note of this process.
        holder: String,
    },
    /// The directory can't be read as a channel.
    #[error("{place}: {error}; nothing was changed or skipped{}", advice(error))]
    Survey {
        /// The directory.
        place: String,
        /// Why.
        #[source]
        error: SurveyError,
    },
    /// The same, and no segment has a header that a repair could begin with.
    #[error(
        "{place}: {error}; nothing was changed or skipped. None of its segments has a header that can be read, so a repair would keep nothing: put a copy of the directory back, or remove {place} to begin with an empty channel, after which what waited in it is lost"
    )]
    NothingReadable {
        /// The directory.
        place: String,
        /// Why.
        #[source]
        error: SurveyError,
    },
    /// The directory holds events of another pipeline.
    #[error(
        "{place} belongs to `{found}`, and this is `{wanted}`; its events are safe: give this channel a directory of its own, or the old name back"
    )]
    OtherPipeline {
        /// The directory.
        place: String,
        /// The pipeline of the events.
        found: String,
        /// The pipeline that is opening the directory.
        wanted: String,
    },
    /// The directory keeps events for a reader that the pipeline does not have.
    #[error(
        "{place} keeps {events} events for the reader `{reader}`, which this pipeline does not have; bring it back, or run `weir channel forget-reader {place} {reader}`"
    )]
    VanishedReader {
        /// The directory.
        place: String,
        /// The reader's name.
        reader: String,
        /// The number of these events.
        events: u64,
    },
    /// The events have a schema that the pipeline can't take.
    #[error(
        "{place} holds events that this pipeline can't take: {what}; let the old pipeline drain it first, its events are safe"
    )]
    Schema {
        /// The directory.
        place: String,
        /// The difference.
        what: String,
    },
    /// The disk failed.
    #[error("{place}: {what}")]
    Io {
        /// The directory.
        place: String,
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

pub(super) fn is_damage(error: &SurveyError) -> bool {
    matches!(error, SurveyError::Damaged(_) | SurveyError::NoSuperblock)
}

/// Returns what the user can do about the error.
pub(super) fn advice(error: &SurveyError) -> &'static str {
    match error {
        error if is_damage(error) => {
            "; `weir channel verify` shows all that is damaged, `weir channel repair` says what it can go on with"
        }
        SurveyError::Version { .. } | SurveyError::Features { .. } => {
            "; let the version drain it that made it"
        }
        _ => "",
    }
}
