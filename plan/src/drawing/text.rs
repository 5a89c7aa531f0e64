//! Draws a tree for each flow, for terminals.

use std::collections::HashSet;

use super::network::rejects;
use crate::{Component, Flow, Leg, Origin, Path, Plan, Route, Step};

/// Draws all flows.
pub(super) fn draw(plan: &Plan) -> String {
    plan.flows.iter().map(|flow| flow_text(plan, flow)).collect::<Vec<_>>().join("\n")
}

/// A line of the tree with its child lines.
struct Node {
    text: String,
    /// The end of the line from the parent: an arrow before a destination.
    hook: &'static str,
    children: Vec<Node>,
}

const STEP: &str = "─ ";
const DESTINATION: &str = "─▶ ";
const OPTIONAL: &str = "╌▷ ";

fn flow_text(plan: &Plan, flow: &Flow) -> String {
    let mut text = format!("flow {} delivers {}\n", flow.name, flow.delivers);
    let mut drawer = Drawer { plan, flow, drawn: HashSet::new() };
    // A channel that a path of this flow fills is drawn as part of that path.
    let filled = filled(flow);
    for Path { from, leg } in &flow.paths {
        let title = match from {
            Origin::Source(name) => format!("{name} · {}", kind(&plan.sources, name)),
            Origin::Channel(name) if filled.contains(name.as_str()) => continue,
            Origin::Channel(name) => format!("{name} · {}", channel(plan, name)),
            Origin::Rejects(_) => "rejects".to_owned(),
        };
        text.push_str(&format!("\n  {title}\n"));
        let children = drawer.leg(leg, DESTINATION);
        lines(&children, "  ", &mut text);
    }
    text
}

/// Returns the channels that the paths of a flow fill.
fn filled(flow: &Flow) -> HashSet<&str> {
    fn of<'s>(leg: &'s Leg, filled: &mut HashSet<&'s str>) {
        if let Route::Channel(name) = &leg.to {
            filled.insert(name);
        }
        leg.to.legs().into_iter().for_each(|leg| of(leg, filled));
    }
    let mut filled = HashSet::new();
    flow.paths.iter().for_each(|path| of(&path.leg, &mut filled));
    filled
}

fn kind<'c>(components: &'c [Component], name: &str) -> &'c str {
    components.iter().find(|component| component.name == name).map_or("", |component| &component.kind)
}

fn channel(plan: &Plan, name: &str) -> String {
    let found = plan.channels.iter().find(|component| component.name == name);
    let added =
        if found.is_some_and(|component| component.implicit) { ", added by the compiler" } else { "" };
    format!("channel {}{added}", kind(&plan.channels, name))
}

struct Drawer<'p> {
    plan: &'p Plan,
    flow: &'p Flow,
    /// The channels whose readers are drawn already.
    drawn: HashSet<&'p str>,
}

impl<'p> Drawer<'p> {
    /// Draws the steps of a leg, then its destination.
    fn leg(&mut self, leg: &'p Leg, hook: &'static str) -> Vec<Node> {
        let mut nodes: Vec<Node> = leg.steps.iter().map(|step| self.step(step)).collect();
        if leg.to != Route::End {
            nodes.push(self.route(&leg.to, hook));
        }
        nodes
    }

    fn step(&self, step: &Step) -> Node {
        let rejected = if rejects(step) { "  ⇢ rejects" } else { "" };
        Node { text: format!("{}{rejected}", self.plan.step_label(step)), hook: STEP, children: Vec::new() }
    }

    fn route(&mut self, route: &'p Route, hook: &'static str) -> Node {
        let (text, children) = match route {
            Route::Channel(name) => self.channel(name),
            Route::Sink(name) => (format!("{name} · {}", kind(&self.plan.sinks, name)), Vec::new()),
            Route::End => (String::new(), Vec::new()),
            Route::Copy(branches) => {
                let children = branches.iter().map(|branch| match branch.optional {
                    true => self.named_leg("optional".to_owned(), &branch.leg, OPTIONAL),
                    false => self.named_leg(String::new(), &branch.leg, DESTINATION),
                });
                ("copy".to_owned(), children.collect())
            }
            Route::Match(cases) => {
                let children = cases.iter().map(|case| {
                    let asked = case.condition.as_ref();
                    let asked = asked.map_or("_".to_owned(), |asked| self.plan.condition_label(asked));
                    let children = self.leg(&case.leg, DESTINATION);
                    Node { text: asked, hook: STEP, children }
                });
                ("match".to_owned(), children.collect())
            }
            Route::Balance { by, legs } => {
                let by =
                    by.as_ref().map_or(String::new(), |by| format!(" by {}", self.plan.condition_label(by)));
                let children = legs.iter().map(|leg| self.named_leg(String::new(), leg, DESTINATION));
                (format!("balance{by}"), children.collect())
            }
            Route::Failover(legs) => {
                let children = legs.iter().enumerate();
                let children =
                    children.map(|(index, leg)| self.named_leg(format!("{}.", index + 1), leg, DESTINATION));
                ("failover".to_owned(), children.collect())
            }
        };
        Node { text, hook, children }
    }

    /// Draws one of several legs: only its destination, or its name with its steps below.
    fn named_leg(&mut self, name: String, leg: &'p Leg, hook: &'static str) -> Node {
        if leg.steps.is_empty() {
            let mut node = self.route(&leg.to, hook);
            if !name.is_empty() {
                node.text = format!("{name} {}", node.text);
            }
            return node;
        }
        let text = if name.is_empty() { "each".to_owned() } else { name };
        Node { text, hook: STEP, children: self.leg(leg, hook) }
    }

    /// Draws a channel, at its first occurrence with the path of this flow that begins at the channel.
    fn channel(&mut self, name: &'p str) -> (String, Vec<Node>) {
        let text = format!("{name} · {}", channel(self.plan, name));
        let onward = self.flow.paths.iter().find(|path| path.from == Origin::Channel(name.to_owned()));
        match onward {
            None => (text, Vec::new()),
            Some(_) if !self.drawn.insert(name) => (format!("{text}, as above"), Vec::new()),
            Some(path) => {
                let children = self.leg(&path.leg, DESTINATION);
                (text, children)
            }
        }
    }
}

fn lines(nodes: &[Node], indent: &str, text: &mut String) {
    for (at, Node { text: line, hook, children }) in nodes.iter().enumerate() {
        let (corner, below) = if at + 1 == nodes.len() { ("└", " ") } else { ("├", "│") };
        text.push_str(&format!("{indent}{corner}{hook}{line}\n"));
        let blanks = " ".repeat(hook.chars().count());
        lines(children, &format!("{indent}{below}{blanks}"), text);
    }
}
