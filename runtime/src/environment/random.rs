//! Random numbers that follow from a seed, so that a simulated history can be played again.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;

/// A generator of random numbers (SplitMix64) whose seed decides all of them.
#[derive(Debug, Clone)]
pub struct SeededRandom(SplitMix64);

impl SeededRandom {
    /// The generator of this seed.
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom(SplitMix64::seed_from_u64(seed))
    }

    /// Any number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True with a probability of one in `bound`.
    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    /// One of the choices, of which there is at least one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_of_earlier_failures_go_on_meaning_the_same_histories() {
        // The first outputs of SplitMix64 for the seed 1234567, as published by its authors.
        let mut random = SeededRandom::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }
}
