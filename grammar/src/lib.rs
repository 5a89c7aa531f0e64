//! The Weir language: source text to syntax trees, errors and canonical formatting.
