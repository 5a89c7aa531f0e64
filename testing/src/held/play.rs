//! Compiles pipelines, and runs them with faults.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use arrow_array::{StringViewArray, StructArray};
use arrow_schema::{DataType, FieldRef};
use weir_compiler::analysis::{Effect, Rule};
use weir_compiler::{Analysis, Library, Options, analyse, lower_with_unread};
use weir_plan::{Plan, Table};
use weir_runtime::agent::Agent;
use weir_runtime::expressions::TableRows;
use weir_runtime::storage::Moment;
use weir_runtime::{Registry, SeededRandom};

use super::pipeline::{Pipeline, SinkKind};
use super::sinks::{Arrived, HeldSink, Store, arrived, places_of};
use super::sources::{EVENTS, HeldSource, NUMBERS, Repeats, Supply};
use crate::driver::Driver;
use crate::run::in_virtual_time;
use crate::scene::{self, Scene, SentEvent, VirtualClock};
use crate::stage::{Classes, fill_disk, with_channels, with_lineage};

/// The most stops of the machine in one run.
const STOPS_MAX: u64 = 4;

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    Library::parse(weir_stdlib::library_sources().iter().copied()).expect("the library is right")
});

thread_local! {
    /// The contents of the lookup table: each agent of a run finds other ones.
    static TABLE_VERSION: Cell<u64> = const { Cell::new(0) };
}

/// A compiled pipeline.
pub(super) struct Compiled {
    pub(super) pipeline: Pipeline,
    /// With the promises of the flows, which may be refused.
    pub(super) analysis: Analysis,
    pub(super) plan: Arc<Plan>,
    classes: Classes,
    repeats: Vec<Repeats>,
    /// The sinks that repeat events, whatever is promised.
    loose: Vec<bool>,
}

/// What came of a run.
pub(super) struct Played {
    /// What has arrived at each sink, in its order.
    pub(super) arrived: Vec<Vec<Arrived>>,
    /// Of each source, the sequence of each event.
    pub(super) sequences: Vec<Vec<usize>>,
}

/// Analyses a program.
pub(super) fn analysed(text: &str) -> Analysis {
    analyse(&("held.flow", text), "held.flow", &LIBRARY, &Options::default())
}

/// Compiles a pipeline. A refused promise is carried out all the same.
///
/// # Errors
/// When the pipeline has other errors, in words.
pub(super) fn compile(pipeline: Pipeline) -> Result<Compiled, String> {
    let analysis = analysed(&super::text_of(&pipeline));
    let refused = analysis.has_errors().then(|| analysed(&pipeline.text(&[])));
    let lowered = refused.as_ref().unwrap_or(&analysis);
    let Some(mut plan) = lower_with_unread(lowered) else {
        let errors =
            lowered.diagnostics.iter().map(|error| format!("{} {}", error.code(), error.describe().message));
        return Err(errors.collect::<Vec<_>>().join("; "));
    };
    for flow in &mut plan.flows {
        let number = flow.name.trim_start_matches('f').parse::<usize>().unwrap_or_default();
        flow.delivers = pipeline.flows[number].promise;
    }
    let classes = Classes::of(&analysis);
    let repeats =
        (0..pipeline.sources.len()).map(|number| match classes.of_component(&format!("s{number}")) {
            "fire_and_forget" => Repeats::Nothing,
            "acknowledging" => Repeats::Unanswered,
            _ => Repeats::FromPosition { lasting: !repeats_itself(&analysis, &format!("s{number}")) },
        });
    let loose = (0..pipeline.sinks.len()).map(|number| repeats_itself(&analysis, &format!("k{number}")));
    let (repeats, loose) = (repeats.collect(), loose.collect());
    Ok(Compiled { plan: Arc::new(with_lineage(plan)), pipeline, classes, repeats, loose, analysis })
}

/// Whether a component repeats events by its class or its settings.
fn repeats_itself(analysis: &Analysis, name: &str) -> bool {
    let components = &analysis.graph.components;
    let Some(component) = components.iter().find(|component| *component.declared.name == *name) else {
        return false;
    };
    let paths = analysis.proofs.flows.iter().flat_map(|flow| &flow.paths);
    let mut reasons = paths.flat_map(|path| &path.reasons);
    reasons.any(|reason| {
        matches!(reason.rule, Rule::Class | Rule::Clause)
            && reason.effects.contains(&Effect::Repeats)
            && reason.shown.place == component.declared.span
    })
}

/// The rows of the lookup table in this agent.
fn read_table(_: &Table, data_type: &DataType) -> Result<TableRows, String> {
    let version = TABLE_VERSION.get();
    let numbers = (0..2 * NUMBERS).filter(|number| (number / 2 + version).is_multiple_of(2));
    let keys = StringViewArray::from_iter_values(numbers.map(|number| number.to_string()));
    let DataType::Struct(fields) = data_type else { return Err("the rows are no records".to_owned()) };
    let column = |_: &FieldRef| Arc::new(keys.clone()) as arrow_array::ArrayRef;
    let columns = fields.iter().map(column).collect();
    let rows = StructArray::try_new(fields.clone(), columns, None).map_err(|error| error.to_string())?;
    Ok(TableRows { keys: keys.clone(), rows: Arc::new(rows) })
}

impl Compiled {
    /// Runs the pipeline with the faults of a seed.
    ///
    /// # Errors
    /// When the agent can't be built, in words.
    pub(super) fn play(&self, seed: u64) -> Result<Played, String> {
        TABLE_VERSION.set(seed);
        in_virtual_time(seed, async {
            let mut random = SeededRandom::new(seed ^ 0x00FA_0175);
            let scene = Arc::new(Scene::new(seed));
            let stores: Vec<Arc<Mutex<Store>>> = self.pipeline.sinks.iter().map(|_| Arc::default()).collect();
            let supplies = self.populate(&scene, seed);
            let registry = self.registry(&scene, &supplies, &stores).trusting_plans();
            let mut driver = Driver::new(self.plan.clone(), registry, scene.clone());
            let most = random.among(&[10, 30, 100]);
            let moments = [Moment::Before, Moment::Within, Moment::After];
            let stops =
                (0..random.below(STOPS_MAX + 1)).map(|_| (random.below(most), random.among(&moments)));
            driver = driver.with_stops(stops.collect());
            scene.fail_at_random(random.among(&[None, None, Some(3), Some(10)]));
            for channel in self.plan.channels.iter().filter(|channel| channel.kind == "file") {
                if random.one_in(8) {
                    fill_disk(&scene, &channel.name);
                }
            }
            for name in self.plan.sources.iter().map(|source| &source.name) {
                scene.fail(name, random.among(&[0, 0, 0, 1, 3]));
            }
            driver.settle().await?;
            // Sinks that failed at random go on, so that what is delayed arrives.
            scene.fail_at_random(None);
            driver.settle().await?;
            driver.kill(false).await;
            let of_source =
                |supply: &Arc<Supply>| (0..EVENTS).map(|event| supply.sequence_of(event)).collect();
            let sequences = supplies.iter().map(of_source).collect();
            Ok(Played { arrived: stores.iter().map(|store| arrived(store)).collect(), sequences })
        })
    }

    /// Builds the agent of the pipeline, as a user's agent is built.
    ///
    /// # Errors
    /// When the runtime refuses the plan, in words.
    pub(super) fn build(&self) -> Result<(), String> {
        in_virtual_time(0, async {
            let scene = Arc::new(Scene::new(0));
            let stores: Vec<Arc<Mutex<Store>>> = self.pipeline.sinks.iter().map(|_| Arc::default()).collect();
            let supplies = self.populate(&scene, 0);
            let registry = self.registry(&scene, &supplies, &stores);
            let clock = Arc::new(VirtualClock(scene));
            let built = Agent::build(&self.plan, &registry, clock);
            built.map(drop).map_err(|error| error.to_string())
        })
    }

    /// Adds the sources to the scene, in the order of their numbers.
    fn populate(&self, scene: &Arc<Scene>, seed: u64) -> Vec<Arc<Supply>> {
        let numbered = self.pipeline.sources.iter().zip(&self.repeats).enumerate();
        let supplies = numbered.map(|(number, (source, repeats))| {
            let name = format!("s{number}");
            let of_scene = match repeats {
                Repeats::Nothing => scene::Repeats::Nothing,
                _ => scene::Repeats::Undelivered,
            };
            scene.add_source(&name, of_scene);
            scene.source(&name, |state| {
                state.events = (0..EVENTS).map(|_| SentEvent { columns: BTreeMap::new() }).collect();
            });
            let number = number as u64;
            Arc::new(Supply::new(source.kind, number, *repeats, scene.clone(), seed ^ number << 32))
        });
        let supplies = supplies.collect();
        self.plan.sinks.iter().for_each(|sink| scene.sink(&sink.name, |_| {}));
        self.plan.channels.iter().for_each(|channel| scene.fail(&channel.name, 0));
        supplies
    }

    fn registry(
        &self,
        scene: &Arc<Scene>,
        supplies: &[Arc<Supply>],
        stores: &[Arc<Mutex<Store>>],
    ) -> Registry {
        let mut registry = weir_stdlib::registry().table_reader(read_table);
        for source in &self.plan.sources {
            let supplies = supplies.to_vec();
            registry = registry.source(source.kind.clone(), move |_, context| {
                TABLE_VERSION.set(TABLE_VERSION.get() + 1);
                let supply = supplies[index_of(&context.component)].clone();
                Ok(Box::new(HeldSource { supply, schema: context.schema, sequence: 0 }))
            });
        }
        for sink in &self.plan.sinks {
            let kinds: Vec<SinkKind> = self.pipeline.sinks.clone();
            let (loose, stores, scene) = (self.loose.clone(), stores.to_vec(), scene.clone());
            registry = registry.sink(sink.kind.clone(), move |settings, context| {
                let index = index_of(&context.component);
                Ok(Box::new(HeldSink {
                    name: context.component,
                    leaves_out: context.exactly_once && !loose[index],
                    holds: !matches!(kinds[index], SinkKind::Null | SinkKind::Stdout),
                    rejects: kinds[index].rejects(),
                    places: places_of(settings),
                    store: stores[index].clone(),
                    scene: scene.clone(),
                }))
            });
        }
        with_channels(registry, &self.plan, &self.classes, scene)
    }
}

/// Reads the number in the name of a source or a sink.
fn index_of(name: &str) -> usize {
    name[1..].parse().unwrap_or_default()
}
