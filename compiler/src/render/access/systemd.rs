//! A drop-in for a unit of systemd.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Ends;
use crate::access::{Access, AccessKind};
use crate::flows::surface::is_loopback;

/// The first port that a program needs no privilege for.
const FIRST_FREE_PORT: u16 = 1024;

/// Renders the directives of a unit that let the agent reach and touch this, and nothing else.
pub fn systemd(program: &str, access: &[Access]) -> String {
    let ends = Ends::of(access);
    let mut lines = vec![
        format!(
            "# What `{program}` may reach and touch. Made by `weir plan --access --format systemd`: a drop-in for its unit."
        ),
        "[Service]".to_owned(),
    ];
    lines.extend(files(access));
    lines.extend(network(&ends));
    lines.extend(variables(access));
    let fixed = [
        "NoNewPrivileges=yes",
        "PrivateDevices=yes",
        "ProtectClock=yes",
        "ProtectControlGroups=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
    ];
    lines.extend(fixed.map(str::to_owned));
    lines.join("\n") + "\n"
}

/// Escapes a path for a directive: blanks would separate two paths, and `%` begins a specifier.
fn escaped(path: &str) -> String {
    let path = path.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if path.contains([' ', '\t', '"']) { format!("\"{path}\"") } else { path }
}

/// Returns the folder of a file that is written beside others, or the folder itself.
fn writable(one: &Access) -> Option<String> {
    let root = one.root();
    match one.kind {
        AccessKind::Writes => Some(root.to_owned()),
        // A file of positions is replaced by a new one beside it, and a channel's directory may have to be made.
        AccessKind::State => root.rsplit_once('/').map(|(parent, _)| parent.to_owned()),
        _ => None,
    }
}

fn files(access: &[Access]) -> Vec<String> {
    let mut lines = vec!["ProtectSystem=strict".to_owned()];
    let paths = access.iter().filter(|one| one.kind.is_path());
    let is_home = |path: &str| ["/home/", "/root", "/run/user/"].iter().any(|home| path.starts_with(home));
    let in_home = paths.clone().any(|one| is_home(one.root()));
    lines.push(format!("ProtectHome={}", if in_home { "read-only" } else { "yes" }));
    let in_tmp = |one: &Access| one.root().starts_with("/tmp") || one.root().starts_with("/var/tmp");
    lines.push(format!("PrivateTmp={}", if paths.clone().any(in_tmp) { "no" } else { "yes" }));
    let relative: Vec<&str> =
        paths.clone().filter(|one| !one.what.starts_with('/')).map(|one| &*one.what).collect();
    if !relative.is_empty() {
        lines.push(format!("# Begin in the working directory of the unit: {}", relative.join(", ")));
    }
    let written: BTreeSet<String> =
        access.iter().filter_map(writable).filter(|path| path.starts_with('/')).collect();
    if !written.is_empty() {
        // `-` passes over a folder that does not exist; without it, the unit would not start.
        lines.push("# These folders have to exist before the unit starts".to_owned());
    }
    lines.extend(written.iter().map(|path| format!("ReadWritePaths=-{}", escaped(path))));
    let read = paths.filter(|one| matches!(one.kind, AccessKind::Reads | AccessKind::SecretFile));
    let read: BTreeSet<&str> = read.map(|one| one.root()).filter(|path| path.starts_with('/')).collect();
    let apart = read.iter().filter(|path| !written.contains(**path));
    lines.extend(apart.map(|path| format!("ReadOnlyPaths=-{}", escaped(path))));
    lines
}

fn network(ends: &Ends) -> Vec<String> {
    let mut lines = Vec::new();
    let is_used = !ends.listens.is_empty() || !ends.connects.is_empty();
    if !is_used {
        return vec![
            "RestrictAddressFamilies=AF_UNIX".to_owned(),
            "PrivateNetwork=yes".to_owned(),
            "CapabilityBoundingSet=".to_owned(),
        ];
    }
    lines.push("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK".to_owned());
    lines.push("SocketBindDeny=any".to_owned());
    lines.extend(ends.listens.iter().map(|(protocol, _, port)| format!("SocketBindAllow={protocol}:{port}")));
    if ends.listens.iter().any(|(.., port)| *port < FIRST_FREE_PORT) {
        lines.push("CapabilityBoundingSet=CAP_NET_BIND_SERVICE".to_owned());
        lines.push("AmbientCapabilities=CAP_NET_BIND_SERVICE".to_owned());
    } else {
        lines.push("CapabilityBoundingSet=".to_owned());
    }
    let peers = ends.connects.iter().map(|(host, _)| host.as_str());
    let named: BTreeSet<&str> =
        peers.clone().filter(|host| host.parse::<IpAddr>().is_err() && *host != "localhost").collect();
    let all_local = ends.listens.iter().all(|(_, host, _)| is_loopback(host));
    if named.is_empty() && all_local {
        lines.push("IPAddressDeny=any".to_owned());
        let addresses: BTreeSet<&str> = peers.filter(|host| host.parse::<IpAddr>().is_ok()).collect();
        lines.push("IPAddressAllow=localhost".to_owned());
        lines.extend(addresses.iter().map(|address| format!("IPAddressAllow={address}")));
    } else {
        // The directive takes no names, and clients may have any address.
        let named: Vec<&str> = named.into_iter().collect();
        let hosts = if named.is_empty() { "its clients".to_owned() } else { named.join(", ") };
        lines.push(format!("# IPAddressDeny=any needs IPAddressAllow= with the addresses of: {hosts}"));
    }
    lines
}

fn variables(access: &[Access]) -> Vec<String> {
    let of = |kind: AccessKind| -> Vec<&str> {
        access.iter().filter(|one| one.kind == kind).map(|one| &*one.what).collect()
    };
    let mut lines = Vec::new();
    let plain = of(AccessKind::Variable);
    if !plain.is_empty() {
        lines.push(format!("# Reads the variables, if they are set: {}", plain.join(", ")));
    }
    let secret = of(AccessKind::SecretVariable);
    if !secret.is_empty() {
        lines
            .push(format!("# Needs secrets in the variables, as by EnvironmentFile=: {}", secret.join(", ")));
    }
    lines
}
