//! Resources: what only one component of a program may have.

use std::collections::BTreeMap;

use weir_plan::Value;

use crate::diagnostics::{Diagnostic, UsedTwice};
use crate::lower::CheckedComponent;
use crate::settings::Exclusive;
use crate::types::Type;

/// Reports values that two components have, although only one may.
pub(crate) fn check(components: &[CheckedComponent<'_>], diagnostics: &mut Vec<Diagnostic>) {
    let mut taken: BTreeMap<String, (&str, &Exclusive)> = BTreeMap::new();
    for component in components {
        for exclusive in &component.exclusive {
            let Some(key) = key(exclusive) else { continue };
            let name = &*component.declared.name;
            let mut addresses = taken.iter().filter(|_| exclusive.value_type == Type::Address);
            let everywhere = addresses.find(|(other, _)| on_one_port(other, &key)).map(|(_, taken)| taken);
            match taken.get(&key).or(everywhere) {
                Some((first_name, first)) => diagnostics.push(
                    UsedTwice {
                        setting: exclusive.setting.clone(),
                        value: exclusive.value.to_string(),
                        first: ((*first_name).to_owned(), first.span),
                        second: (name.to_owned(), exclusive.span),
                    }
                    .into(),
                ),
                None => {
                    taken.insert(key, (name, exclusive));
                }
            }
        }
    }
}

/// What two components can't both have; the type belongs to it: a path and an address are never the same
/// thing. None for a port that the system chooses.
fn key(exclusive: &Exclusive) -> Option<String> {
    let Exclusive { value_type, value, .. } = exclusive;
    let text = match value {
        Value::Text(text) => text.as_str(),
        _ => return Some(format!("{value_type} {value}")),
    };
    if *value_type == Type::Address {
        return (!text.ends_with(":0")).then(|| format!("{value_type} {text}"));
    }
    let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    let root = if text.starts_with('/') { "/" } else { "" };
    Some(format!("{value_type} {root}{}", names.join("/")))
}

/// Whether two addresses have one port, of which one is that of all the machine's addresses.
fn on_one_port(first: &str, second: &str) -> bool {
    let parts = |key: &str| {
        let (host, port) = key.strip_prefix("Address ")?.rsplit_once(':')?;
        Some((matches!(host, "0.0.0.0" | "[::]"), port.to_owned()))
    };
    match (parts(first), parts(second)) {
        (Some((first_all, first)), Some((second_all, second))) => {
            first == second && (first_all || second_all)
        }
        _ => false,
    }
}
