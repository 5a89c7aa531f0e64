//! Rules of firewalls: a network policy of Kubernetes, and a table of nftables.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use super::{Ends, quoted};
use crate::access::Access;
use crate::flows::surface::is_loopback;

/// The port of name servers.
const DNS: u16 = 53;

/// Returns a name that Kubernetes and nftables take: small letters, digits and hyphens.
fn plain_name(program: &str) -> String {
    let letters = program.chars().map(|letter| letter.to_ascii_lowercase());
    let letters = letters.map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    let name: String = letters.take(50).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "weir".to_owned() } else { name.to_owned() }
}

/// The peers of outgoing connections: addresses with ports, and ports for hosts that are known by name only.
struct Peers<'e> {
    addresses: Vec<(IpAddr, Option<u16>)>,
    named: Vec<(&'e str, Option<u16>)>,
}

impl<'e> Peers<'e> {
    fn of(ends: &'e Ends) -> Peers<'e> {
        let (mut addresses, mut named) = (Vec::new(), Vec::new());
        for (host, port) in ends.connects.iter().filter(|(host, _)| !is_loopback(host)) {
            match host.parse::<IpAddr>() {
                Ok(address) => addresses.push((address, *port)),
                Err(_) => named.push((host.as_str(), *port)),
            }
        }
        Peers { addresses, named }
    }

    /// Returns the ports for hosts that are known by name only; `None` if one of them may be any.
    fn ports(&self) -> Option<BTreeSet<u16>> {
        self.named.iter().map(|(_, port)| *port).collect()
    }

    fn names(&self) -> String {
        let names = self.named.iter().map(|(host, port)| match (*host, port) {
            ("*", Some(port)) => format!("hosts that servers name, port {port}"),
            ("*", None) => "hosts that servers name".to_owned(),
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        });
        names.collect::<Vec<_>>().join(", ")
    }
}

/// Renders a network policy of Kubernetes for the pods with the label `app: PROGRAM`.
pub fn network_policy(program: &str, access: &[Access]) -> String {
    let ends = Ends::of(access);
    let name = plain_name(program);
    let mut yaml = format!(
        "# What {} may reach. Made by `weir plan --access --format networkpolicy`.\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {name}\nspec:\n  podSelector:\n    matchLabels:\n      app: {name}\n  policyTypes: [Ingress, Egress]\n",
        quoted(program)
    );
    let open: Vec<_> = ends.listens.iter().filter(|(_, host, _)| !is_loopback(host)).collect();
    yaml += if open.is_empty() { "  ingress: []\n" } else { "  ingress:\n    - ports:\n" };
    for (protocol, _, port) in open {
        let _ = writeln!(yaml, "        - {{ protocol: {}, port: {port} }}", protocol.to_uppercase());
    }
    let peers = Peers::of(&ends);
    if peers.addresses.is_empty() && peers.named.is_empty() {
        return yaml + "  egress: []\n";
    }
    yaml += "  egress:\n";
    for (address, port) in &peers.addresses {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let _ = writeln!(yaml, "    - to:\n        - ipBlock: {{ cidr: \"{address}/{bits}\" }}");
        if let Some(port) = port {
            let _ = writeln!(yaml, "      ports:\n        - {{ protocol: TCP, port: {port} }}");
        }
    }
    if !peers.named.is_empty() {
        let _ = writeln!(yaml, "    # A policy knows no names, so these are all hosts: {}", peers.names());
        match peers.ports() {
            Some(ports) => {
                yaml += "    - ports:\n";
                for port in ports {
                    let _ = writeln!(yaml, "        - {{ protocol: TCP, port: {port} }}");
                }
            }
            None => yaml += "    - {}\n",
        }
    }
    if ends.names_hosts() {
        let _ = writeln!(
            yaml,
            "    # Name servers\n    - ports:\n        - {{ protocol: UDP, port: {DNS} }}\n        - {{ protocol: TCP, port: {DNS} }}"
        );
    }
    yaml
}

/// Renders a table of nftables for the user that the agent runs as.
pub fn nftables(program: &str, access: &[Access]) -> String {
    let ends = Ends::of(access);
    let peers = Peers::of(&ends);
    let mut text = format!(
        "# What {} may reach. Made by `weir plan --access --format nftables`.\ndefine agent = weir # the user of the agent\n\ntable inet weir_{} {{\n  chain incoming {{\n    type filter hook input priority filter; policy accept;\n",
        quoted(program),
        plain_name(program).replace('-', "_")
    );
    for (protocol, host, port) in &ends.listens {
        let to = match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) if !address.is_unspecified() => format!("ip daddr {address} "),
            Ok(IpAddr::V6(address)) if !address.is_unspecified() => format!("ip6 daddr {address} "),
            _ => String::new(),
        };
        let _ = writeln!(text, "    {to}{protocol} dport {port} accept");
    }
    text += "  }\n\n  chain outgoing {\n    type filter hook output priority filter; policy accept;\n    meta skuid != $agent accept\n    ct state established,related accept\n    oif lo accept\n";
    if ends.names_hosts() {
        let _ = writeln!(text, "    meta l4proto {{ tcp, udp }} th dport {DNS} accept");
    }
    for (address, port) in &peers.addresses {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        let port = port.map_or(String::new(), |port| format!("tcp dport {port} "));
        let _ = writeln!(text, "    {family} daddr {address} {port}accept");
    }
    if !peers.named.is_empty() {
        let _ = writeln!(text, "    # {}", peers.names());
        match peers.ports() {
            Some(ports) => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                let _ = writeln!(text, "    tcp dport {{ {} }} accept", ports.join(", "));
            }
            None => text += "    meta l4proto tcp accept\n",
        }
    }
    text + "    reject\n  }\n}\n"
}
