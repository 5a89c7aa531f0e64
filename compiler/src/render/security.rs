//! Renders the proofs of security: as text for people and as JSON for programs.

use serde::Serialize;

use crate::analysis::Analysis;

/// Returns the lines about what is allowed and which connections leave the machine; `None` if there are none.
pub(super) fn text(analysis: &Analysis) -> Option<String> {
    let security = &analysis.proofs.security;
    let name = |component: usize| &*analysis.graph.components[component].declared.name;
    let mut lines: Vec<(&str, String)> = Vec::new();
    for leak in &security.allowed {
        let columns: Vec<String> = leak.columns.iter().map(|column| format!("`{column}`")).collect();
        let says = format!("gets {}, which is sensitive, by `{}`", columns.join(", "), leak.by);
        lines.push((name(leak.sink), says));
    }
    for link in &security.links {
        let way = if link.listens { "listens on" } else { "connects to" };
        let open = if link.open { "; anybody who reaches it may send" } else { "" };
        let says = format!("{way} {}, {}{open}", link.addresses.join(", "), link.protection);
        lines.push((name(link.component), says));
    }
    let width = lines.iter().map(|(name, _)| name.chars().count()).max()?.min(40);
    let lines = lines.iter().map(|(name, says)| format!("  {name:width$}  {says}\n"));
    Some(format!("security\n{}", lines.collect::<String>()))
}

/// The security of a program, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct JsonSecurity<'a> {
    /// The sinks that get sensitive columns because the program says so.
    sensitive: Vec<JsonAllowed<'a>>,
    /// The connections that leave the machine.
    links: Vec<JsonLink<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonAllowed<'a> {
    sink: &'a str,
    columns: &'a [String],
    by: &'a str,
}

#[derive(Debug, Serialize)]
struct JsonLink<'a> {
    component: &'a str,
    listens: bool,
    addresses: &'a [String],
    protection: &'a str,
    /// Whether nobody is asked who they are.
    open: bool,
}

/// Returns what leaves the machine.
pub(super) fn json(analysis: &Analysis) -> JsonSecurity<'_> {
    let name = |component: usize| &*analysis.graph.components[component].declared.name;
    let security = &analysis.proofs.security;
    let sensitive = security.allowed.iter().map(|leak| JsonAllowed {
        sink: name(leak.sink),
        columns: &leak.columns,
        by: &leak.by,
    });
    let links = security.links.iter().map(|link| JsonLink {
        component: name(link.component),
        listens: link.listens,
        addresses: &link.addresses,
        protection: &link.protection,
        open: link.open,
    });
    JsonSecurity { sensitive: sensitive.collect(), links: links.collect() }
}
