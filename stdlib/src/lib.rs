//! The component library of Weir: signatures in the language beside their implementations.
