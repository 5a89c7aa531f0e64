//! Formats metrics for Prometheus, in the OpenMetrics text format.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{ComponentSnapshot, Snapshot};
use crate::environment::descriptors::DescriptorCounts;
use crate::observability::meter::{
    BUCKET_BOUNDS_SECONDS, LatencySnapshot, Phase, Reading, RuleReading, StepReading,
};
use crate::observability::role::Role;

/// The content type of the format.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type NoLabels = [(&'static str, &'static str); 0];

/// Formats a snapshot as text.
pub(super) fn text(snapshot: Snapshot) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Measures(snapshot)));
    let mut text = String::new();
    // Writing to a `String` can't fail.
    encode(&mut text, &registry).unwrap_or_default();
    text
}

#[derive(Debug)]
struct Measures(Snapshot);

impl Collector for Measures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.agent(&mut encoder)?;
        self.descriptors(&mut encoder)?;
        self.flow(&mut encoder)?;
        self.dropped(&mut encoder)?;
        self.rejected(&mut encoder)?;
        self.steps(&mut encoder)?;
        self.quality(&mut encoder)?;
        self.channels(&mut encoder)?;
        self.latencies(&mut encoder)?;
        self.conditions(&mut encoder)?;
        self.troubles(&mut encoder)?;
        self.own(&mut encoder)
    }
}

/// Returns the value of a metric for a component; none if the component does not have the metric.
type ValueOf<'a, Value> = &'a dyn Fn(&ComponentSnapshot) -> Option<Value>;

impl Measures {
    fn labels(&self, component: &ComponentSnapshot) -> Labels {
        vec![
            ("program", self.0.program.to_string()),
            ("component", component.name.to_string()),
            ("kind", component.kind.clone()),
            ("role", component.role.to_string()),
            ("flow", component.flows.join(",")),
        ]
    }

    fn counter(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        value: ValueOf<'_, u64>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for component in &self.0.components {
            if let Some(value) = value(component) {
                count(&mut family, &self.labels(component), value)?;
            }
        }
        Ok(())
    }

    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        value: ValueOf<'_, f64>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for component in &self.0.components {
            if let Some(value) = value(component) {
                family.encode_family(&self.labels(component))?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn agent(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Snapshot { program, version, started_at_seconds, uptime_seconds, .. } = &self.0;
        let labels = |more: &[(&'static str, &str)]| -> Labels {
            let mut labels = vec![("program", program.to_string())];
            labels.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
            labels
        };
        let info = ("weir_build", "Which version of Weir runs the program");
        let mut family = encoder.encode_descriptor(info.0, info.1, None, MetricType::Info)?;
        family.encode_info(&labels(&[("version", version)]))?;
        for (name, help, value) in [
            (
                "weir_start_time_seconds",
                "When the agent was started, in seconds since 1970",
                started_at_seconds,
            ),
            ("weir_uptime_seconds", "How long the agent has run", uptime_seconds),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            family.encode_family(&labels(&[]))?.encode_gauge(value)?;
        }
        Ok(())
    }

    /// The file descriptors of the process, and the descriptors that components have taken, by purpose.
    fn descriptors(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let DescriptorCounts { limit, open, source_files, connections, sink_files } = self.0.descriptors;
        let labels: Labels = vec![("program", self.0.program.to_string())];
        let help = "How many file descriptors the process may have open";
        let mut family = encoder.encode_descriptor("weir_descriptors_max", help, None, MetricType::Gauge)?;
        family.encode_family(&labels)?.encode_gauge(&(limit as f64))?;
        if let Some(open) = open {
            let help = "How many file descriptors the process has open";
            let mut family =
                encoder.encode_descriptor("weir_descriptors_open", help, None, MetricType::Gauge)?;
            family.encode_family(&labels)?.encode_gauge(&(open as f64))?;
        }
        let help = "How many file descriptors components have taken for files and connections";
        let mut family =
            encoder.encode_descriptor("weir_descriptors_taken", help, None, MetricType::Gauge)?;
        for (purpose, taken) in
            [("source_file", source_files), ("connection", connections), ("sink_file", sink_files)]
        {
            let mut labels = labels.clone();
            labels.push(("purpose", purpose.to_owned()));
            family.encode_family(&labels)?.encode_gauge(&(taken as f64))?;
        }
        Ok(())
    }

    /// The three measures, in events and bytes.
    fn flow(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Measure = fn(&ComponentSnapshot) -> Option<Reading>;
        let received: Measure = |component| Some(component.received);
        let processed: Measure = |component| (component.role != Role::Channel).then_some(component.processed);
        let delivered: Measure = |component| Some(component.delivered);
        for (name, help, measure) in [
            ("received", "were read by a source, put into a channel, taken by a sink", received),
            ("processed", "came out of the steps of a source's or sink's path", processed),
            (
                "delivered",
                "were acknowledged to a source, gone from a channel, committed by a sink",
                delivered,
            ),
        ] {
            let events = (format!("weir_{name}_events"), format!("Events that {help}"));
            self.counter(encoder, (&events.0, &events.1), &|component| Some(measure(component)?.events))?;
            let bytes = (format!("weir_{name}_bytes"), format!("Bytes of events that {help}"));
            self.counter(encoder, (&bytes.0, &bytes.1), &|component| Some(measure(component)?.bytes))?;
        }
        Ok(())
    }

    fn dropped(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Unit = fn(&Reading) -> u64;
        let (events, bytes): (Unit, Unit) = (|reading| reading.events, |reading| reading.bytes);
        for (name, help, unit) in [
            ("weir_dropped_events", "Events that a step dropped on purpose", events),
            ("weir_dropped_bytes", "Bytes of events that a step dropped on purpose", bytes),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for component in &self.0.components {
                for (step, reading) in &component.dropped_by_step {
                    let mut labels = self.labels(component);
                    labels.push(("step", step.clone()));
                    count(&mut family, &labels, unit(reading))?;
                }
            }
        }
        Ok(())
    }

    /// Rejected events by step and kind of reason. The kinds are a closed set, so that no text of an event is a label.
    fn rejected(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Events that a step rejected";
        let mut family =
            encoder.encode_descriptor("weir_rejected_events", help, None, MetricType::Counter)?;
        for component in &self.0.components {
            for (step, kinds) in &component.rejected_by_step {
                for (kind, reading) in kinds {
                    let mut labels = self.labels(component);
                    labels.push(("step", step.clone()));
                    labels.push(("reason", (*kind).to_owned()));
                    count(&mut family, &labels, reading.events)?;
                }
            }
        }
        Ok(())
    }

    /// What each step did, and the time that it took. Steps with the same first words are counted together.
    fn steps(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sums = |component: &ComponentSnapshot| {
            let mut sums: BTreeMap<String, StepReading> = BTreeMap::new();
            for step in &component.steps {
                let sum = sums.entry(step.step.to_string()).or_insert_with(|| StepReading::new(&step.step));
                sum.add(step);
            }
            sums
        };
        let labels = |component: &ComponentSnapshot, step: String| {
            let mut labels = self.labels(component);
            labels.push(("step", step));
            labels
        };
        type Events = fn(&StepReading) -> u64;
        let (received, passed): (Events, Events) = (|step| step.received, |step| step.passed);
        for (name, help, events) in [
            ("weir_step_received_events", "Events that came to a step", received),
            ("weir_step_passed_events", "Events that a step passed on", passed),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for component in &self.0.components {
                for (step, sum) in sums(component) {
                    count(&mut family, &labels(component, step), events(&sum))?;
                }
            }
        }
        let help = "Time that a step took, of one thread";
        let mut family = encoder.encode_descriptor("weir_step_seconds", help, None, MetricType::Counter)?;
        for component in &self.0.components {
            for (step, sum) in sums(component) {
                let labels = labels(component, step);
                let mut metric = family.encode_family(&labels)?;
                metric.encode_counter::<NoLabels, f64, u64>(&sum.seconds, None)?;
            }
        }
        Ok(())
    }

    /// The rules of qualities: checked events, and events that broke a rule.
    fn quality(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Events = fn(&RuleReading) -> u64;
        let (checked, broken): (Events, Events) = (|rule| rule.checked, |rule| rule.broken);
        for (name, help, events) in [
            ("weir_quality_checked", "Events that a rule of a quality checked", checked),
            ("weir_quality_broken", "Events that broke a rule of a quality", broken),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for component in &self.0.components {
                for rule in &component.quality {
                    let mut labels = self.labels(component);
                    labels.push(("quality", rule.quality.clone()));
                    labels.push(("rule", rule.rule.clone()));
                    count(&mut family, &labels, events(rule))?;
                }
            }
        }
        Ok(())
    }

    fn channels(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.gauge(
            encoder,
            ("weir_channel_events", "Events in a channel, leased ones included"),
            &|component| Some(component.channel.as_ref()?.events as f64),
        )?;
        self.gauge(
            encoder,
            ("weir_channel_bytes", "Bytes in a channel, leased ones included"),
            &|component| Some(component.channel.as_ref()?.bytes as f64),
        )?;
        self.gauge(
            encoder,
            ("weir_channel_events_max", "The most events that a channel holds"),
            &|component| Some(component.channel.as_ref()?.events_max as f64),
        )?;
        self.gauge(
            encoder,
            ("weir_channel_bytes_max", "The most bytes that a channel holds"),
            &|component| Some(component.channel.as_ref()?.bytes_max as f64),
        )?;
        let help = "How old the oldest event in a channel is, 0 when it is empty";
        self.gauge(encoder, ("weir_channel_oldest_seconds", help), &|component| {
            Some(component.channel.as_ref()?.oldest_seconds.unwrap_or(0.0))
        })
    }

    fn latencies(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Which = fn(&ComponentSnapshot) -> &LatencySnapshot;
        let (put, take): (Which, Which) = (|component| &component.put, |component| &component.take);
        let commit: Which = |component| &component.commit;
        let until =
            "How long a source's events took until they were safe in its channels, a sink's until committed";
        for (name, help, roles, which) in [
            ("weir_put_seconds", "How long a source waited to put a batch", &[Role::Source][..], put),
            ("weir_take_seconds", "How long a sink waited for its next batch", &[Role::Sink], take),
            ("weir_commit_seconds", until, &[Role::Source, Role::Sink], commit),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for component in self.0.components.iter().filter(|component| roles.contains(&component.role)) {
                let LatencySnapshot { count, sum_seconds, buckets } = which(component);
                let bounds = BUCKET_BOUNDS_SECONDS.into_iter().chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(buckets.iter().copied()).collect();
                let labels = self.labels(component);
                let mut metric = family.encode_family(&labels)?;
                metric.encode_histogram::<NoLabels>(*sum_seconds, *count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn troubles(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How long a trouble of a component has lasted; absent when it is over";
        let mut family = encoder.encode_descriptor("weir_trouble_seconds", help, None, MetricType::Gauge)?;
        for component in &self.0.components {
            let mut longest: BTreeMap<&str, f64> = BTreeMap::new();
            for trouble in &component.troubles {
                let seconds = longest.entry(trouble.cause.name()).or_default();
                *seconds = seconds.max(trouble.seconds);
            }
            for (cause, seconds) in longest {
                let mut labels = self.labels(component);
                labels.push(("cause", cause.to_owned()));
                family.encode_family(&labels)?.encode_gauge(&seconds)?;
            }
        }
        let help = "How often a component came into trouble";
        let mut family = encoder.encode_descriptor("weir_troubles", help, None, MetricType::Counter)?;
        for component in &self.0.components {
            for (cause, times) in &component.troubles_opened {
                let mut labels = self.labels(component);
                labels.push(("cause", cause.name().to_owned()));
                count(&mut family, &labels, *times)?;
            }
        }
        Ok(())
    }

    fn conditions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "What a component is doing: 1 for that, 0 for the others";
        let mut family = encoder.encode_descriptor("weir_component_state", help, None, MetricType::Gauge)?;
        for component in &self.0.components {
            for phase in Phase::ALL {
                let mut labels = self.labels(component);
                labels.push(("state", phase.name().to_owned()));
                family.encode_family(&labels)?.encode_gauge(&i64::from(component.phase == phase))?;
            }
        }
        let help = "How often a component was started again after a failure";
        self.counter(encoder, ("weir_restarts", help), &|component| Some(component.restarts))?;
        let help = "When a component failed last, in seconds since 1970";
        self.gauge(encoder, ("weir_last_error_time_seconds", help), &|component| {
            Some(component.last_error.as_ref()?.at_seconds)
        })?;
        let help = "How long until a component that has failed is tried again";
        self.gauge(encoder, ("weir_next_try_seconds", help), &|component| component.next_try_seconds)
    }

    /// The components' own counters and gauges, each as its own metric.
    fn own(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let components = || self.0.components.iter();
        let counters: BTreeSet<&'static str> =
            components().flat_map(|component| component.counters.keys().copied()).collect();
        for name in counters {
            let metric = (format!("weir_component_{name}"), format!("A component's own count: {name}"));
            self.counter(encoder, (&metric.0, &metric.1), &|component| {
                component.counters.get(name).copied()
            })?;
        }
        let gauges: BTreeSet<&'static str> =
            components().flat_map(|component| component.gauges.keys().copied()).collect();
        for name in gauges {
            let metric = (format!("weir_component_{name}"), format!("A component's own number: {name}"));
            let mut family = encoder.encode_descriptor(&metric.0, &metric.1, None, MetricType::Gauge)?;
            for component in components() {
                if let Some(value) = component.gauges.get(name) {
                    family.encode_family(&self.labels(component))?.encode_gauge(value)?;
                }
            }
        }
        self.own_by_partition(encoder)
    }

    fn own_by_partition(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let components = || self.0.components.iter();
        let gauges: BTreeSet<&'static str> =
            components().flat_map(|component| component.partition_gauges.keys().copied()).collect();
        for name in gauges {
            let metric = (format!("weir_component_{name}"), format!("A component's own number: {name}"));
            let mut family = encoder.encode_descriptor(&metric.0, &metric.1, None, MetricType::Gauge)?;
            for component in components() {
                for (partition, value) in component.partition_gauges.get(name).into_iter().flatten() {
                    let mut labels = self.labels(component);
                    labels.push(("partition", partition.clone()));
                    family.encode_family(&labels)?.encode_gauge(value)?;
                }
            }
        }
        Ok(())
    }
}

fn count(family: &mut MetricEncoder<'_>, labels: &Labels, value: u64) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabels, u64, u64>(&value, None)
}
