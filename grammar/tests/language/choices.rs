//! Random choices that proptest can shrink: a list of numbers. After its end, the first alternative is chosen.

use proptest::collection::vec;
use proptest::prelude::*;

/// Generates lists of choices for one program.
pub(crate) fn choices() -> impl Strategy<Value = Vec<u16>> {
    vec(any::<u16>(), 0..1_500)
}

/// Returns a configuration with `PROPTEST_CASES` cases, by default `cases`. A failure is shrunk for some seconds and not
/// stored.
pub(crate) fn configuration(cases: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    let cases = wanted.and_then(|wanted| wanted.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() }
}

/// The remaining choices.
pub(crate) struct Choices<'c> {
    values: &'c [u16],
    next: usize,
}

impl<'c> Choices<'c> {
    pub(crate) fn new(values: &'c [u16]) -> Choices<'c> {
        Choices { values, next: 0 }
    }

    /// Returns a number below `end`; 0 when the choices are used up.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let value = self.values.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        usize::from(value) % end.max(1)
    }

    /// Returns true with a probability of one in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) + 1 == times
    }

    pub(crate) fn of<'v>(&mut self, values: &[&'v str]) -> &'v str {
        values[self.below(values.len())]
    }
}
