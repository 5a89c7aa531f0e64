//! Tests of the complete library, and the harness for tests of single sources.

mod agents;
mod expressions;
mod failover;
pub(crate) mod harness;
mod hostile_plans;
mod interceptors;
mod odd_inputs;
mod steps;
mod support;
