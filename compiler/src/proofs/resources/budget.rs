//! Holds what a program takes against what `agent { … }` allows.

use weir_plan::Value;

use super::derive::Deriving;
use crate::analysis::resources::{Part, Resource, Resources};
use crate::analysis::settings::{Origin, Settings};
use crate::diagnostics::{Diagnostic, LargePart, LowerSetting, OverBudget};
use crate::names::scopes::ComponentIndex;
use crate::proofs::amounts::Changed;
use crate::values::ranges::is_within;
use crate::values::requirements::{Side, shown_value};

/// The most parts that a diagnostic labels.
const PARTS_SHOWN: usize = 3;
/// The most times that a setting is halved in the search for a value that suffices.
const HALVINGS: u32 = 40;
/// A limit is raised to a multiple of this.
const LIMIT_STEP: u64 = 1 << 20;

/// Reports each resource of which the program may take more than the agent allows.
pub(super) fn check(
    deriving: &Deriving<'_>,
    resources: &Resources,
    agent: &Settings,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for resource in Resource::ALL {
        let Some(setting) = agent.get(resource.name()) else { continue };
        let (Some(Value::Size(allowed)), Origin::Written(place)) = (&setting.value, setting.origin) else {
            continue;
        };
        let sum = resources.sum(resource);
        if sum <= *allowed {
            continue;
        }
        let mut largest: Vec<(ComponentIndex, &Part)> = Vec::new();
        for of in &resources.components {
            largest.extend(of.amounts.parts(resource).iter().map(|part| (of.component, part)));
        }
        largest.sort_by_key(|(_, part)| std::cmp::Reverse(part.bytes));
        let spare = sum - *allowed;
        let lower =
            largest.iter().filter_map(|(component, part)| lower(deriving, *component, part, resource, spare));
        // Of the settings that suffice alone, the one that keeps most of its value.
        let lower = lower.max_by(|first, second| first.kept.total_cmp(&second.kept));
        let shown = largest.iter().take(PARTS_SHOWN);
        let shown = shown.map(|(component, part)| large_part(deriving, *component, part));
        diagnostics.push(
            OverBudget {
                resource: resource.name(),
                allowed: *allowed,
                place,
                sum,
                enough: sum.div_ceil(LIMIT_STEP).saturating_mul(LIMIT_STEP),
                process: resources.process.sum(resource),
                parts: shown.collect(),
                lower,
            }
            .into(),
        );
    }
}

fn large_part(deriving: &Deriving<'_>, component: ComponentIndex, part: &Part) -> LargePart {
    let component = &deriving.graph.components[component];
    let of_setting = part.setting.as_deref().and_then(|setting| {
        let (_, name) = setting.rsplit_once(&format!("{}.", component.declared.name))?;
        component.settings.get(name.split('.').next()?)?.written()
    });
    LargePart {
        component: component.declared.name.to_string(),
        bytes: part.bytes,
        because: part.because.clone(),
        place: of_setting.unwrap_or(component.declared.span),
    }
}

/// Returns the largest value of the part's setting with which the component takes so many bytes less, halving by halving.
fn lower(
    deriving: &Deriving<'_>,
    index: ComponentIndex,
    part: &Part,
    resource: Resource,
    spare: u64,
) -> Option<LowerSetting> {
    let side = deriving.graph.components[index].side()?;
    let name = part.setting.as_deref()?.strip_prefix(side.name)?.strip_prefix('.')?;
    let signature = side.group.setting(name)?;
    let before = deriving.component(index, &side, side.values).sum(resource);
    let wanted = before.checked_sub(spare)?;
    let given = side.values.value(name)?;
    let halved = (1..=HALVINGS).map_while(|times| match given {
        Value::Size(size) => Some(Value::Size(size.checked_shr(times).filter(|size| *size > 0)?)),
        Value::Int(number) => Some(Value::Int(number.checked_shr(times).filter(|number| *number > 0)?)),
        _ => None,
    });
    let mut allowed = halved
        .zip(1..)
        .filter(|(value, _)| signature.range.as_ref().is_none_or(|range| is_within(range, value)));
    let (value, times) = allowed.find(|(value, _)| {
        let values = Changed { values: side.values, name, value };
        deriving.component(index, &side, &values).sum(resource) <= wanted && fits(&side, &values)
    })?;
    Some(LowerSetting {
        name: format!("{}.{name}", side.name),
        value: shown_value(&value),
        implicit: side.implicit,
        kept: 0.5_f64.powi(times),
    })
}

/// Returns whether the component's own requirements are met with these values.
fn fits(side: &Side<'_>, values: &Changed<'_>) -> bool {
    crate::values::requirements::broken_requirements(side.group, values).next().is_none()
}
