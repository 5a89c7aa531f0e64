//! What components expose to the network: connections in plain text, ports for everybody, secrets on their way.

use weir_grammar::Span;
use weir_plan::Value;

use super::Input;

use crate::analysis::graph::Component;
use crate::analysis::proofs::LinkProof;
use crate::analysis::settings::{Origin, Setting};
use crate::diagnostics::{
    Diagnostic, Exposed as Told, ExposedSecret, Fix, OpenPort, PlainLink, UncertainPeer,
};
use crate::flows::surface::{Exposed, host_and_port, is_loopback, texts};
use crate::proofs::entries::added_entry;
use crate::signatures::{Library, SettingSignature, Variant};

/// The schemes of URLs whose content crosses the network as it is.
const PLAIN_SCHEMES: [&str; 3] = ["http://", "ws://", "ftp://"];

/// Returns the connections of the program that leave the machine, and warns about those that are not protected.
pub(super) fn check(input: &Input<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<LinkProof> {
    let mut links = Vec::new();
    for (index, component) in input.graph.components.iter().enumerate() {
        // A component that no flow uses is not part of the plan.
        if component.events.is_none() {
            continue;
        }
        let exposed = component.exposed(input.library);
        for end in ends(component, input.library) {
            let link = Link { input, component, exposed: &exposed, end };
            diagnostics.extend(link.diagnostic());
            links.push(link.proof(index));
        }
    }
    links
}

/// An end of connections: the addresses of one setting that are not on this machine.
struct End<'c> {
    setting: &'c Setting,
    addresses: Vec<String>,
    listens: bool,
}

fn ends<'c>(component: &'c Component, library: &'c Library) -> Vec<End<'c>> {
    let mut found = Vec::new();
    for touched in component.touched(library) {
        let listens = matches!(touched.kind, "port" | "datagrams");
        if !listens && touched.kind != "host" {
            continue;
        }
        let addresses = texts(touched.value).into_iter().filter(|address| !is_loopback(address));
        let addresses: Vec<String> = addresses.map(|address| address.into_owned()).collect();
        if let (Some(setting), [_, ..]) = (component.settings.get(&touched.setting), &*addresses) {
            found.push(End { setting, addresses, listens });
        }
    }
    found
}

fn is_wildcard(address: &str) -> bool {
    host_and_port(address).0.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

struct Link<'a> {
    input: &'a Input<'a>,
    component: &'a Component,
    exposed: &'a [Exposed<'a>],
    end: End<'a>,
}

impl Link<'_> {
    /// Returns whether the address is that of a server beside the component's own, such as a registry of a format. The
    /// clauses of the component are not about it.
    fn is_within(&self) -> bool {
        self.end.setting.is_nested()
    }

    fn exposes(&self, what: &str) -> Option<&Exposed<'_>> {
        self.exposed.iter().find(|exposed| exposed.what == what)
    }

    /// Returns the setting by which the program says that a connection in plain text is meant.
    fn stated(&self) -> Option<&Setting> {
        let link = self.exposes("link")?;
        let written = |setting: &&&Setting| matches!(setting.origin, Origin::Written(_));
        link.decided_by.iter().find(written).copied()
    }

    /// Returns what to tell of this end: the worst that it exposes.
    fn diagnostic(&self) -> Option<Diagnostic> {
        if self.is_within() {
            return self.plain_scheme();
        }
        let stated = self.stated();
        if let Some(secret) = self.exposes("secret").filter(|secret| secret.of_variant || stated.is_none()) {
            let meant = stated.is_none();
            return Some(ExposedSecret(self.told(secret, meant)).into());
        }
        if let Some(peer) = self.exposes("peer") {
            return Some(UncertainPeer(self.told(peer, false)).into());
        }
        let Some(link) = self.exposes("link") else { return self.plain_scheme() };
        if stated.is_some() {
            return None;
        }
        let is_open = self.end.listens && self.end.addresses.iter().any(|address| is_wildcard(address));
        match self.exposes("entry").filter(|_| is_open) {
            Some(entry) => {
                let told = Told { reason: entry.because.text.clone(), ..self.told(link, true) };
                Some(OpenPort(Told { library: entry.because.span, ..told }).into())
            }
            None => Some(PlainLink(self.told(link, true)).into()),
        }
    }

    /// Returns a warning about URLs with a scheme in plain text.
    fn plain_scheme(&self) -> Option<Diagnostic> {
        let is_plain = |address: &&String| PLAIN_SCHEMES.iter().any(|scheme| address.starts_with(scheme));
        let addresses: Vec<String> = self.end.addresses.iter().filter(is_plain).cloned().collect();
        if self.end.listens || addresses.is_empty() {
            return None;
        }
        let reason = "its scheme has no encryption".to_owned();
        let told = Told { addresses, reason, ..self.bare(self.end.setting.declared) };
        Some(PlainLink(told).into())
    }

    fn bare(&self, library: Span) -> Told {
        let End { setting, addresses, listens } = &self.end;
        let span = match setting.origin {
            Origin::Written(span) | Origin::Derived { decided_by: span, .. } => span,
            _ => self.component.declared.span,
        };
        Told {
            component: self.component.declared.name.to_string(),
            addresses: addresses.clone(),
            listens: *listens,
            span,
            reason: String::new(),
            library,
            setting: None,
            meant: None,
            instead: Vec::new(),
            fix: None,
        }
    }

    /// Returns what is said about an exposure. With `meant`, the program could say that it is meant.
    fn told(&self, exposed: &Exposed<'_>, meant: bool) -> Told {
        let link = self.exposes("link").filter(|_| !exposed.of_variant).unwrap_or(exposed);
        let setting = link.decided_by.first().copied();
        let value = setting.and_then(|setting| setting.value.as_ref()).map(chosen);
        let protecting: Vec<&Variant> = setting.map_or(Vec::new(), |setting| {
            let variants = self.input.library.variants(&setting.value_type).iter();
            variants.filter(|variant| !variant.may_expose("link") && !variant.may_expose("secret")).collect()
        });
        let place = setting.and_then(|setting| match setting.origin {
            Origin::Written(span) => Some((setting.name.clone(), span, false)),
            Origin::Default(span) => Some((setting.name.clone(), span, true)),
            _ => None,
        });
        let switched = link.switch.as_ref().filter(|_| link.of_variant).zip(value.as_ref());
        let switched =
            switched.map(|(switch, variant)| format!("{variant} {{ {}: {}, … }}", switch.name, switch.value));
        let instead = protecting.iter().map(|variant| format!("{} {{ … }}", variant.name.text));
        Told {
            reason: exposed.because.text.clone(),
            fix: setting.and_then(|setting| self.fix(setting, &protecting)),
            setting: place,
            meant: value.filter(|_| meant),
            instead: switched.into_iter().chain(instead).collect(),
            ..self.bare(exposed.because.span)
        }
    }

    /// Returns the change that protects the connection by a variant that needs no settings.
    fn fix(&self, setting: &Setting, protecting: &[&Variant]) -> Option<Fix> {
        // A setting of the variant could expose the same by its default.
        let is_safe = |setting: &SettingSignature| {
            let variants = self.input.library.variants(&setting.value_type);
            (setting.optional || setting.default.is_some())
                && !variants.iter().any(|variant| variant.may_expose("link"))
        };
        let is_free = |variant: &&&Variant| {
            let mut settings = variant.group.iter().flat_map(|group| &group.settings);
            settings.all(is_safe)
        };
        let free = protecting.iter().find(is_free)?;
        if setting.is_nested() || !matches!(setting.origin, Origin::Default(_)) {
            return None;
        }
        let entry = format!("{}: {} {{}}", setting.name, free.name.text);
        let edit = added_entry(self.component, self.input.files, &entry)?;
        let title = format!("set `{}` to `{}`", setting.name, free.name.text);
        Some(Fix { title, edits: vec![edit], certain: false })
    }

    fn proof(&self, component: usize) -> LinkProof {
        let End { addresses, listens, .. } = &self.end;
        let plain = !self.is_within() && self.exposes("link").is_some() || self.plain_scheme().is_some();
        let protection = match (plain, self.stated().filter(|_| !self.is_within())) {
            (true, Some(setting)) => {
                let value = setting.value.as_ref().map_or(String::new(), chosen);
                format!("in plain text, as the program says: {}: {value}", setting.name)
            }
            (true, None) => "in plain text".to_owned(),
            (false, _) => "protected".to_owned(),
        };
        let open = *listens && self.exposes("entry").is_some();
        LinkProof { component, addresses: addresses.clone(), listens: *listens, protection, open }
    }
}

/// Returns the name of a chosen variant, or the text of another value.
fn chosen(value: &Value) -> String {
    match value {
        Value::Variant { name, .. } => name.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_known() {
        let here = [
            "localhost:9092",
            "127.0.0.1:80",
            "127.8.0.1:80",
            "[::1]:9093",
            "hdfs://localhost:8020/",
            "a.localhost:1",
        ];
        assert!(here.iter().all(|address| is_loopback(address)));
        let elsewhere =
            ["kafka:9092", "0.0.0.0:80", "hdfs://lake", "http://localhost@evil:80/", "10.0.0.1:1"];
        assert!(!elsewhere.iter().any(|address| is_loopback(address)));
        assert!(is_wildcard("0.0.0.0:80") && is_wildcard("[::]:80") && !is_wildcard("10.0.0.1:80"));
    }
}
