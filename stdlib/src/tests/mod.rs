//! Tests of the library as a whole, and the set-up that tests of several sources share.

mod hostile_plans;
pub(crate) mod trial;
