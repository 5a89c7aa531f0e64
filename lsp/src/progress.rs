//! The progress of the first check of a large workspace.

use gen_lsp_types::{
    Notification as _, ProgressNotification, ProgressParams, WorkDoneProgressBegin,
    WorkDoneProgressCreateParams, WorkDoneProgressEnd, WorkDoneProgressReport,
};
use lsp_server::Notification;
use serde_json::{Value, json};

/// The fewest programs for which progress is shown.
const PROGRAMS_MIN: usize = 20;

/// The programs between two reports.
const STEP: usize = 10;

const TOKEN: &str = "weir/check";

/// The progress as the client knows it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The number of programs to check; zero without a running progress.
    total: usize,
    reported: usize,
}

impl Progress {
    /// Returns the parameters of the request that creates the progress, if there are many programs.
    pub(crate) fn create(&self, programs: usize) -> Option<Value> {
        let params = WorkDoneProgressCreateParams { token: TOKEN.into() };
        (programs >= PROGRAMS_MIN).then(|| serde_json::to_value(params).unwrap_or_default())
    }

    /// Begins the progress, unless the work is done already.
    pub(crate) fn begin(&mut self, left: usize) -> Option<Notification> {
        if left == 0 {
            return None;
        }
        (self.total, self.reported) = (left, 0);
        let begin = WorkDoneProgressBegin {
            title: "checking programs".to_owned(),
            percentage: Some(0),
            ..WorkDoneProgressBegin::default()
        };
        Some(sent("begin", serde_json::to_value(begin)))
    }

    /// Returns the report or the end of the progress, if it is due.
    pub(crate) fn advance(&mut self, left: usize) -> Option<Notification> {
        if self.total == 0 {
            return None;
        }
        if left == 0 {
            self.total = 0;
            return Some(sent("end", serde_json::to_value(WorkDoneProgressEnd { message: None })));
        }
        let done = self.total.saturating_sub(left);
        if done < self.reported + STEP {
            return None;
        }
        self.reported = done;
        let report = WorkDoneProgressReport {
            message: Some(format!("{done} of {}", self.total)),
            percentage: Some((done * 100 / self.total) as u32),
            ..WorkDoneProgressReport::default()
        };
        Some(sent("report", serde_json::to_value(report)))
    }
}

fn sent(kind: &str, value: serde_json::Result<Value>) -> Notification {
    let mut value = value.unwrap_or_default();
    value["kind"] = json!(kind);
    let params = ProgressParams { token: TOKEN.into(), value };
    let params = serde_json::to_value(params).unwrap_or_default();
    Notification { method: ProgressNotification::METHOD.as_str().to_owned(), params }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_begins_reports_and_ends() {
        let mut progress = Progress::default();
        assert_eq!(progress.create(PROGRAMS_MIN - 1), None);
        assert!(progress.create(PROGRAMS_MIN).is_some());
        assert!(progress.begin(0).is_none(), "nothing is left");
        let kind = |sent: Option<Notification>| sent.map(|sent| sent.params["value"]["kind"].clone());
        assert_eq!(kind(progress.begin(25)), Some(json!("begin")));
        assert_eq!(kind(progress.advance(24)), None);
        assert_eq!(kind(progress.advance(15)), Some(json!("report")));
        assert_eq!(kind(progress.advance(0)), Some(json!("end")));
        assert_eq!(kind(progress.advance(0)), None);
    }
}
