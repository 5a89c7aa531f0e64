//! Holds what the compiler derives of the simulated pipelines against what the histories check of their runs.
//!
//! Every history fails if a line is lost, and if a line of a pipeline that promises `exactly_once` comes twice or out of order. So a
//! derivation that says less than the histories check is too strict, and one that says more is not shown.

use weir_compiler::Analysis;
use weir_compiler::analysis::{Effect, KeptOrder, PathProof, Rule};
use weir_plan::Delivery;

use super::forks::{Fork, Forked, random_setup};
use super::setup::{EXPLODING, Mode, REJECTING, Rejects, SETUPS, Setup};
use super::world::simulate;
use super::{describe_failure, stop_often};

/// The histories in which a promise that is refused is broken, by the rule: the first of these seeds shows it.
const REFUSED: [(Rule, Fork); 2] = [(Rule::Balance, Fork::Balance), (Rule::Failover, Fork::Failover)];

/// The most histories that are played for a rule.
const HISTORIES_MAX: u64 = 300;

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
    assert!(!may(&analysis, Effect::Loses), "the histories lose nothing: {program}");
    // Stores keep no positions, unlike the sink `kafka` whose place they take.
    if !setup.forked.is_some_and(|forked| forked.stores) {
        assert_eq!(may(&analysis, Effect::Repeats), !setup.is_exactly_once(), "{program}");
    }
}

#[test]
fn the_compiler_derives_what_the_histories_check() {
    SETUPS.into_iter().chain(REJECTING).chain(EXPLODING).for_each(agree);
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

/// For each rule that refuses a promise, a run of the pipeline without this promise is found that breaks it.
#[test]
fn what_is_refused_breaks_in_a_run() {
    for (rule, fork) in REFUSED {
        let forked = Forked {
            fork,
            over_channels: false,
            stores: false,
            steps_in_branches: false,
            fails_cleanly: false,
        };
        let setup = Setup {
            durable: true,
            positions: true,
            mode: Mode::Follow,
            rejects: Rejects::None,
            explodes: false,
            forked: Some(forked),
        };
        let program = setup.program().replace("at_least_once", "exactly_once");
        let refused = Setup::analysis_of(&program);
        let reasons = refused.proofs.flows[0].paths.iter().flat_map(|path| &path.reasons);
        assert!(reasons.clone().any(|reason| reason.rule == rule), "{program}");
        assert_eq!(refused.proofs.flows[0].strongest, Delivery::AtLeastOnce);
        let broken = (0..HISTORIES_MAX).find(|seed| {
            let (world, outcome) = simulate(stop_often(*seed, setup, None));
            outcome.unwrap_or_else(|what| panic!("{}", describe_failure(&world, *seed, setup, &what)));
            world.has_repeated_lines()
        });
        println!("{}: broken in the history {broken:?}", rule.name());
        assert!(broken.is_some(), "no history breaks {}", rule.name());
    }
}
