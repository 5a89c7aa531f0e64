use weir_grammar::Span;

use super::Description;

/// A param without a value and without a default.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamWithoutValue {
    /// The param.
    pub name: String,
    /// The type of the param.
    pub type_name: String,
    /// The environment variable that would give it a value, if there is one.
    pub variable: Option<String>,
    /// The place of the declaration.
    pub span: Span,
}

impl ParamWithoutValue {
    pub(super) fn describe(&self) -> Description {
        let name = &self.name;
        let set = format!("set it: `--set {name}=…`");
        let set = match &self.variable {
            Some(variable) => format!("{set}, or the environment variable `{variable}`"),
            None => set,
        };
        Description::new(
            format!("the param `{name}` has no value"),
            self.span,
            "has no default and is not set",
        )
        .help(set)
        .help(format!("or give it a default: `param {name}: {} = …`", self.type_name))
    }
}
