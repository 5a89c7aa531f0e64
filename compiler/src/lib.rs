//! The Weir compiler: names, types, checks, diagnostics and lowering to a plan.
