use weir_grammar::Span;

use super::Description;

/// A stage after a fork, whose branches never join again.
#[derive(Debug, Clone, PartialEq)]
pub struct AfterCopy {
    /// The stage that follows the fork.
    pub span: Span,
    /// The fork.
    pub copy: Span,
    /// The keyword of the fork: `copy`, `match`, `balance` or `failover`.
    pub word: &'static str,
}

impl AfterCopy {
    pub(super) fn describe(&self) -> Description {
        Description::new(
            format!("nothing can follow `{} {{ … }}`", self.word),
            self.span,
            "which of the branches would this follow?",
        )
        .label(self.copy, "the events have gone into these branches")
        .help(match self.word {
            "match" => {
                "write the rest of the way into an arm: `match { @x > 5 -> a -> x, _ -> b -> y }`".to_owned()
            }
            word => format!("write the rest of the way into a branch: `{word} {{ a -> x, b -> y }}`"),
        })
    }
}
