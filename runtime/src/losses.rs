//! Known mistakes that can be put back: `tests/known_losses` puts each back and shows that a test fails.

/// Whether this mistake is put back. Only the build of `tests/known_losses`, which sets `cfg(weir_bug)`, contains the
/// mistakes.
#[doc(hidden)]
#[macro_export]
macro_rules! put_back {
    ($name:literal) => {{
        #[cfg(weir_bug)]
        {
            $crate::is_put_back($name)
        }
        #[cfg(not(weir_bug))]
        {
            false
        }
    }};
}

/// Whether the variable `WEIR_BUG` names this mistake.
#[cfg(weir_bug)]
pub fn is_put_back(name: &str) -> bool {
    use std::sync::LazyLock;

    static CHOSEN: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("WEIR_BUG").ok());
    CHOSEN.as_deref() == Some(name)
}
