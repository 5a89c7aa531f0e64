//! The totals of what a sink has written, for the metrics and the closing report.

use weir_runtime::Meter;

use super::file::Completed;
use super::scheduler::CloseReason;

/// Sums over all runs of the sink.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// The directory of the files.
    root: String,
    files: u64,
    bytes: u64,
    breaks: u64,
}

impl Totals {
    /// Returns sums of zero for files under this directory.
    pub(super) fn under(root: &str) -> Totals {
        Totals { root: root.to_string(), ..Totals::default() }
    }

    /// Adds a file, and counts it in the meter.
    pub(super) fn add(&mut self, completed: &Completed, reason: CloseReason, meter: &Meter) {
        self.files += 1;
        self.bytes += completed.size;
        self.breaks += completed.breaks;
        meter.count("files_written", 1);
        meter.count("bytes_written", completed.size);
        match reason {
            CloseReason::Due => {}
            CloseReason::Early => meter.count("files_closed_early", 1),
            CloseReason::Peers => meter.count("files_closed_for_peers", 1),
        }
        let files = if self.files == 1 { "file" } else { "files" };
        meter.note("wrote", format!("{} {files}, {}, under {}", self.files, size(self.bytes), self.root));
        if completed.breaks > 0 {
            meter.count("line_breaks_in_bodies", completed.breaks);
            let note =
                format!("{} line breaks within bodies, each of which begins another line", self.breaks);
            meter.note("lines", note);
        }
    }
}

/// Formats a size for people: `31.2 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_formatted_with_one_decimal() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(32_715_571), "31.2 MiB");
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
    }
}
