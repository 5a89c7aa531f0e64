//! Computes the defaults of settings that depend on neighbouring components.

use std::cmp::Ordering;

use weir_grammar::tree::Role;

use super::Typing;
use crate::analysis::graph::{Component, Edge};
use crate::analysis::settings::Origin;
use crate::names::scopes::ComponentIndex;
use crate::signatures::SettingSignature;
use crate::values::defaults::Known;
use crate::values::operators::compare;

impl Typing<'_, '_> {
    /// Computes the defaults that depend on neighbours. Channels come first: their defaults depend on written settings
    /// of sources only, and the defaults of sources and sinks on all settings of channels.
    pub(super) fn derive_from_neighbours(&mut self, edges: &[Edge]) {
        // The sources and sinks of each channel, and the channels of each source and sink.
        let mut neighbours: Vec<Vec<ComponentIndex>> = vec![Vec::new(); self.components.len()];
        for (own, channel) in edges.iter().flat_map(|edge| edge.neighbours(&self.components)) {
            neighbours[channel].push(own);
            neighbours[own].push(channel);
        }
        for (index, near) in neighbours.iter_mut().enumerate() {
            let component = &self.components[index];
            if component.declared.role == Role::Channel && component.depends_on("source") {
                let mut sources = std::mem::take(near);
                sources.retain(|own| self.components[*own].declared.role == Role::Source);
                self.derive(index, sources, "source");
            }
        }
        for (index, near) in neighbours.iter_mut().enumerate() {
            let component = &self.components[index];
            if component.declared.role != Role::Channel && component.depends_on("channel") {
                self.derive(index, std::mem::take(near), "channel");
            }
        }
    }

    /// Computes the defaults of a component with the settings of its neighbours: the least of several channels, and the
    /// greatest written one of several sources.
    fn derive(&mut self, index: ComponentIndex, neighbours: Vec<ComponentIndex>, word: &str) {
        let Some(signature) = self.components[index].signature.clone() else { return };
        let mut settings = std::mem::take(&mut self.components[index].settings);
        let components = &self.components;
        let of_neighbours = |of: &str, name: &str| {
            let known = neighbours.iter().filter_map(|neighbour| {
                let Component { declared, settings, .. } = components.get(*neighbour)?;
                let setting = settings.get(name)?;
                let counts = word == "channel" || matches!(setting.origin, Origin::Written(_));
                setting.known(format!("{}.{name}", declared.name)).filter(|_| counts && of == word)
            });
            known.reduce(|first: Known, second| {
                let wanted = if word == "channel" { Ordering::Less } else { Ordering::Greater };
                if compare(&second.value, &first.value) == Some(wanted) { second } else { first }
            })
        };
        self.checker.derive_again(&signature.group, &mut settings, &of_neighbours);
        self.components[index].settings = settings;
    }
}

impl Component {
    /// Returns whether a default of the component is computed from settings of this kind of neighbour.
    fn depends_on(&self, neighbour: &str) -> bool {
        let settings = self.signature.iter().flat_map(|signature| &signature.group.settings);
        let mut settings = settings.filter(|setting: &&SettingSignature| setting.depends_on(neighbour));
        self.settings.whole && settings.next().is_some()
    }
}
