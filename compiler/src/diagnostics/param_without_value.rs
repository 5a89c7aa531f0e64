use weir_grammar::Span;

use super::Description;

/// A param without a value and without a default.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamWithoutValue {
    /// The param.
    pub name: String,
    /// The type of the param.
    pub type_name: String,
    /// The place of the declaration.
    pub span: Span,
}

impl ParamWithoutValue {
    pub(super) fn describe(&self) -> Description {
        let name = &self.name;
        Description::new(
            format!("the param `{name}` has no value"),
            self.span,
            "has no default and is not set",
        )
        .help(format!("set it: `--set {name}=…`, or the environment variable `WEIR_{}`", name.to_uppercase()))
        .help(format!("or give it a default: `param {name}: {} = …`", self.type_name))
    }
}
