use weir_grammar::Span;

use super::{Description, RequiredSetting, joined};

/// A delivery promise that a component of the flow can't keep.
#[derive(Debug, Clone, PartialEq)]
pub struct UnkeptPromise {
    /// The promise.
    pub promise: String,
    /// The place of the promise, or of the flow's name.
    pub promise_span: Span,
    /// The component.
    pub component: String,
    /// The class of the component, or the setting that weakens it, in words.
    pub what: String,
    /// The settings that make the component weaker than its class; empty if its class alone breaks the promise.
    pub settings: Vec<RequiredSetting>,
    /// The consequence for the promise, in words.
    pub why: String,
    /// Whether the component may lose events, not only repeat them.
    pub loses: bool,
    /// The place of the component's declaration.
    pub declared: Span,
    /// The place in the library that states the class or the effect of the settings.
    pub library_span: Span,
}

impl UnkeptPromise {
    pub(super) fn describe(&self) -> Description {
        let instead = match self.loses {
            true => "say that events may be lost: `delivers best_effort`",
            false => "say that events may be repeated: `delivers at_least_once`",
        };
        let promises = format!("promises `{}`", self.promise);
        if self.settings.is_empty() {
            let message = format!("`{}` can't be kept: `{}` is {}", self.promise, self.component, self.what);
            return Description::new(message, self.promise_span, promises)
                .label(self.declared, &*self.why)
                .label(self.library_span, "so says the library")
                .help(instead);
        }
        let shown: Vec<String> = self.settings.iter().map(RequiredSetting::shown).collect();
        let message = format!("`{}` can't be kept: {}", self.promise, joined(&shown, "and"));
        let mut description = Description::new(message, self.promise_span, promises);
        for setting in &self.settings {
            description = description.label(setting.span, setting.label());
        }
        let names = |default| {
            let names = self.settings.iter().filter(move |setting| setting.default == default);
            names.map(|setting| format!("`{}`", setting.name)).collect::<Vec<_>>()
        };
        let change = match &*names(true) {
            [] => format!("change {}", joined(&names(false), "or")),
            defaults => format!("set {}", joined(defaults, "or")),
        };
        description.label(self.library_span, &*self.why).help(format!("{change}, or {instead}"))
    }
}
