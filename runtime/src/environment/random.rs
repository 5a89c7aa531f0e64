//! Random numbers that a seed determines, so that a simulated history can be repeated.

use std::ops::Range;

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;

/// A generator of random numbers (SplitMix64). Equal seeds give equal numbers.
#[derive(Debug, Clone)]
pub struct SeededRandom(SplitMix64);

impl SeededRandom {
    /// Makes a generator from a seed.
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom(SplitMix64::seed_from_u64(seed))
    }

    /// Returns the next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Returns true with a probability of one in `bound`.
    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    /// Returns one of the choices.
    ///
    /// # Panics
    /// When there are no choices.
    pub fn among<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

impl Default for SeededRandom {
    /// The generator of seed 0.
    fn default() -> SeededRandom {
        SeededRandom::new(0)
    }
}

/// Reads a number from the environment variable `name`: the seed of a test of histories, or how many to play.
pub fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Returns the seeds of the histories that a test plays: as many as `WEIR_HISTORIES` says, from `WEIR_SEED` on. With `WEIR_SEED` alone
/// there is one, and with neither there are `usual`, from 0 on.
pub fn seeds_from_environment(usual: u64) -> Range<u64> {
    let (first, count) = (number_from_environment("WEIR_SEED"), number_from_environment("WEIR_HISTORIES"));
    let count = count.unwrap_or(if first.is_some() { 1 } else { usual });
    let first = first.unwrap_or(0);
    first..first + count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_in_every_version() {
        // The first outputs of SplitMix64 for the seed 1234567, as published by its authors.
        let mut random = SeededRandom::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }
}
