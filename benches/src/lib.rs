//! Side-by-side measurements of Weir.
