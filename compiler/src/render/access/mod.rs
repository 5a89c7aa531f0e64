//! What an agent reaches and touches, as a list and in the forms of firewalls, systemd and Kubernetes.

mod firewall;
mod systemd;

use std::collections::BTreeSet;

use crate::access::{Access, AccessKind};
use crate::flows::surface::host_and_port;

pub use firewall::{network_policy, nftables};
pub use systemd::systemd;

/// Renders the list as text: a line for each thing, with who needs it.
pub fn access_text(program: &str, access: &[Access]) -> String {
    let words = access.iter().map(|one| one.kind.word().len()).max().unwrap_or(0);
    let width = access.iter().map(|one| one.what.chars().count()).max().unwrap_or(0).min(60);
    let lines = access
        .iter()
        .map(|one| format!("  {:words$}  {:width$}  {}\n", one.kind.word(), one.what, one.by.join(", ")));
    let lines: String = lines.collect();
    format!("program {program}\n{}", if lines.is_empty() { "  touches nothing\n".to_owned() } else { lines })
}

/// Renders the list as JSON: one object with `program` and `access`.
pub fn access_json(program: &str, access: &[Access]) -> String {
    let json = serde_json::json!({ "version": 1, "program": program, "access": access });
    // Text always has a JSON form.
    serde_json::to_string_pretty(&json).unwrap_or_default() + "\n"
}

/// The ends of connections: hosts with ports.
struct Ends {
    /// TCP addresses and UDP addresses on which the agent listens.
    listens: BTreeSet<(&'static str, String, u16)>,
    /// The hosts that it connects to; a port that is not known is `None`.
    connects: BTreeSet<(String, Option<u16>)>,
}

impl Ends {
    fn of(access: &[Access]) -> Ends {
        let (mut listens, mut connects) = (BTreeSet::new(), BTreeSet::new());
        for one in access {
            let (host, port) = host_and_port(&one.what);
            match one.kind {
                AccessKind::ListensTcp => listens.extend(port.map(|port| ("tcp", host.to_owned(), port))),
                AccessKind::ListensUdp => listens.extend(port.map(|port| ("udp", host.to_owned(), port))),
                AccessKind::Connects => drop(connects.insert((host.to_owned(), port))),
                _ => {}
            }
        }
        Ends { listens, connects }
    }

    /// Returns whether a host is given by its name, which has to be resolved.
    fn names_hosts(&self) -> bool {
        self.connects.iter().any(|(host, _)| host != "*" && host.parse::<std::net::IpAddr>().is_err())
    }
}

/// Quotes a text as YAML and JSON do.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
