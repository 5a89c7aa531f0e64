//! Holds what the compiler derives of the simulated pipelines against what the histories check of their runs.
//!
//! Every history fails if a line is lost, and if a line of a pipeline that promises `exactly_once` comes twice or out of order. So a
//! derivation that says less than the histories check is too strict, and one that says more is not shown.

use weir_compiler::Analysis;
use weir_compiler::analysis::{Effect, KeptOrder, PathProof, Reason, Rule};

use super::forks::random_setup;
use super::setup::{EXPLODING, MEETING, REJECTING, SETUPS, Setup};

fn paths(analysis: &Analysis) -> &[PathProof] {
    &analysis.proofs.flows[0].paths
}

fn may(analysis: &Analysis, effect: Effect) -> bool {
    let applies = |path: &PathProof| path.because(effect).any(|reason| reason.rule != Rule::NotPromised);
    paths(analysis).iter().any(applies)
}

/// Checks that the compiler derives of a pipeline what its histories check.
fn agree(setup: Setup) {
    let analysis = setup.analysis();
    let program = setup.program();
    assert!(!analysis.has_errors(), "{program}\n{:?}", analysis.diagnostics);
    // Some forks lose what they have taken for known, if positions are stored.
    let applies = |reason: &Reason| {
        reason.rule != Rule::NotPromised && (!reason.with_positions || setup.is_exactly_once())
    };
    let loses = paths(&analysis).iter().any(|path| path.because(Effect::Loses).any(applies));
    assert!(!loses, "the histories lose nothing: {program}");
    // Stores keep no positions, unlike the sink `kafka` whose place they take.
    if !setup.forked.is_some_and(|forked| forked.stores) {
        assert_eq!(may(&analysis, Effect::Repeats), !setup.is_exactly_once(), "{program}");
    }
}

#[test]
fn the_compiler_derives_what_the_histories_check() {
    SETUPS.into_iter().chain(REJECTING).chain(EXPLODING).chain(MEETING).for_each(agree);
    (0..1_000).for_each(|seed| agree(random_setup(seed, seed % 2 == 0)));
}

/// The lines of a file are in their order in the directory of its name if the channel keeps the name.
#[test]
fn the_order_that_is_derived_is_the_one_that_the_histories_check() {
    for setup in SETUPS {
        let analysis = setup.analysis();
        let order = &paths(&analysis)[0].order;
        let expected = match setup.durable {
            true => KeptOrder::Partition(Vec::new()),
            // A line that is read again is in the directory of the name that its file has by then.
            false => KeptOrder::None,
        };
        assert_eq!(*order, expected, "{}", setup.program());
    }
}
