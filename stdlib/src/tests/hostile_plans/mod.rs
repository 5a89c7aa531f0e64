//! Plans that somebody has changed: each is refused with what is wrong, or an agent is built of the whole of it.

// Its programs have all components.
#[cfg(all(feature = "hdfs", feature = "kafka"))]
mod settings;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Number, Value as Json};
use weir_compiler::{Library, Options, compile};
use weir_runtime::agent::Agent;
use weir_runtime::{SeededRandom, SystemClock, number_from_environment};

use crate::{library_sources, registry};

/// How many plans are tried of each program; `WEIR_MUTATIONS` says otherwise.
const MUTATIONS: u64 = 1_500;

/// Programs whose plans are changed: the parts that an agent is built of, each at least once.
const PROGRAMS: [&str; 4] = [
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
    let compiled = compile(&("a.flow", program), "a.flow", library, &Options::default());
    let plan = compiled.plan.unwrap_or_else(|| panic!("{program}: {:?}", compiled.diagnostics));
    serde_json::to_value(plan).unwrap()
}

/// All places of a text, each with the keys and indices that lead to it.
fn places(json: &Json, at: &mut Vec<String>, all: &mut Vec<String>) {
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
        places(json, at, all);
        at.pop();
    }
}

/// Changes a value into one that may stand there, or not.
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

/// What comes of a plan: nothing if it is refused, or how many components the agent has that it says.
fn outcome(text: &str, library: &Library) -> Result<(), String> {
    let plan = library.plan_from_json(text).map_err(|error| error.to_string())?;
    let built = Agent::build(&plan, &registry(), Arc::new(SystemClock));
    let agent = built.map_err(|error| error.to_string())?;
    let components = plan.sources.len() + plan.channels.len() + plan.sinks.len();
    assert_eq!(agent.metrics().read().components.len(), components, "a part of the pipeline is left out");
    Ok(())
}

#[test]
fn a_plan_that_was_changed_is_refused_or_run_as_a_whole() {
    let mutations = number_from_environment("WEIR_MUTATIONS").unwrap_or(MUTATIONS);
    let first = number_from_environment("WEIR_SEED").unwrap_or(0);
    let (library, mut refused) = (library(), 0);
    for plan in PROGRAMS.map(|program| plan_of(program, &library)) {
        let mut all = Vec::new();
        places(&plan, &mut Vec::new(), &mut all);
        assert_eq!(
            outcome(&plan.to_string(), &library).err().filter(|error| !error.contains("can't carry out")),
            None
        );
        for seed in first..first + mutations {
            let (mut random, mut changed) = (SeededRandom::new(seed), plan.clone());
            for _ in 0..=random.below(2) {
                let [place, another] = [0, 1].map(|_| &all[random.below(all.len() as u64) as usize]);
                let another = plan.pointer(another).cloned().unwrap_or_default();
                if let Some(json) = changed.pointer_mut(place) {
                    change(json, &mut random, &another);
                }
            }
            let text = changed.to_string();
            let came = catch_unwind(AssertUnwindSafe(|| outcome(&text, &library)));
            let came = came.unwrap_or_else(|_panic| panic!("WEIR_SEED={seed}: a panic\n{text}"));
            if let Err(error) = came {
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
