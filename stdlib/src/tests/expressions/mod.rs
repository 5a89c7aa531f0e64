//! Expressions of programs, through the compiler and the runtime.

mod examples;
mod functions;
mod program;
mod random;
mod slow;
mod table;
mod value;
