//! The most memory and disk space that a program takes, as the compiler derives it.

use weir_grammar::Span;

use crate::names::scopes::ComponentIndex;

/// The worst case of memory and of disk space of a program.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// The components, in the order of the graph.
    pub components: Vec<ComponentResources>,
    /// The memory of the process beside its components.
    pub process: Amounts,
    /// The outages that channels bridge, and the files of sinks, at the expected rates of sources.
    pub rates: Rates,
    /// Whether all components have an amount; those with errors in their settings have none.
    pub complete: bool,
}

/// The outages that channels bridge, and the files of sinks, at the expected rates of sources.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// How long the channels bridge an outage of all their sinks.
    pub bridged: Vec<Bridged>,
    /// How many files sinks write.
    pub files: Vec<WrittenFiles>,
}

/// How long a channel bridges an outage of all its sinks, at the expected rates.
#[derive(Debug, Clone)]
pub struct Bridged {
    /// The channel.
    pub channel: ComponentIndex,
    /// The sources that fill it.
    pub sources: Vec<ComponentIndex>,
    /// The seconds after which an empty channel is full.
    pub seconds: u64,
}

/// The files that a sink writes into one directory at the expected rates.
#[derive(Debug, Clone)]
pub struct WrittenFiles {
    /// The sink.
    pub sink: ComponentIndex,
    /// The files in an hour.
    pub each_hour: f64,
    /// The bytes of each, before compression.
    pub bytes: u64,
}

/// The worst case of a component.
#[derive(Debug, Clone)]
pub struct ComponentResources {
    /// The component.
    pub component: ComponentIndex,
    /// Its amounts.
    pub amounts: Amounts,
}

/// The parts of an amount of memory and of one of disk space.
#[derive(Debug, Clone, Default)]
pub struct Amounts {
    /// The parts in memory.
    pub memory: Vec<Part>,
    /// The parts on disk.
    pub disk: Vec<Part>,
}

/// A part of an amount, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The most bytes.
    pub bytes: u64,
    /// The reason, as the signature says it.
    pub because: String,
    /// The place that says so: in the library, or the step of the program.
    pub said_at: Span,
    /// The setting that has the most influence, as `buffer.byte_capacity`, if there is one.
    pub setting: Option<String>,
}

/// A resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Resident memory of the process.
    Memory,
    /// Space on local disks.
    Disk,
}

impl Resource {
    /// Both resources.
    pub const ALL: [Resource; 2] = [Resource::Memory, Resource::Disk];

    /// Returns the name, which is also the name of the setting of `agent { … }`.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::Disk => "disk",
        }
    }
}

impl Amounts {
    /// Returns the parts of a resource.
    pub fn parts(&self, resource: Resource) -> &[Part] {
        match resource {
            Resource::Memory => &self.memory,
            Resource::Disk => &self.disk,
        }
    }

    /// Returns the sum of the parts in bytes.
    pub fn sum(&self, resource: Resource) -> u64 {
        self.parts(resource).iter().fold(0, |sum, part| sum.saturating_add(part.bytes))
    }
}

impl Resources {
    /// Returns the amounts of a component; `None` if they are not known.
    pub fn of(&self, component: ComponentIndex) -> Option<&Amounts> {
        let mut components = self.components.iter();
        components.find(|of| of.component == component).map(|of| &of.amounts)
    }

    /// Returns the bytes of the whole program, the process included.
    pub fn sum(&self, resource: Resource) -> u64 {
        let components = self.components.iter().map(|of| of.amounts.sum(resource));
        components.fold(self.process.sum(resource), u64::saturating_add)
    }

    /// Returns the bytes of some components together.
    pub fn sum_of(&self, components: &[ComponentIndex], resource: Resource) -> u64 {
        let of = components.iter().filter_map(|component| self.of(*component));
        of.fold(0, |sum, amounts| sum.saturating_add(amounts.sum(resource)))
    }
}
