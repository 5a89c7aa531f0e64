//! Checks `exclusive` settings, such as paths and addresses that only one component may use.

use std::collections::BTreeMap;

use weir_plan::Value;

use crate::analysis::graph::Graph;
use crate::analysis::settings::Exclusive;
use crate::diagnostics::{Diagnostic, UsedTwice};
use crate::types::Type;

/// Reports exclusive values that two components share.
pub(crate) fn check(graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    let mut taken: BTreeMap<Key, (&str, &Exclusive)> = BTreeMap::new();
    for component in &graph.components {
        for exclusive in &component.settings.exclusive {
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

/// The normalised form of an exclusive value. Two components with equal keys clash. The key includes the type, since a
/// path and an address never clash, and `apart`, since components clash only if the condition of `exclusive unless` has
/// the same result for both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    apart: bool,
    value_type: String,
    value: String,
}

/// Returns the key of an exclusive value; `None` for null, and for port 0, which lets the system choose a port.
fn key(exclusive: &Exclusive) -> Option<Key> {
    let Exclusive { value_type, value, apart, .. } = exclusive;
    let value = match value {
        Value::Null => return None,
        Value::Text(text) if *value_type == Type::Address => {
            (!text.ends_with(":0")).then(|| text.to_owned())?
        }
        Value::Text(text) => {
            let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
            let root = if text.starts_with('/') { "/" } else { "" };
            format!("{root}{}", names.join("/"))
        }
        value => value.to_string(),
    };
    Some(Key { apart: *apart, value_type: value_type.to_string(), value })
}

/// Returns whether two addresses clash over a port because one of them is the wildcard address (`0.0.0.0` or `[::]`).
fn on_one_port(first: &Key, second: &Key) -> bool {
    let parts = |key: &Key| {
        let (host, port) = key.value.rsplit_once(':')?;
        Some((matches!(host, "0.0.0.0" | "[::]"), port.to_owned()))
    };
    match (parts(first), parts(second)) {
        (Some((first_all, first_port)), Some((second_all, second_port))) => {
            let same = first.apart == second.apart && first.value_type == second.value_type;
            same && first_port == second_port && (first_all || second_all)
        }
        _ => false,
    }
}
