//! Tries plans that were changed at random: each must be refused with a message, or an agent must be built of the
//! complete plan.

mod expressions;
// The programs of this module need all components.
#[cfg(all(feature = "hdfs", feature = "kafka"))]
mod settings;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Number, Value as Json};
use weir_compiler::{Library, Options, analyse, lower};
use weir_runtime::agent::Agent;
use weir_runtime::{SeededRandom, SystemClock, number_from_environment};

use crate::{library_sources, registry};

/// How many changed plans are tried for each program, unless `WEIR_MUTATIONS` is set.
const MUTATIONS: u64 = 1_500;

/// The programs whose plans are changed. They have each part of a plan at least once.
const PROGRAMS: [&str; 5] = [
    r#"source clicks = files { paths: ["/in/*.log"], mode: follow }
channel buffer = memory { capacity: 20_000 }
sink lake = files { path: "/lake/{@timestamp:%Y}/{@host}", roll: { count: 10 } }
sink again = null {}
flow main delivers at_least_once {
  clicks -> keep if @offset > 10 and not (@file == "b") -> buffer
  buffer -> copy { lake, optional again }
}
"#,
    r#"source in = generate { count: 10 }
source peers = generate { count: 10, rate: 5/s }
channel disk = file { path: "/state/channel" }
sink out = stdout {}
flow main { in -> disk -> out }
flow other { peers -> disk }
"#,
    r#"schema Click { status: Int, user: Text?, tags: [Text], price: Decimal(10, 2) }
fn large(value: Int) -> Bool { value > 100 }
source clicks = tcp_lines { bind: "127.0.0.1:9000" }
sink out = files { path: "/out", format: json }
sink wrong = null {}
flow main delivers best_effort {
  clicks
    -> parse json as Click else reject
    -> let label = user ?? "nobody"
    -> set short = if large(status) then "large" else label
    -> drop if status in [404, 500]
    -> rename price to amount
    -> unset tags
    -> out
  rejects -> wrong
}
"#,
    r#"let rates = { gold: 10, silver: 5 }
source lines = files { paths: ["/in/*.log"], mode: follow }
channel buffer = memory {}
sink out = files { path: "/out/{@day}" }
flow main {
  lines -> copy {
    let level = "level {@offset:03}"
      -> set @rate = rates[level] ?? 1
      -> drop if level in rates
      -> set @day = "{level} of {@file}"
      -> buffer
    keep if @offset > 10 -> drop
  }
  buffer -> out
}
"#,
    r#"source logs = syslog { bind: "127.0.0.1:5514" }
channel a = memory {}
channel b = memory {}
sink left = null {}
sink right = null {}
flow main delivers best_effort {
  logs -> balance { a, b }
  a -> left
  b -> right
}
"#,
];

fn library() -> Library {
    Library::parse(library_sources().iter().copied()).expect("the library is right")
}

fn plan_of(program: &str, library: &Library) -> Json {
    let analysis = analyse(&("a.flow", program), "a.flow", library, &Options::default());
    let plan = lower(&analysis).unwrap_or_else(|| panic!("{program}: {:?}", analysis.diagnostics));
    serde_json::to_value(plan).unwrap()
}

/// Collects the JSON pointers of all values.
fn pointers(json: &Json, at: &mut Vec<String>, all: &mut Vec<String>) {
    all.push(at.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect());
    let parts: Vec<(String, &Json)> = match json {
        Json::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        Json::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), field)).collect(),
        _ => Vec::new(),
    };
    for (part, json) in parts {
        at.push(part);
        pointers(json, at, all);
        at.pop();
    }
}

/// Replaces a value by another one, which may be valid there or not.
fn change(json: &mut Json, random: &mut SeededRandom, another: &Json) {
    let numbers = [0, 1, 2, 99, -1, i64::from(u32::MAX), i64::MAX, i64::MIN];
    *json = match (random.below(6), std::mem::take(json)) {
        (0, _) => another.clone(),
        (1, _) => Json::Null,
        (_, Json::Number(_)) => match random.below(4) {
            0 => Number::from_f64(0.5).map_or(Json::Null, Json::Number),
            1 => Json::from(u64::MAX),
            _ => Json::from(random.among(&numbers)),
        },
        (_, Json::Bool(truth)) => Json::Bool(!truth),
        (_, Json::String(text)) => match random.below(4) {
            0 => Json::from(""),
            1 => Json::from(format!("{text}\u{7}")),
            2 => Json::from(text.to_uppercase()),
            _ => Json::from(random.among(&["in", "buffer", "../..", "é", "main", "@host", "body", "Int64"])),
        },
        (2, Json::Array(_)) => Json::Array(Vec::new()),
        (_, Json::Array(mut items)) if !items.is_empty() => {
            let at = random.below(items.len() as u64) as usize;
            match random.below(3) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => items.swap(0, at),
            }
            Json::Array(items)
        }
        (2, Json::Object(_)) => Json::Object(Map::new()),
        (_, Json::Object(mut fields)) if !fields.is_empty() => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = &names[random.below(names.len() as u64) as usize];
            let field = fields.remove(name);
            if let (true, Some(field)) = (random.one_in(2), field) {
                fields.insert(random.among(&["name", "from", "sink", "keep", "column"]).to_owned(), field);
            }
            Json::Object(fields)
        }
        (_, same) => same,
    };
}

/// Builds an agent of a plan, and asserts that it has all components of the plan.
///
/// # Errors
/// The message with which the plan is refused.
fn build(text: &str, library: &Library) -> Result<(), String> {
    let plan = library.plan_from_json(text).map_err(|error| error.to_string())?;
    let built = Agent::build(&plan, &registry(), Arc::new(SystemClock));
    let agent = built.map_err(|error| error.to_string())?;
    let components = plan.sources.len() + plan.channels.len() + plan.sinks.len();
    assert_eq!(agent.metrics().read().components.len(), components, "a part of the pipeline is left out");
    Ok(())
}

#[test]
fn a_changed_plan_is_refused_or_an_agent_has_all_its_components() {
    let mutations = number_from_environment("WEIR_MUTATIONS").unwrap_or(MUTATIONS);
    let first = number_from_environment("WEIR_SEED").unwrap_or(0);
    let (library, mut refused) = (library(), 0);
    for plan in PROGRAMS.map(|program| plan_of(program, &library)) {
        let mut all = Vec::new();
        pointers(&plan, &mut Vec::new(), &mut all);
        assert_eq!(
            build(&plan.to_string(), &library).err().filter(|error| !error.contains("can't carry out")),
            None
        );
        for seed in first..first + mutations {
            let (mut random, mut changed) = (SeededRandom::new(seed), plan.clone());
            for _ in 0..=random.below(2) {
                let [pointer, another] = [0, 1].map(|_| &all[random.below(all.len() as u64) as usize]);
                let another = plan.pointer(another).cloned().unwrap_or_default();
                if let Some(json) = changed.pointer_mut(pointer) {
                    change(json, &mut random, &another);
                }
            }
            let text = changed.to_string();
            let result = catch_unwind(AssertUnwindSafe(|| build(&text, &library)));
            let result = result.unwrap_or_else(|_panic| panic!("WEIR_SEED={seed}: a panic\n{text}"));
            if let Err(error) = result {
                refused += 1;
                assert!(!error.contains("can't be worked with"), "WEIR_SEED={seed}: {error}\n{text}");
                assert!(error.len() > 10 && error.len() < 8_000, "WEIR_SEED={seed}: {error}\n{text}");
            }
        }
    }
    assert!(refused > mutations, "{refused} of {} are refused", 4 * mutations);
    assert!(
        !Path::new("/lake").exists() && !Path::new("/state").exists(),
        "building touches nothing outside"
    );
}
