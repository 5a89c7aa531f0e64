//! The time of a check grows in proportion to the length of the program.

use std::time::{Duration, Instant};

use weir_compiler::{Library, Options, analyse, lower};

use crate::fixtures::library_with;
use crate::generated;

/// Returns the time of the fastest of several checks: other load on the machine only slows a check down.
fn time(text: &str, library: &Library, rounds: usize) -> Duration {
    let check = |_| {
        let start = Instant::now();
        let analysis = analyse(&("generated.flow", text), "generated.flow", library, &Options::default());
        assert!(
            lower(&analysis).is_some() && analysis.diagnostics.is_empty(),
            "{:?}",
            analysis.diagnostics.first()
        );
        start.elapsed()
    };
    (0..rounds).map(check).min().unwrap()
}

#[test]
fn time_grows_with_the_program_and_not_with_its_square() {
    let library = library_with(None);
    let (short, long) = (generated::program(500), generated::program(8_000));
    let factor = long.len() as f64 / short.len() as f64;
    let growth = || time(&long, &library, 2).div_duration_f64(time(&short, &library, 8));
    // Quadratic growth would give 256, the square of the factor: four times the factor leaves room for a busy machine.
    let grown: Vec<f64> = std::iter::repeat_with(growth).take(3).collect();
    let least = grown.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(least < 4.0 * factor, "{factor:.1} times the text takes {grown:.1?} times as long");
}
