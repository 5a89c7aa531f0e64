use weir_grammar::Span;

use super::{Description, Fix, listed};

/// A sensitive column on its way to a place where others see it.
#[derive(Debug, Clone, PartialEq)]
pub struct SensitiveColumn {
    /// The name of the column at the end of its way.
    pub name: String,
    /// The way: where the value is declared sensitive, and what carries it on, each with a remark.
    pub way: Vec<(Span, String)>,
}

/// A sensitive column that a sink writes.
#[derive(Debug, Clone, PartialEq)]
pub struct SensitiveLeaves {
    /// The sink.
    pub sink: String,
    /// The columns.
    pub columns: Vec<SensitiveColumn>,
    /// The place of the sink in the flow.
    pub span: Span,
    /// Whether the sink has a setting that allows sensitive columns.
    pub can_allow: bool,
    /// The change that masks the columns, if they are text.
    pub fix: Option<Fix>,
}

/// A sensitive column in a name that a sink makes: a path, a topic, a key.
#[derive(Debug, Clone, PartialEq)]
pub struct SensitiveInName {
    /// The sink.
    pub sink: String,
    /// The setting with the template, if it is known.
    pub setting: Option<String>,
    /// The column.
    pub column: SensitiveColumn,
    /// The place of the hole.
    pub span: Span,
    /// Whether the sink has a setting that allows sensitive columns.
    pub can_allow: bool,
}

/// Adds the way of each column as labels. A place has one label.
fn with_ways(mut description: Description, columns: &[SensitiveColumn]) -> Description {
    for (span, remark) in columns.iter().flat_map(|column| &column.way) {
        if !description.labels.iter().any(|label| label.span == *span) {
            description = description.label(*span, remark.as_str());
        }
    }
    description
}

/// Returns how to keep a value from the sink: by masking it, or by leaving it out.
fn mask(column: Option<&SensitiveColumn>) -> String {
    match column.map_or("", |column| column.name.as_str()) {
        "body" => {
            "mask the fields that are parsed from it, or `select` other fields before the sink".to_owned()
        }
        name if name.is_empty() || name.contains('.') => "mask the value before the sink".to_owned(),
        name => {
            format!(
                "mask the value on the way: `set {name} = sha256({name})`, or leave it out: `unset {name}`"
            )
        }
    }
}

fn allow(sink: &str) -> String {
    format!("or say that `{sink}` may have it: `allow: sensitive`")
}

impl SensitiveLeaves {
    pub(super) fn describe(&self) -> Description {
        let names = listed(self.columns.iter().map(|column| column.name.as_str()), "and");
        let (is, label) = match self.columns.len() {
            1 => ("is", "writes it as it is"),
            _ => ("are", "writes them as they are"),
        };
        let message = format!("`{}` writes {names}, which {is} sensitive", self.sink);
        let description = Description::new(message, self.span, label);
        let mut description = with_ways(description, &self.columns).help(mask(self.columns.first()));
        if self.can_allow {
            description = description.help(allow(&self.sink));
        }
        description.fix.clone_from(&self.fix);
        description
    }
}

impl SensitiveInName {
    pub(super) fn describe(&self) -> Description {
        let SensitiveInName { sink, column, .. } = self;
        let place = match &self.setting {
            Some(setting) => format!("the {setting} of `{sink}`"),
            None => format!("a name that `{sink}` makes"),
        };
        let message = format!("`{}` is sensitive, and stands in {place}", column.name);
        let label = "everybody who lists names, or reads a log, sees it";
        let description = Description::new(message, self.span, label);
        let mut description = with_ways(description, std::slice::from_ref(column)).help(mask(Some(column)));
        if self.can_allow {
            description = description.help(allow(sink));
        }
        description
    }
}
