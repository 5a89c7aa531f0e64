//! The most memory and disk space that a program takes: as text for people and as JSON for programs.

use serde::Serialize;

use super::kind_in_words;
use crate::analysis::Analysis;
use crate::analysis::resources::{Amounts, Bridged, Part, Rates, Resource, Resources, WrittenFiles};
use crate::names::scopes::ComponentIndex;
use crate::proofs::resources::components_of;
use crate::spelling::bytes_in_words;

/// Renders the amounts as text: those of the program, of its components with their parts, and of its flows.
pub(super) fn text(analysis: &Analysis) -> String {
    let resources = &analysis.proofs.resources;
    if resources.components.is_empty() {
        return String::new();
    }
    let sums = |sum: &dyn Fn(Resource) -> u64| in_words(sum(Resource::Memory), sum(Resource::Disk));
    let mut text = format!("{} takes at most {}", analysis.program, sums(&|of| resources.sum(of)));
    for resource in Resource::ALL {
        if let Some(allowed) = allowed(analysis, resource) {
            text += &format!(", of {} {} allowed", bytes_in_words(allowed), resource.name());
        }
    }
    text += if resources.complete { "\n" } else { ", without the components with errors\n" };
    text += &block("the process", &resources.process);
    for of in &resources.components {
        let component = &analysis.graph.components[of.component];
        let kind = kind_in_words(component).unwrap_or_default();
        text += &block(&format!("{} ({kind})", component.declared.name), &of.amounts);
    }
    if analysis.graph.flows.len() > 1 {
        for (index, flow) in analysis.graph.flows.iter().enumerate() {
            let components = components_of(&analysis.graph, index);
            let sums = sums(&|of| resources.sum_of(&components, of));
            text += &format!("  flow {}: {sums} with the components that it shares\n", flow.name);
        }
    }
    text + &rates(analysis)
}

/// Returns the lines about what follows from the expected rates of sources.
fn rates(analysis: &Analysis) -> String {
    let Rates { bridged, files } = &analysis.proofs.resources.rates;
    if bridged.is_empty() && files.is_empty() {
        return String::new();
    }
    let name = |component: ComponentIndex| &*analysis.graph.components[component].declared.name;
    let mut text = "  at the expected rates\n".to_owned();
    for Bridged { channel, sources, seconds } in bridged {
        let sources: Vec<String> = sources.iter().map(|source| format!("`{}`", name(*source))).collect();
        let (time, sources) = (time_in_words(*seconds), sources.join(" and "));
        text += &format!("    `{}` holds {time} of {sources}\n", name(*channel));
    }
    for WrittenFiles { sink, each_hour, bytes } in files {
        let (count, size) = (count_in_words(*each_hour), bytes_in_words(*bytes));
        text += &format!("    `{}` writes {count} of about {size}\n", name(*sink));
    }
    text
}

/// Returns a number of files in words: `about 12 files an hour`.
fn count_in_words(each_hour: f64) -> String {
    match each_hour {
        count if count >= 1.5 => format!("about {count:.0} files an hour, each"),
        count if count >= 0.75 => "about one file an hour".to_owned(),
        count => format!("a file each {}", time_in_words((3_600.0 / count) as u64)),
    }
}

/// Returns a time in its two largest units, rounded down: `4h 38min`.
fn time_in_words(seconds: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = UNITS.iter().position(|(_, unit)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let mut left = seconds;
    let parts = UNITS[first..].iter().take(2).filter_map(|(name, unit)| {
        let count = left / unit;
        left %= unit;
        (count > 0 || seconds == 0).then(|| format!("{count}{name}"))
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// Returns the lines of a component: its sums, and the parts of them.
fn block(name: &str, amounts: &Amounts) -> String {
    let mut text =
        format!("  {name}: {}\n", in_words(amounts.sum(Resource::Memory), amounts.sum(Resource::Disk)));
    for resource in Resource::ALL {
        for part in amounts.parts(resource) {
            text +=
                &format!("    {:>9} {:6}  {}\n", bytes_in_words(part.bytes), resource.name(), part.because);
        }
    }
    text
}

/// Returns an amount of memory and one of disk space in words.
pub(super) fn in_words(memory: u64, disk: u64) -> String {
    match disk {
        0 => format!("{} memory", bytes_in_words(memory)),
        disk => format!("{} memory, {} disk", bytes_in_words(memory), bytes_in_words(disk)),
    }
}

/// Returns what `agent { … }` allows of a resource, in bytes.
fn allowed(analysis: &Analysis, resource: Resource) -> Option<u64> {
    match analysis.agent.as_ref()?.get(resource.name())?.value {
        Some(weir_plan::Value::Size(bytes)) => Some(bytes),
        _ => None,
    }
}

/// What a component may take, for an editor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownResources {
    /// The sums: `128MiB memory, 4GiB disk`.
    pub summary: String,
    /// The sums with their parts.
    pub text: String,
}

/// Renders what a component may take; `None` if it is not known.
pub fn resources_of_component(analysis: &Analysis, component: ComponentIndex) -> Option<ShownResources> {
    let amounts = analysis.proofs.resources.of(component)?;
    let name = &analysis.graph.components[component].declared.name;
    let summary = in_words(amounts.sum(Resource::Memory), amounts.sum(Resource::Disk));
    Some(ShownResources { summary, text: block(name, amounts) })
}

/// Renders what the program may take, in one line and in full; `None` if nothing is known.
pub fn resources_of_program(analysis: &Analysis) -> Option<ShownResources> {
    let resources = &analysis.proofs.resources;
    let text = text(analysis);
    let summary = in_words(resources.sum(Resource::Memory), resources.sum(Resource::Disk));
    (!text.is_empty()).then_some(ShownResources { summary, text })
}

#[derive(Debug, Serialize)]
pub(super) struct JsonResources<'a> {
    memory: u64,
    disk: u64,
    /// What `agent { … }` allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_allowed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_allowed: Option<u64>,
    complete: bool,
    process: JsonAmounts<'a>,
    components: Vec<JsonComponent<'a>>,
    flows: Vec<JsonFlow<'a>>,
    /// How long channels bridge an outage of their sinks, at the expected rates.
    bridged: Vec<JsonBridged<'a>>,
    files: Vec<JsonFiles<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonBridged<'a> {
    channel: &'a str,
    sources: Vec<&'a str>,
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct JsonFiles<'a> {
    sink: &'a str,
    each_hour: f64,
    /// Of each file, before compression.
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct JsonComponent<'a> {
    name: &'a str,
    #[serde(flatten)]
    amounts: JsonAmounts<'a>,
}

#[derive(Debug, Serialize)]
struct JsonAmounts<'a> {
    memory: u64,
    disk: u64,
    parts: Vec<JsonPart<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonPart<'a> {
    resource: &'static str,
    bytes: u64,
    because: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    setting: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct JsonFlow<'a> {
    name: &'a str,
    memory: u64,
    disk: u64,
}

/// Returns the amounts for the JSON of the proofs.
pub(super) fn json(analysis: &Analysis) -> JsonResources<'_> {
    let resources: &Resources = &analysis.proofs.resources;
    let components = resources.components.iter().map(|of| JsonComponent {
        name: &analysis.graph.components[of.component].declared.name,
        amounts: json_amounts(&of.amounts),
    });
    let flows = analysis.graph.flows.iter().enumerate().map(|(index, flow)| {
        let components = components_of(&analysis.graph, index);
        let sum = |of| resources.sum_of(&components, of);
        JsonFlow { name: &flow.name, memory: sum(Resource::Memory), disk: sum(Resource::Disk) }
    });
    let name = |component: ComponentIndex| &*analysis.graph.components[component].declared.name;
    let bridged = resources.rates.bridged.iter().map(|bridged| JsonBridged {
        channel: name(bridged.channel),
        sources: bridged.sources.iter().map(|source| name(*source)).collect(),
        seconds: bridged.seconds,
    });
    let files = resources.rates.files.iter().map(|files| JsonFiles {
        sink: name(files.sink),
        each_hour: files.each_hour,
        bytes: files.bytes,
    });
    JsonResources {
        memory: resources.sum(Resource::Memory),
        disk: resources.sum(Resource::Disk),
        memory_allowed: allowed(analysis, Resource::Memory),
        disk_allowed: allowed(analysis, Resource::Disk),
        complete: resources.complete,
        process: json_amounts(&resources.process),
        components: components.collect(),
        flows: flows.collect(),
        bridged: bridged.collect(),
        files: files.collect(),
    }
}

fn json_amounts(amounts: &Amounts) -> JsonAmounts<'_> {
    let parts = Resource::ALL
        .into_iter()
        .flat_map(|resource| amounts.parts(resource).iter().map(move |part| json_part(resource, part)));
    let (memory, disk) = (amounts.sum(Resource::Memory), amounts.sum(Resource::Disk));
    JsonAmounts { memory, disk, parts: parts.collect() }
}

fn json_part(resource: Resource, part: &Part) -> JsonPart<'_> {
    let Part { bytes, because, setting, .. } = part;
    JsonPart { resource: resource.name(), bytes: *bytes, because, setting: setting.as_deref() }
}
