//! Pairs of runs, and their reports.

use std::time::Duration;

/// The events and bytes of one run, and its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

impl Run {
    pub(crate) fn events_per_second(self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn megabytes_per_second(self) -> f64 {
        self.bytes as f64 / self.took.as_secs_f64() / 1e6
    }
}

/// Runs both alternately, and prints each pair and then the medians.
///
/// # Errors
/// When a run fails.
pub(crate) fn pairs<E>(
    rounds: usize,
    bare_name: &str,
    mut weir: impl FnMut() -> Result<Run, E>,
    mut bare: impl FnMut() -> Result<Run, E>,
) -> Result<(), E> {
    let mut ratios = Vec::new();
    let (mut weirs, mut bares) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (ours, theirs) = (weir()?, bare()?);
        let ratio = ours.events_per_second() / theirs.events_per_second();
        let name = if round == 0 { "warm-up".to_owned() } else { format!("pair {round}") };
        println!("{name:8}  weir {}   {bare_name} {}   ratio {ratio:.2}", rates(ours), rates(theirs));
        if round > 0 {
            ratios.push(ratio);
            weirs.push(ours);
            bares.push(theirs);
        }
    }
    let by_rate = |one: &Run, other: &Run| one.events_per_second().total_cmp(&other.events_per_second());
    weirs.sort_by(by_rate);
    bares.sort_by(by_rate);
    ratios.sort_by(f64::total_cmp);
    if let (Some(ours), Some(theirs)) = (weirs.get(rounds / 2), bares.get(rounds / 2)) {
        println!(
            "median    weir {}   {bare_name} {}   ratio {:.2} ({:.2} to {:.2})",
            rates(*ours),
            rates(*theirs),
            ratios[rounds / 2],
            ratios[0],
            ratios[rounds - 1],
        );
    }
    Ok(())
}

fn rates(run: Run) -> String {
    format!("{:6.2} M events/s {:7.1} MB/s", run.events_per_second() / 1e6, run.megabytes_per_second())
}
