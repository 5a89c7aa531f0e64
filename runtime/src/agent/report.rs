//! The closing report: the counts of each component.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::observability::meter::{Phase, Reading, RuleReading, StepReading};
use crate::observability::metrics::{ComponentSnapshot, Metrics};
use crate::observability::role::Role;

/// The counts of one component.
#[derive(Debug, Clone)]
pub struct ComponentReport {
    /// The component's name.
    pub name: Arc<str>,
    /// The component's kind in the library.
    pub kind: String,
    /// The component's role.
    pub role: Role,
    /// Events that came in.
    pub received: Reading,
    /// Events that came out of its steps; 0 for a channel.
    pub processed: Reading,
    /// Events that were delivered.
    pub delivered: Reading,
    /// Events that its steps dropped on purpose.
    pub dropped: Reading,
    /// Events that its steps rejected.
    pub rejected: Reading,
    /// Its steps, in the order of the path.
    pub steps: Vec<StepReading>,
    /// The rules of qualities that its steps have applied.
    pub quality: Vec<RuleReading>,
    /// Events that a channel still holds.
    pub held: u64,
    /// The number of restarts after failures.
    pub restarts: u64,
    /// The component's notes and counters, one line each.
    pub notes: Vec<String>,
    /// The failure that ended the component; none if it has not failed for good.
    pub failure: Option<String>,
}

/// The report of a run, sources first.
#[derive(Debug, Clone)]
pub struct Report {
    /// The duration of the run.
    pub elapsed: Duration,
    /// The components of the program.
    pub components: Vec<ComponentReport>,
    /// The troubles that were open at the end, a line each.
    pub troubles: Vec<String>,
}

impl From<ComponentSnapshot> for ComponentReport {
    fn from(snapshot: ComponentSnapshot) -> ComponentReport {
        let ComponentSnapshot { role, name, kind, received, processed, delivered, restarts, .. } = snapshot;
        let ComponentSnapshot { dropped, rejected, steps, quality, .. } = snapshot;
        let counters = snapshot.counters.iter().map(|(counter, value)| format!("{counter}: {value}"));
        let notes = snapshot.notes.iter().map(|(key, text)| format!("{key}: {text}"));
        let failed = snapshot.phase == Phase::Failed;
        let failure = snapshot.last_error.filter(|_| failed).map(|error| error.message);
        ComponentReport {
            name,
            kind,
            role,
            received,
            processed,
            delivered,
            dropped,
            rejected,
            steps,
            quality,
            held: snapshot.channel.map_or(0, |channel| channel.events),
            restarts,
            notes: notes.chain(counters).collect(),
            failure,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Source => "source",
            Role::Channel => "channel",
            Role::Sink => "sink",
        })
    }
}

/// A column of the table.
struct Column {
    head: &'static str,
    /// The text of each component's cell; empty where it has none.
    cells: Vec<String>,
    /// When the table is too wide, columns with high ranks are left out first; rank 0 always stays.
    rank: u8,
    /// Whether the column is left out if all its cells are empty.
    optional: bool,
}

impl Column {
    fn width(&self) -> usize {
        self.cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0).max(self.head.len())
    }
}

/// Space between two columns.
const GAP: usize = 2;

impl Report {
    /// Makes the report of a run up to now.
    pub fn of(metrics: &Metrics) -> Report {
        let snapshot = metrics.read();
        Report {
            elapsed: Duration::from_secs_f64(snapshot.uptime_seconds),
            components: snapshot.components.into_iter().map(ComponentReport::from).collect(),
            troubles: metrics.troubles(),
        }
    }

    /// Formats a table with a line for each component and its notes below. Columns are left out until the table is at
    /// most `width` characters wide, if that suffices.
    pub fn table(&self, width: usize) -> String {
        let name = |component: &ComponentReport| format!("{} = {}", component.name, component.kind);
        let names: Vec<String> = self.components.iter().map(name).collect();
        let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(9);
        let mut columns = self.columns();
        columns.retain(|column| !column.optional || column.cells.iter().any(|cell| !cell.is_empty()));
        let mut wide =
            7 + GAP + name_width + columns.iter().map(|column| GAP + column.width()).sum::<usize>();
        while wide > width {
            let last = columns.iter().enumerate().max_by_key(|(_, column)| column.rank);
            let Some((index, _)) = last.filter(|(_, column)| column.rank > 0) else { break };
            wide -= GAP + columns.remove(index).width();
        }
        let mut text = format!("{:7}  {:name_width$}", "", "component");
        for column in &columns {
            text.push_str(&format!("  {:>1$}", column.head, column.width()));
        }
        text.push('\n');
        for (row, (component, name)) in self.components.iter().zip(&names).enumerate() {
            let mut line = format!("{:7}  {name:name_width$}", component.role);
            for column in &columns {
                line.push_str(&format!("  {:>1$}", column.cells[row], column.width()));
            }
            text.push_str(line.trim_end());
            text.push('\n');
            for note in &component.notes {
                text.push_str(&format!("{:9}  {note}\n", ""));
            }
        }
        text.push_str(&format!("ran for {:.1} s", self.elapsed.as_secs_f64()));
        text
    }

    fn columns(&self) -> Vec<Column> {
        let column = |head, rank, optional, cell: &dyn Fn(&ComponentReport) -> Option<String>| Column {
            head,
            cells: self.components.iter().map(|component| cell(component).unwrap_or_default()).collect(),
            rank,
            optional,
        };
        let nonzero = |count: u64| (count > 0).then(|| grouped(count));
        vec![
            column("received", 0, false, &|component| Some(grouped(component.received.events))),
            column("processed", 3, false, &|component| {
                (component.role != Role::Channel).then(|| grouped(component.processed.events))
            }),
            column("delivered", 0, false, &|component| Some(grouped(component.delivered.events))),
            column("dropped", 1, true, &|component| nonzero(component.dropped.events)),
            column("rejected", 1, true, &|component| nonzero(component.rejected.events)),
            column("held", 1, true, &|component| nonzero(component.held)),
            column("restarts", 1, true, &|component| nonzero(component.restarts)),
            column("delivered bytes", 4, false, &|component| {
                Some(bytes_text(component.delivered.bytes as f64))
            }),
            column("events/s", 2, false, &|component| {
                Some(grouped(self.rate(component.delivered.events) as u64))
            }),
            column("bytes/s", 5, false, &|component| {
                Some(format!("{}/s", bytes_text(self.rate(component.delivered.bytes))))
            }),
        ]
    }

    /// Formats a table of the rules of qualities, with the first event that broke each; none if no rule was applied.
    pub fn quality_table(&self) -> Option<String> {
        let rows = self.components.iter().flat_map(|component| {
            component.quality.iter().map(|rule| {
                let RuleReading { quality, rule, checked, broken, first_broken } = rule;
                let name = format!("{quality}: {rule}");
                let example = first_broken.clone().unwrap_or_default();
                vec![component.name.to_string(), name, grouped(*checked), grouped(*broken), example]
            })
        });
        aligned(
            &["component", "rule", "checked", "broken", "first broken"],
            [false, false, true, true, false],
            rows,
        )
    }

    /// Formats a table of what each step did and how long it took; none if there are no steps.
    pub fn steps_table(&self) -> Option<String> {
        let rows = self.components.iter().flat_map(|component| {
            component.steps.iter().map(|step| {
                let StepReading { step, received, passed, dropped, rejected, seconds } = step;
                let nanos = seconds * 1e9 / (*received).max(1) as f64;
                vec![
                    component.name.to_string(),
                    step.to_string(),
                    grouped(*received),
                    grouped(*passed),
                    grouped(*dropped),
                    grouped(*rejected),
                    format!("{seconds:.3}"),
                    format!("{nanos:.0}"),
                ]
            })
        });
        let heads = ["component", "step", "in", "out", "dropped", "rejected", "seconds", "ns/event"];
        aligned(&heads, [false, false, true, true, true, true, true, true], rows)
    }

    fn rate(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64().max(1e-3)
    }
}

/// The table with all columns.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table(usize::MAX))
    }
}

/// Formats rows as a table; the columns for which `right` is true are aligned to the right. None without rows.
fn aligned<const COLUMNS: usize>(
    heads: &[&str; COLUMNS],
    right: [bool; COLUMNS],
    rows: impl Iterator<Item = Vec<String>>,
) -> Option<String> {
    let mut all = vec![heads.map(str::to_owned).to_vec()];
    all.extend(rows);
    if all.len() == 1 {
        return None;
    }
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let lines = all.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(column, cell)| match right[column] {
            true => format!("{cell:>0$}", widths[column]),
            false => format!("{cell:<0$}", widths[column]),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// Formats a number with a space between groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of bytes in the largest binary unit in which it is at least 1.
pub fn bytes_text(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_bytes_have_units() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(bytes_text(1023.0), "1023 B");
        assert_eq!(bytes_text(1536.0), "1.5 KiB");
        assert_eq!(bytes_text(3.0 * 1024f64.powi(4)), "3.0 TiB");
    }

    fn report() -> Report {
        let reading = |events| Reading { events, bytes: events * 100 };
        let component = |role, name: &str, events| ComponentReport {
            name: name.into(),
            kind: "some".to_owned(),
            role,
            received: reading(events),
            processed: reading(events - 10),
            delivered: reading(events / 2),
            dropped: reading(if role == Role::Sink { 10 } else { 0 }),
            rejected: Reading::default(),
            steps: Vec::new(),
            quality: Vec::new(),
            held: if role == Role::Channel { 1_000 } else { 0 },
            restarts: 0,
            notes: Vec::new(),
            failure: None,
        };
        let mut components = vec![
            component(Role::Source, "in", 2_000_000),
            component(Role::Channel, "buffer", 2_000_000),
            component(Role::Sink, "everything", 1_000_000),
        ];
        components[2].notes = vec!["wrote: 3 files".to_owned()];
        Report { elapsed: Duration::from_secs(10), components, troubles: Vec::new() }
    }

    #[test]
    fn empty_columns_are_left_out() {
        let expected = "         component           received  processed  delivered  dropped   held  delivered bytes  events/s    bytes/s
source   in = some          2 000 000  1 999 990  1 000 000                         95.4 MiB   100 000  9.5 MiB/s
channel  buffer = some      2 000 000             1 000 000           1 000         95.4 MiB   100 000  9.5 MiB/s
sink     everything = some  1 000 000    999 990    500 000       10                47.7 MiB    50 000  4.8 MiB/s
           wrote: 3 files
ran for 10.0 s";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn rules_and_steps_have_tables_of_their_own() {
        let mut report = report();
        assert_eq!((report.quality_table(), report.steps_table()), (None, None));
        let (quality, rule) = ("sane".to_owned(), "known".to_owned());
        let first_broken = Some("{\"status\":7}".to_owned());
        report.components[2].quality =
            vec![RuleReading { quality, rule, checked: 1_000, broken: 2, first_broken }];
        let mut step = StepReading::new(&"parse json".into());
        (step.received, step.passed, step.rejected, step.seconds) = (1_000, 998, 2, 0.001);
        report.components[0].steps = vec![step];
        let expected = "component   rule         checked  broken  first broken
everything  sane: known    1 000       2  {\"status\":7}";
        assert_eq!(report.quality_table().as_deref(), Some(expected));
        let expected = "component  step           in  out  dropped  rejected  seconds  ns/event
in         parse json  1 000  998        0         2    0.001      1000";
        assert_eq!(report.steps_table().as_deref(), Some(expected));
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns() {
        for width in [60, 72, 80, 100, 120] {
            let table = report().table(width);
            let widest = table.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{width}\n{table}");
            assert!(table.contains("received  delivered") || width > 60, "{table}");
        }
        assert!(report().table(1).contains("received  delivered"), "what matters most stays");
    }
}
