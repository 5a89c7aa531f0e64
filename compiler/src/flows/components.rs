//! Properties that follow from a component's checked settings.

use std::collections::BTreeMap;

use weir_grammar::Span;
use weir_grammar::tree::{Role, Shortfall};
use weir_plan::{Value, support};

use crate::analysis::graph::Component;
use crate::diagnostics::RequiredSetting;
use crate::signatures::{Library, Named, Variant};
use crate::types::Type;
use crate::values::requirements::{Side, applies};

/// A loss or a repeat that the settings of a component allow and its delivery class alone does not.
pub(crate) struct SetShortfall<'h> {
    pub(crate) clause: &'h Shortfall,
    /// The settings that the clause depends on.
    pub(crate) settings: Vec<RequiredSetting>,
    /// The span of the clause's reason in the library.
    pub(crate) place: Span,
}

impl Component {
    /// Returns whether the component is a sink that rejects events which can never be written.
    pub(crate) fn rejects_itself(&self) -> bool {
        let kind = self.kind().filter(|_| self.declared.role == Role::Sink);
        kind.is_some_and(|kind| support::REJECTING_SINKS.contains(&kind))
    }

    /// Returns the losses and repeats that the settings allow and the delivery class alone does not.
    pub(crate) fn shortfalls<'h>(&'h self, library: &'h Library) -> Vec<SetShortfall<'h>> {
        let (Some(signature), Some(side)) = (&self.signature, self.side()) else { return Vec::new() };
        let mut found = Vec::new();
        for (name, variant, values) in self.chosen_variants(library) {
            let clauses =
                variant.shortfalls.iter().filter(|clause| applies(clause.condition.as_ref(), values));
            found.extend(clauses.map(|clause| {
                let settings = side.shown(name).into_iter().collect();
                SetShortfall { clause, settings, place: clause.because.span }
            }));
        }
        for clause in
            signature.shortfalls.iter().filter(|clause| applies(clause.condition.as_ref(), side.values))
        {
            let settings = clause.condition.as_ref().map(|condition| side.named_in(condition));
            let (settings, place) = (settings.unwrap_or_default(), clause.because.span);
            found.push(SetShortfall { clause, settings, place });
        }
        found
    }

    /// Iterates over the variants that the component's settings choose: the setting, the variant and its settings.
    pub(crate) fn chosen_variants<'h>(
        &'h self,
        library: &'h Library,
    ) -> impl Iterator<Item = (&'h str, &'h Variant, &'h BTreeMap<String, Value>)> {
        let settings = self.settings.iter().filter(|_| self.settings.whole);
        settings.filter(|setting| !setting.is_nested()).filter_map(|setting| {
            let (Type::Named(name), Some(Value::Variant { name: chosen, settings })) =
                (&setting.value_type, &setting.value)
            else {
                return None;
            };
            let Named::Enum(variants) = library.types.get(name)? else { return None };
            let variant = variants.iter().find(|variant| *variant.name.text == **chosen)?;
            Some((&*setting.name, variant, settings))
        })
    }

    /// Returns the settings for checks of requirements between neighbouring components; `None` if they have errors.
    pub(crate) fn side(&self) -> Option<Side<'_>> {
        let (signature, settings) = (self.signature.as_ref()?, &self.settings);
        let (name, declared) = (&*self.declared.name, self.declared.span);
        let side = Side {
            group: &signature.group,
            values: settings,
            settings,
            name,
            declared,
            implicit: self.implicit,
        };
        settings.whole.then_some(side)
    }
}
