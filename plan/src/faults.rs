//! What no plan may have, whoever has written it. The compiler makes none of it; a plan that was changed or
//! written by hand may.

use std::collections::BTreeSet;

use arrow_schema::DataType;

use crate::{Action, Component, EventTypeId, Expression, Origin, Plan, Route, Segment, Step};

impl Plan {
    /// What is wrong with the plan itself: names of nothing, event types that are not there, conditions that
    /// are neither true nor false. Each names the component or the flow that it is about. Nothing, for a plan
    /// of the compiler.
    pub fn faults(&self) -> Vec<String> {
        let names = |components: &'_ [Component]| -> BTreeSet<String> {
            components.iter().map(|component| component.name.clone()).collect()
        };
        let mut looking = Looking {
            plan: self,
            sources: names(&self.sources),
            channels: names(&self.channels),
            sinks: names(&self.sinks),
            faults: Vec::new(),
        };
        looking.components();
        for flow in &self.flows {
            for path in &flow.paths {
                let place = format!("flow {}", flow.name);
                looking.origin(&place, &path.from);
                looking.segment(&place, &path.segment);
            }
        }
        looking.faults
    }
}

struct Looking<'plan> {
    plan: &'plan Plan,
    sources: BTreeSet<String>,
    channels: BTreeSet<String>,
    sinks: BTreeSet<String>,
    faults: Vec<String>,
}

impl Looking<'_> {
    fn components(&mut self) {
        let mut seen = BTreeSet::new();
        let Plan { sources, channels, sinks, .. } = self.plan;
        for (role, components) in [("source", sources), ("channel", channels), ("sink", sinks)] {
            for Component { name, event_type, .. } in components {
                if !seen.insert(name) {
                    self.faults.push(format!("{role} {name}: another component has the name as well"));
                }
                self.event_type(&format!("{role} {name}"), *event_type);
            }
        }
    }

    fn event_type(&mut self, place: &str, id: EventTypeId) {
        let types = self.plan.event_types.len();
        if id.0 as usize >= types {
            let number = id.0;
            self.faults.push(format!("{place}: there is no event type {number}, the plan has {types}"));
        }
    }

    fn origin(&mut self, place: &str, origin: &Origin) {
        let (role, name, known) = match origin {
            Origin::Source(name) => ("source", name, self.sources.contains(name)),
            Origin::Channel(name) => ("channel", name, self.channels.contains(name)),
            Origin::Rejects(name) => ("flow", name, self.plan.flows.iter().any(|flow| flow.name == *name)),
        };
        if !known {
            self.faults.push(format!("{place}: a path begins at the {role} {name}, which is not there"));
        }
    }

    fn segment(&mut self, place: &str, segment: &Segment) {
        segment.steps.iter().for_each(|step| self.step(place, step));
        let segments: Vec<&Segment> = match &segment.to {
            Route::Channel(name) => return self.end(place, "channel", name, self.channels.contains(name)),
            Route::Sink(name) => return self.end(place, "sink", name, self.sinks.contains(name)),
            Route::Copy(branches) => branches.iter().map(|branch| &branch.segment).collect(),
            Route::Match(cases) => {
                let conditions = cases.iter().filter_map(|case| case.condition.as_ref());
                conditions.for_each(|condition| self.condition(place, "match", condition));
                cases.iter().map(|case| &case.segment).collect()
            }
            Route::Balance { segments, .. } | Route::Failover(segments) => segments.iter().collect(),
        };
        if segments.is_empty() {
            self.faults.push(format!("{place}: a path leads nowhere"));
        }
        segments.into_iter().for_each(|segment| self.segment(place, segment));
    }

    fn end(&mut self, place: &str, role: &str, name: &str, known: bool) {
        if !known {
            self.faults.push(format!("{place}: a path leads to the {role} {name}, which is not there"));
        }
    }

    fn step(&mut self, place: &str, step: &Step) {
        let label = &step.label;
        self.event_type(&format!("{place}, step `{label}`"), step.event_type);
        match &step.action {
            Action::Keep(condition) | Action::Drop(condition) | Action::Reject { condition, .. } => {
                self.condition(place, label, condition);
            }
            Action::Check { rules, .. } => {
                rules.iter().for_each(|rule| self.condition(place, label, &rule.condition));
            }
            _ => {}
        }
    }

    fn condition(&mut self, place: &str, label: &str, condition: &Expression) {
        if condition.data_type != DataType::Boolean {
            let found = crate::type_name(&condition.data_type);
            self.faults.push(format!("{place}, step `{label}`: its condition is {found}, not Bool"));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{Field, Schema};

    use super::*;
    use crate::{Branch, Delivery, EventType, Flow, Operation, PLAN_VERSION, Path, Settings};

    fn component(name: &str) -> Component {
        let settings = Settings::default();
        Component {
            name: name.into(),
            kind: "some".into(),
            settings,
            event_type: EventTypeId(0),
            implicit: false,
        }
    }

    fn to(to: Route) -> Segment {
        Segment { steps: Vec::new(), to }
    }

    fn plan() -> Plan {
        let body = Field::new("body", DataType::BinaryView, false);
        let copy = Route::Copy(vec![Branch { optional: false, segment: to(Route::Sink("out".into())) }]);
        let paths = vec![
            Path { from: Origin::Source("in".into()), segment: to(Route::Channel("buffer".into())) },
            Path { from: Origin::Channel("buffer".into()), segment: to(copy) },
        ];
        Plan {
            version: PLAN_VERSION,
            program: "a".into(),
            sources: vec![component("in")],
            channels: vec![component("buffer")],
            sinks: vec![component("out")],
            event_types: vec![EventType::new(Schema::new(vec![body]))],
            functions: Vec::new(),
            agent: Settings::default(),
            flows: vec![Flow {
                name: "main".into(),
                delivers: Delivery::AtLeastOnce,
                order: Default::default(),
                paths,
            }],
        }
    }

    fn faults_of(change: impl FnOnce(&mut Plan)) -> Vec<String> {
        let mut plan = plan();
        change(&mut plan);
        plan.faults()
    }

    #[test]
    fn a_plan_of_the_compiler_has_none() {
        assert_eq!(plan().faults(), [""; 0]);
    }

    #[test]
    fn each_is_said_with_its_place() {
        assert_eq!(
            faults_of(|plan| plan.sinks[0].event_type = EventTypeId(99)),
            ["sink out: there is no event type 99, the plan has 1"]
        );
        assert_eq!(
            faults_of(|plan| plan.channels.clear()),
            [
                "flow main: a path leads to the channel buffer, which is not there",
                "flow main: a path begins at the channel buffer, which is not there",
            ]
        );
        assert_eq!(
            faults_of(|plan| plan.sinks.push(component("in"))),
            ["sink in: another component has the name as well"]
        );
        assert_eq!(
            faults_of(|plan| plan.flows[0].paths[1].segment.to = Route::Copy(Vec::new())),
            ["flow main: a path leads nowhere"]
        );
        let body = Expression {
            data_type: DataType::BinaryView,
            nullable: false,
            operation: Operation::Column("body".into()),
        };
        let keep = Step {
            label: "keep if body".into(),
            action: Action::Keep(body),
            on_failure: None,
            event_type: EventTypeId(7),
        };
        assert_eq!(
            faults_of(|plan| plan.flows[0].paths[0].segment.steps.push(keep)),
            [
                "flow main, step `keep if body`: there is no event type 7, the plan has 1",
                "flow main, step `keep if body`: its condition is Bytes, not Bool",
            ]
        );
    }

    #[test]
    fn a_text_with_faults_is_refused() {
        let mut wrong = plan();
        wrong.sources[0].event_type = EventTypeId(9);
        let text = serde_json::to_string(&wrong).unwrap();
        let error = Plan::from_json(&text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the plan has faults: source in: there is no event type 9, the plan has 1"
        );
    }
}
