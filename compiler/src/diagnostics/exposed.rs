use weir_grammar::Span;

use super::{Description, Diagnostic, Fix, listed};

/// A component whose connections or port others on the network can use or read.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposed {
    /// The component.
    pub component: String,
    /// Its addresses that are not on this machine: `kafka:9092`.
    pub addresses: Vec<String>,
    /// Whether it listens there; otherwise it connects.
    pub listens: bool,
    /// The place of the addresses.
    pub span: Span,
    /// The reason, as the library says it.
    pub reason: String,
    /// The place of the reason in the library.
    pub library: Span,
    /// The setting that decides, with the places of its value, and whether that is a default of the library.
    pub setting: Option<(String, Span, bool)>,
    /// The value of the setting that says that this is meant.
    pub meant: Option<String>,
    /// Values of the setting that do not expose this: `tls { … }`.
    pub instead: Vec<String>,
    /// The change that protects the component, if one is known.
    pub fix: Option<Fix>,
}

/// A connection to another machine that others can read and change.
#[derive(Debug, Clone, PartialEq)]
pub struct PlainLink(pub Exposed);

/// A port on all addresses, on which anybody may send.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenPort(pub Exposed);

/// A secret that crosses the network in plain text.
#[derive(Debug, Clone, PartialEq)]
pub struct ExposedSecret(pub Exposed);

/// A connection whose peer may be another one.
#[derive(Debug, Clone, PartialEq)]
pub struct UncertainPeer(pub Exposed);

impl Diagnostic {
    /// Returns whether the diagnostic warns about connections. That can wait until the program has no errors.
    pub(crate) fn is_of_links(&self) -> bool {
        use Diagnostic::{ExposedSecret, OpenPort, PlainLink, UncertainPeer};
        matches!(self, PlainLink(_) | OpenPort(_) | ExposedSecret(_) | UncertainPeer(_))
    }
}

impl Exposed {
    fn way(&self) -> String {
        let addresses = listed(self.addresses.iter().map(String::as_str), "and");
        match self.listens {
            true => format!("`{}` listens on {addresses}", self.component),
            false => format!("`{}` connects to {addresses}", self.component),
        }
    }

    fn described(&self, message: String, label: &str) -> Description {
        let mut description = Description::new(message, self.span, label);
        if let Some((name, place, default)) = &self.setting {
            let says = if *default { "so is the default of" } else { "so says" };
            description = description.label(*place, format!("{says} `{name}`"));
        }
        description = description.label(self.library, "this is what the library says of it");
        description.fix.clone_from(&self.fix);
        description
    }

    /// Adds what to do: protect it, or say that it is meant.
    fn with_help(&self, mut description: Description) -> Description {
        let Some((name, ..)) = &self.setting else { return description };
        let (within, own) = match name.rsplit_once('.') {
            Some((outer, own)) => (format!(" in `{outer}`"), own),
            None => (String::new(), name.as_str()),
        };
        if !self.instead.is_empty() {
            let values: Vec<String> = self.instead.iter().map(|value| format!("{own}: {value}")).collect();
            let values = listed(values.iter().map(String::as_str), "or");
            description = description.help(format!("protect it: {values}{within}"));
        }
        if let Some(meant) = &self.meant {
            description = description.help(format!("or say that this is meant: `{own}: {meant}`{within}"));
        }
        description
    }
}

impl PlainLink {
    pub(super) fn describe(&self) -> Description {
        let PlainLink(link) = self;
        let message = format!("{} in plain text: {}", link.way(), link.reason);
        link.with_help(link.described(message, "beyond this machine"))
    }
}

impl OpenPort {
    pub(super) fn describe(&self) -> Description {
        let OpenPort(port) = self;
        let message = format!("{}, without encryption, for everybody: {}", port.way(), port.reason);
        let description = port.described(message, "these are all addresses of the machine");
        port.with_help(
            description.help("listen on one address, such as `127.0.0.1` or that of an inner network"),
        )
    }
}

impl ExposedSecret {
    pub(super) fn describe(&self) -> Description {
        let ExposedSecret(secret) = self;
        let verb = if secret.listens { "takes" } else { "sends" };
        let message = format!("{}, and {verb} a secret in plain text: {}", secret.way(), secret.reason);
        secret.with_help(secret.described(message, "beyond this machine"))
    }
}

impl UncertainPeer {
    pub(super) fn describe(&self) -> Description {
        let UncertainPeer(peer) = self;
        let message = format!("{}, and can't be sure of its peer: {}", peer.way(), peer.reason);
        peer.described(message, "beyond this machine")
    }
}
