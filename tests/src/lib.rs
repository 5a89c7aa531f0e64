//! End-to-end, crash and tidiness tests of Weir.
