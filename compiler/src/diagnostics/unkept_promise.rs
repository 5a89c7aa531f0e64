use weir_grammar::Span;

use super::{Description, RequiredSetting, joined};

/// A promise that a component on the way can't keep.
#[derive(Debug, Clone, PartialEq)]
pub struct UnkeptPromise {
    /// The promise.
    pub promise: String,
    /// Where it is made, or the flow's name.
    pub promise_span: Span,
    /// The component.
    pub component: String,
    /// What it is: its class, or what it is set to.
    pub what: String,
    /// The settings that make it fall short of its class, if it is these.
    pub settings: Vec<RequiredSetting>,
    /// What that means for the promise.
    pub why: String,
    /// Whether events may be lost, not only repeated.
    pub loses: bool,
    /// Where the component is declared.
    pub declared: Span,
    /// Where the library says what it is.
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
