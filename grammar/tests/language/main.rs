//! The language as a whole: what is read, what is printed, and what mistakes do.

#![allow(missing_docs, clippy::unwrap_used)]

mod canonical;
mod choices;
mod format;
mod layout;
mod mistakes;
mod program;
mod robustness;
mod slips;
mod tree;
