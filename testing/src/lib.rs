//! The tests of programs: runs the real plan on the real core, with simulated sources, sinks and disks, in virtual time.
//!
//! A test runs in one thread, and all that is random follows from a seed, so the same seed gives the same result. Every source of
//! the program is replaced by a simulated one that gives what the test sends, every sink by one that keeps what it
//! receives. Channels are the real ones; a durable channel has a simulated disk.
//!
//! | module | content |
//! | --- | --- |
//! | `program` | a program that is ready to be tested |
//! | `run` | one run of a test: its acts in their order |
//! | `driver` | the agent: started, idle, killed, in virtual time |
//! | `stage`, `scene`, `endpoints` | the plan with simulated ends; the state that outlasts a crash; the sources and sinks |
//! | `sending`, `comparing`, `checks`, `promises`, `passed` | events in and out, and whether they are the right ones |
//! | `watching`, `trace`, `coverage` | what happens at each step, and what was reached |
//! | `written` | what a sink writes of events, and the events that a source makes of lines |
//! | `limits` | when a run is ended |
//! | `faults`, `mutants` | more runs of a test: with random faults, and with changed steps |
//! | `arrays`, `values` | the values of events as Arrow arrays, and back |
//! | `attempt`, `sampling` | a sample through the steps of a program, without a test; a sample from a real source |
//! | `held` | tests that hold the compiler's proofs against runs of random pipelines |
//! | `suite` | many tests at once |
//! | `outcome`, `report` | the result as data, and in words |

mod arrays;
mod attempt;
mod checks;
mod comparing;
mod coverage;
mod driver;
mod endpoints;
mod faults;
#[cfg(test)]
mod held;
mod limits;
mod mutants;
mod outcome;
mod passed;
mod program;
mod promises;
pub mod report;
mod run;
mod sampling;
mod scene;
mod sending;
mod stage;
mod suite;
mod trace;
mod values;
mod watching;
mod written;

pub use attempt::{Attempt, Tried, attempt};
pub use coverage::{Coverage, Part, ReachedPlaces};
pub use faults::run_with_faults;
pub use limits::Limits;
pub use mutants::{Mutant, Mutations};
pub use outcome::{Compared, Difference, Failure, Marked, TestResult};
pub use program::TestProgram;
pub use run::{RunSettings, run_test};
pub use sampling::{NoSample, Sample, Wanted, sample};
pub use suite::in_threads;
