//! Makes a pipeline smaller while a run of it still shows the same.

use super::pipeline::{Chain, ChannelKind, Overflow, Pipeline, SinkKind};
use super::play::{Compiled, compile};

/// The runs that are tried for each smaller pipeline.
const RUNS: u64 = 12;

/// Returns a smaller pipeline of which a run fulfils `shows`, and the seed of this run.
pub(super) fn shrink(
    pipeline: Pipeline,
    run: u64,
    shows: &dyn Fn(&Compiled, u64) -> bool,
) -> (Pipeline, u64) {
    let (mut smallest, mut seed) = (pipeline, run);
    loop {
        let smaller = smaller(&smallest).into_iter().find_map(|candidate| {
            let compiled = compile(candidate).ok()?;
            let shown = std::iter::once(seed).chain(0..RUNS).find(|run| shows(&compiled, *run))?;
            Some((compiled.pipeline, shown))
        });
        match smaller {
            Some(found) => (smallest, seed) = found,
            None => return (smallest, seed),
        }
    }
}

/// Returns the pipelines that one change makes smaller.
fn smaller(pipeline: &Pipeline) -> Vec<Pipeline> {
    let mut found = Vec::new();
    if pipeline.sources.len() > 1 {
        for kept in 0..pipeline.sources.len() {
            let sources = vec![pipeline.sources[kept].clone()];
            found.push(Pipeline { sources, ..pipeline.clone() });
        }
    }
    for index in 0.. {
        let (mut changed, mut left) = (pipeline.clone(), index);
        let Pipeline { sources, channels, flows, .. } = &mut changed;
        let chains = sources.iter_mut().map(|source| &mut source.chain);
        let chains = chains.chain(channels.iter_mut().map(|channel| &mut channel.chain));
        let mut chains = chains.chain(flows.iter_mut().map(|flow| &mut flow.rejects));
        if !chains.any(|chain| change(chain, &mut left)) {
            break;
        }
        if changed.text(&[]) != pipeline.text(&[]) {
            found.push(changed);
        }
    }
    let reached = pipeline.reached();
    for (index, kind) in pipeline.channels.iter().map(|channel| channel.kind).enumerate() {
        if reached.channels[index] && kind != ChannelKind::Memory(Overflow::Wait) {
            let mut changed = pipeline.clone();
            changed.channels[index].kind = ChannelKind::Memory(Overflow::Wait);
            found.push(changed);
        }
    }
    for (index, kind) in pipeline.sinks.iter().enumerate() {
        if reached.sinks[index] && *kind != SinkKind::Files {
            let mut changed = pipeline.clone();
            changed.sinks[index] = SinkKind::Files;
            found.push(changed);
        }
    }
    found
}

/// Makes the change with this number to a chain: removes a step, or replaces a fork by one of its branches. Returns whether
/// the chain had so many changes.
fn change(chain: &mut Chain, left: &mut usize) -> bool {
    let steps = chain.steps.len();
    if *left < steps {
        chain.steps.remove(*left);
        return true;
    }
    *left -= steps;
    let branches = chain.to.chains().len();
    if *left < branches {
        let Chain { steps, to } = chain.to.chains()[*left].clone();
        chain.steps.extend(steps);
        chain.to = to;
        return true;
    }
    *left -= branches;
    chain.to.chains_mut().into_iter().any(|branch| change(branch, left))
}
